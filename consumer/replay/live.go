package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"verdict/consumer/backtest"
	"verdict/schemas"
)

// lived is what is kept of a decision that was made live.
type lived struct {
	score       float64
	at, decided int64 // event time and decided_at, microseconds since 1970
	vector      int64 // where its values begin; -1: not kept
	content     uint64
	offset      int64 // with partition and topic, where its order lay
	partition   int32
	topic       int32 // in live.topics
	kind        int32 // in live.kinds
	action      backtest.Action
	degraded    lack
	torn        bool // another decision of the order says something else
	seen        bool // its order was replayed
}

// lack is what of a decision could not be had: its features, its score, its action.
type lack uint8

const (
	lackFeatures lack = 1 << iota
	lackScore
	lackAction
)

// lackOf returns what the words of a decision's degraded excuse: with other features the score and the action may be others too, and so on.
func lackOf(words []string) lack {
	var all lack
	for _, word := range words {
		switch {
		case strings.HasPrefix(word, "features"):
			all |= lackFeatures | lackScore | lackAction
		case word == "model", word == "routing":
			all |= lackScore | lackAction
		default:
			all |= lackAction
		}
	}
	return all
}

// kind is what decisions were made by.
type kind struct {
	features, model, policy schemas.Version
	names                   []string // of the inputs
}

// live is what was decided live, by order. It is held in memory: some 200 bytes an order, and 8 for each feature where vectors are compared.
type live struct {
	from    Location
	index   map[schemas.OrderID]int32 // :: order → place in all
	all     []lived
	kinds   []kind
	topics  []string
	reasons map[int32][]schemas.Reason // :: place in all → the reasons, of those that have any
	values  chunks
	vectors bool // are kept
	twice   int64
	torn    int64
	alien   int64 // records that are no decisions
	digest  Digest
	words   map[string]string // texts that many decisions share

	first, final int64           // event times of the first and the last order
	last         map[place]int64 // :: partition → the last offset that was decided
}

// chunkSize is how many values lie side by side: a history's do not have to be moved when there is one more.
const chunkSize = 1 << 17

// chunks hold vectors, each in one piece.
type chunks struct{ all [][]float64 }

// add keeps a copy and returns where it lies.
func (c *chunks) add(values []float64) int64 {
	last := len(c.all) - 1
	if last < 0 || len(c.all[last])+len(values) > chunkSize {
		c.all = append(c.all, make([]float64, 0, max(chunkSize, len(values))))
		last++
	}
	at := int64(last)<<32 | int64(len(c.all[last]))
	c.all[last] = append(c.all[last], values...)
	return at
}

func (c *chunks) at(place int64, n int) []float64 {
	chunk := c.all[place>>32]
	return chunk[int32(place) : int(int32(place))+n]
}

// readLive reads all decisions of a location. With vectors it keeps their inputs.
func readLive(ctx context.Context, cfg *Config, vectors bool) (*live, error) {
	reader, err := schemas.NewDecisionReader(cfg.Registry)
	if err != nil {
		return nil, err
	}
	l := &live{
		from: *cfg.Live, index: make(map[schemas.OrderID]int32), reasons: make(map[int32][]schemas.Reason), vectors: vectors, words: make(map[string]string),
		first: math.MaxInt64, final: math.MinInt64, last: make(map[place]int64),
	}
	s, err := openFeed(ctx, sourceConfig{from: *cfg.Live, stdin: cfg.Stdin, registry: cfg.Registry, read: func(ctx context.Context, it *item) error {
		_, d, err := reader.Record(ctx, it.raw)
		it.decision = &d
		return err
	}})
	if err != nil {
		return nil, err
	}
	defer s.close()
	for {
		items, err := s.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for i := range items {
			bad := (*schemas.Malformed)(nil)
			switch err := items[i].bad; {
			case errors.As(err, &bad):
				l.alien++
			case err != nil:
				return nil, err
			default:
				l.add(items[i].decision)
			}
		}
	}
	if len(l.all) == 0 {
		return nil, fmt.Errorf("%w: there is no decision in %s", ErrLive, l.from)
	}
	return l, nil
}

// add keeps a decision. Of an order that has two the first stands.
func (l *live) add(d *schemas.Decision) {
	if at, twice := l.index[d.OrderID]; twice {
		l.twice++
		if was := &l.all[at]; !l.same(was, d) && !was.torn {
			was.torn = true
			l.torn++
		}
		return
	}
	one := lived{
		score: d.Score, at: d.OccurredAt.UnixMicro(), decided: d.DecidedAt.UnixMicro(), vector: -1, content: d.Content, offset: d.Source.Offset, partition: d.Source.Partition,
		topic: l.topic(d.Source.Topic), kind: l.kind(d), action: backtest.ActionOf(d.Action), degraded: lackOf(d.Degraded),
	}
	l.span(d)
	if l.vectors {
		one.vector = l.values.add(d.Inputs.Values)
	}
	at := int32(len(l.all))
	if len(d.Reasons) > 0 {
		kept := slices.Clone(d.Reasons)
		for i := range kept {
			kept[i].Feature = l.word(kept[i].Feature)
		}
		l.reasons[at] = kept
	}
	l.all = append(l.all, one)
	l.index[schemas.OrderID(strings.Clone(string(d.OrderID)))] = at // not the whole record that it is a part of
	l.digest.Add(d)
}

// same says whether a second decision of an order says what the first said.
func (l *live) same(was *lived, d *schemas.Decision) bool {
	if bitsOf(was.score) != bitsOf(d.Score) || was.action != backtest.ActionOf(d.Action) || was.kind != l.kind(d) {
		return false
	}
	return was.vector < 0 || equalBits(l.values.at(was.vector, len(d.Inputs.Values)), d.Inputs.Values)
}

func (l *live) word(s string) string {
	if kept, ok := l.words[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	l.words[s] = s
	return s
}

// topic returns the number of a topic.
func (l *live) topic(name string) int32 {
	i := slices.Index(l.topics, name)
	if i < 0 {
		i = len(l.topics)
		l.topics = append(l.topics, strings.Clone(name))
	}
	return int32(i)
}

// kind returns the number of what a decision was made by: a few in all, the latest one mostly.
func (l *live) kind(d *schemas.Decision) int32 {
	for i := len(l.kinds) - 1; i >= 0; i-- {
		if k := &l.kinds[i]; k.features == d.Features && k.model == d.Model && k.policy == d.Policy.Version && slices.Equal(k.names, d.Inputs.Layout.Names) {
			return int32(i)
		}
	}
	clone := func(v schemas.Version) schemas.Version {
		return schemas.Version{Name: l.word(v.Name), Version: l.word(v.Version), Hash: l.word(v.Hash)}
	}
	names := make([]string, len(d.Inputs.Layout.Names))
	for i, name := range d.Inputs.Layout.Names {
		names[i] = l.word(name)
	}
	l.kinds = append(l.kinds, kind{features: clone(d.Features), model: clone(d.Model), policy: clone(d.Policy.Version), names: names})
	return int32(len(l.kinds) - 1)
}

// of returns what was decided of an order, nil when nothing is known.
func (l *live) of(id schemas.OrderID) (*lived, int32) {
	at, ok := l.index[id]
	if !ok {
		return nil, -1
	}
	return &l.all[at], at
}

// equalBits says whether two vectors are the same, bit for bit; what is missing is equal to what is missing.
func equalBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return bitsOf(x) == bitsOf(y) })
}
