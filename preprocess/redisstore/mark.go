package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Mark is up to where a partition was applied.
type Mark struct {
	Topic     string
	Partition int32
	Next      int64 // the first offset that is not
	Millis    int64 // when that was, by the clock of who applied it, since 1970
	While     While `json:",omitzero"` // it counts; the zero While is always
}

// While says for how long a mark counts: for as long as a counter stands above what it had reached before the mark was sent.
type While struct {
	Counter string // its name, which is none where it is ""
	Above   int64
}

// Marking is marks on their way into Redis, behind the commands of a pipeline.
type Marking struct {
	keys  []string
	marks []Mark
	cmds  []*redis.RawCmd
	ttl   any
	sent  bool
	older []Mark // those that stood before
}

type markingKey struct{}

// Marking returns a context with which the next pipeline writes marks too: after its own commands, so that whoever reads a mark reads all that was written before
// it. The pipeline should be the last that a batch needs. What the marks say of While is not looked at: the pipeline's counters are what they count by.
func (g *Guard) Marking(ctx context.Context, marks []Mark) (context.Context, *Marking) {
	m := &Marking{marks: marks, ttl: g.keep.Milliseconds()}
	for i := range marks {
		m.keys = append(m.keys, markKey(g.prefix, &marks[i]))
	}
	return context.WithValue(ctx, markingKey{}, m), m
}

// Sent says whether the marks were written. They are sent with one pipeline, and once it has failed with the next.
func (m *Marking) Sent() bool { return m.sent }

// Older returns the marks that stood before, when they were written.
func (m *Marking) Older() []Mark { return m.older }

func markKey(prefix string, m *Mark) string {
	return prefix + applied + "{" + m.Topic + "/" + strconv.Itoa(int(m.Partition)) + "}"
}

func marksOf(ctx context.Context) *Marking {
	if m, ok := ctx.Value(markingKey{}).(*Marking); ok && !m.sent {
		return m
	}
	return nil
}

// commands writes the marks, which count by the counters that their pipeline raises.
func (m *Marking) commands(ctx context.Context, cluster bool, probes []probe) []redis.Cmder {
	if m == nil {
		return nil
	}
	m.cmds = m.cmds[:0]
	out := make([]redis.Cmder, len(m.marks))
	for i := range m.marks {
		mark := m.marks[i]
		for j := range probes {
			if p := &probes[j]; !cluster || p.block == blockOf(m.keys[i]) {
				mark.While = While{p.name, p.before.reached}
			}
		}
		m.cmds = append(m.cmds, redis.NewRawCmd(ctx, "set", m.keys[i], mark.text(), "get", "px", m.ttl))
		out[i] = m.cmds[i]
	}
	return out
}

// read takes down what stood there before.
func (m *Marking) read() error {
	if m == nil {
		return nil
	}
	m.sent, m.older = true, m.older[:0]
	for i := range m.marks {
		text, found, err := bulk(m.cmds[i])
		if err != nil {
			return err
		}
		older, ok := parseMark(text, m.marks[i].Topic, m.marks[i].Partition)
		if found && !ok {
			return errMark
		}
		if found {
			m.older = append(m.older, older)
		}
	}
	return nil
}

// text is the mark as it stands in Redis.
func (m *Mark) text() string {
	text := strconv.FormatInt(m.Next, 10) + " " + strconv.FormatInt(m.Millis, 10)
	if m.While.Counter != "" {
		text += " " + strconv.FormatInt(m.While.Above, 10) + " " + m.While.Counter
	}
	return text
}

func parseMark(text, topic string, partition int32) (m Mark, ok bool) {
	m = Mark{Topic: topic, Partition: partition}
	parts := strings.Split(text, " ")
	if len(parts) != 2 && len(parts) != 4 {
		return m, false
	}
	var errs [3]error
	m.Next, errs[0] = strconv.ParseInt(parts[0], 10, 64)
	m.Millis, errs[1] = strconv.ParseInt(parts[1], 10, 64)
	if len(parts) == 4 {
		m.While.Counter = parts[3]
		m.While.Above, errs[2] = strconv.ParseInt(parts[2], 10, 64)
	}
	return m, errs == [3]error{}
}

// errMark is of a mark that cannot be read.
var errMark = fmt.Errorf("reading up to where partitions were applied: %w", errCorrupt)
