package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"verdict/consumer/kafka"
)

// kafka looks at the cluster.
func (d *doctor) kafka(ctx context.Context) (f findings) {
	connection := d.cfg.Kafka.Connection
	connection.Log = slog.New(slog.DiscardHandler) // what it would tell is told here
	survey, err := kafka.OpenSurvey(connection)
	if err != nil {
		f.fault("kafka", err.Error(), "mend kafka")
		return f
	}
	defer survey.Close()
	brokers, err := consult(ctx, survey.Brokers)
	if err != nil {
		f.fault("kafka", strings.Join(connection.BootstrapServers, ", ")+": "+err.Error(),
			"see that a broker listens there and takes kafka.security_protocol and the credentials; topics, groups and rights were not looked at")
		return f
	}
	f = append(f, brokersSay(brokers)...)
	d.delivery(ctx, &f, connection)
	var topics, groups findings
	both := sync.WaitGroup{}
	both.Go(func() { topics = d.topics(ctx, survey) })
	both.Go(func() { groups = d.groups(ctx, survey) })
	both.Wait()
	return append(append(f, topics...), groups...)
}

func brokersSay(b kafka.Brokers) (f findings) {
	text := fmt.Sprintf("%s, %s", count(b.Count, "broker"), cmp.Or(b.Version, "of an unknown version"))
	if level, ok := b.Features["transaction.version"]; ok {
		text += fmt.Sprintf(", transaction.version %d", level)
	}
	if b.Count < 3 {
		f.warn("kafka", text, "with fewer than three brokers a topic cannot have three copies: one that is away for good takes orders with it")
		return f
	}
	f.ok("kafka", "%s", text)
	return f
}

// delivery looks at what delivery: exactly_once asks of the brokers.
func (d *doctor) delivery(ctx context.Context, f *findings, connection kafka.Connection) {
	const about = "delivery"
	if d.cfg.Delivery != deliverExactlyOnce {
		return
	}
	level, err := consult(ctx, func(ctx context.Context) (kafka.TransactionLevel, error) {
		return kafka.TransactionsOf(ctx, connection)
	})
	switch {
	case err != nil:
		f.fault(about, "exactly_once: "+err.Error(), "newer brokers, or delivery: at_least_once")
	case level.Full():
		f.ok(about, "exactly_once, by transactions that are defended against late requests")
	default:
		f.warn(about, fmt.Sprintf("exactly_once with a limit: transaction.version is %d, and a request of an old transaction that comes late can become part of a later one (KIP-890)", level.Version),
			"Kafka 4.0, and kafka-features.sh upgrade --feature transaction.version=2")
	}
}

// topics looks at all topics.
func (d *doctor) topics(ctx context.Context, survey *kafka.Survey) (f findings) {
	t := &d.cfg.Kafka.Topics
	names := append([]string{t.Orders, t.Sync, t.Labels, t.Decisions, t.DeadLetters, t.Replies, t.ResolvedOr()}, d.cfg.Kafka.ReplyTopics...)
	states, err := consult(ctx, func(ctx context.Context) (map[string]kafka.TopicState, error) { return survey.Topics(ctx, names...) })
	if err != nil {
		f.fault("kafka topics", err.Error(), "see that the brokers answer within "+doctorWait.String())
		return f
	}
	for _, name := range names {
		d.topic(&f, name, states[name])
	}
	f = append(f, d.allowed(ctx, survey, states)...)
	return append(f, d.recordTimes(states)...)
}

// topic looks at one.
func (d *doctor) topic(f *findings, name string, s kafka.TopicState) {
	about, t := "kafka topic "+name, &d.cfg.Kafka.Topics
	switch {
	case errors.Is(s.Err, kafka.ErrNoTopic) && name == t.ResolvedOr():
		return // verdict dlq makes it
	case errors.Is(s.Err, kafka.ErrNoTopic) && slices.Contains(d.cfg.Kafka.ReplyTopics, name):
		f.warn(about, "it is on kafka.reply_topics and not there", "make it, or take it off the list: replies that are asked for on it are lost")
		return
	case errors.Is(s.Err, kafka.ErrNoTopic) && d.cfg.Kafka.CreateTopics:
		f.warn(about, "it is not there", "serve makes it at its start, with the brokers' defaults; deploy/topics.yaml says what it should be")
		return
	case s.Err != nil:
		f.fault(about, s.Err.Error(), "make it (deploy/topics.yaml says how), and let this client see it")
		return
	}
	d.copies(f, about, s)
	d.settings(f, about, name, s.Settings)
	f.okUnless(about, "%s, %s", count(s.Partitions, "partition"), copies(s.Replicas))
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return strconv.Itoa(n) + " copies"
}

// copies looks at what a topic is kept on.
func (d *doctor) copies(f *findings, about string, s kafka.TopicState) {
	if len(s.Leaderless) > 0 {
		f.fault(about, "no broker leads "+partitionsText(s.Leaderless), "bring the brokers back that have them: nothing is read from there, nor written")
	}
	if len(s.Lagging) > 0 {
		f.warn(about, "a copy is not in sync, of "+partitionsText(s.Lagging), "look at the brokers that have them")
	}
	least, err := strconv.Atoi(s.Settings["min.insync.replicas"])
	switch {
	case err != nil: // not told
	case s.Replicas < least:
		f.fault(about, fmt.Sprintf("%s, and min.insync.replicas is %d: nothing can be written", copies(s.Replicas), least), "raise the replication factor, or lower min.insync.replicas")
	case s.Replicas == 1:
		f.warn(about, "there is one copy: a broker that is lost takes it along", "replication factor 3 and min.insync.replicas 2")
	case s.Replicas == least:
		f.warn(about, fmt.Sprintf("%s, and min.insync.replicas is %d: one broker that is away stops all writing", copies(s.Replicas), least), "replication factor 3 and min.insync.replicas 2")
	case least == 1:
		f.warn(about, "min.insync.replicas is 1: what is acknowledged may be on one broker alone", "min.insync.replicas 2, with replication factor 3")
	}
	if s.Settings["unclean.leader.election.enable"] == "true" {
		f.warn(about, "unclean.leader.election.enable is true: acknowledged records may be lost", "set it to false")
	}
}

func partitionsText(p []int32) string {
	text := strings.Trim(fmt.Sprint(p), "[]")
	if len(p) == 1 {
		return "partition " + text
	}
	return "partitions " + strings.ReplaceAll(text, " ", ", ")
}

// settings looks at how long a topic keeps what, and how large that may be.
func (d *doctor) settings(f *findings, about, name string, set map[string]string) {
	t := &d.cfg.Kafka.Topics
	compacts := strings.Contains(set["cleanup.policy"], "compact")
	switch {
	case name == t.ResolvedOr() && set["cleanup.policy"] != "" && set["cleanup.policy"] != "compact":
		f.warn(about, "cleanup.policy is "+set["cleanup.policy"]+": notes may go before their letters, which are then listed again", "cleanup.policy=compact")
	case name != t.ResolvedOr() && compacts:
		f.fault(about, "cleanup.policy is "+set["cleanup.policy"]+": of all records of one key the last alone stays", "cleanup.policy=delete: its history is what features and decisions can be made of again")
	}
	if set["message.timestamp.type"] == "LogAppendTime" && name != t.ResolvedOr() {
		f.warn(about, "message.timestamp.type is LogAppendTime", "CreateTime: latencies are counted from the time that the producer set")
	}
	d.retention(f, about, name, set)
	if limit, err := strconv.Atoi(set["max.message.bytes"]); err == nil && limit < d.cfg.Orders.MaxBytes+recordOverhead && (name == t.Orders || name == t.Sync || name == t.DeadLetters) {
		do := "raise it, or lower orders.max_bytes"
		if name == t.DeadLetters {
			do += ": a letter that does not fit loses its value"
		}
		f.warn(about, fmt.Sprintf("max.message.bytes is %d, and orders.max_bytes %d", limit, d.cfg.Orders.MaxBytes), do)
	}
}

// recordOverhead is about what a record has beside its value: key, the headers of a dead letter, and the batch around it.
const recordOverhead = 2 << 10

// retention holds how long a topic is kept against what it is read again for.
func (d *doctor) retention(f *findings, about, name string, set map[string]string) {
	ms, err := strconv.ParseInt(set["retention.ms"], 10, 64)
	if err != nil || ms < 0 {
		return
	}
	keeps, t := time.Duration(min(ms, int64(1<<53)))*time.Millisecond, &d.cfg.Kafka.Topics
	if ms > int64(1<<53)/1_000_000 {
		return // longer than a duration can say
	}
	var needs time.Duration
	why := ""
	switch name {
	case t.Orders, t.Sync, t.Labels:
		if d.features == nil {
			return
		}
		needs = d.features.Keep() + d.cfg.State.Lateness
		why = "a store that was lost can be rebuilt from it only as far back; features look back " + days(d.features.Keep()) + ", and state.lateness is " + days(d.cfg.State.Lateness)
	case t.Decisions:
		needs, why = d.cfg.State.Decisions, "a store that was lost gets back no first decision that is older; state.decisions is "+days(d.cfg.State.Decisions)
	case t.DeadLetters:
		needs, why = 7*24*time.Hour, "letters must be looked at, mended and retried before they go"
	}
	if keeps < needs {
		f.warn(about, fmt.Sprintf("retention.ms keeps it for %s: %s", days(keeps), why), fmt.Sprintf("retention.ms=%d or more (%s), or -1", needs.Milliseconds(), days(needs)))
	}
}

// allowed holds what this client may do against what its role needs.
func (d *doctor) allowed(ctx context.Context, survey *kafka.Survey, states map[string]kafka.TopicState) (f findings) {
	const about = "kafka rights"
	if guarded, err := consult(ctx, survey.Authorizer); err == nil && !guarded {
		f.ok(about, "the brokers ask nobody who may do what")
		return f
	}
	may := make(map[string][]string)
	for name, s := range states {
		if s.Err == nil && s.Allowed != nil {
			may[name] = s.Allowed
		}
	}
	if len(may) == 0 {
		f.warn(about, "the brokers do not say what this client may do", "compare with the rights that are printed below")
		return f
	}
	for _, role := range doctorRoles() {
		if role == "tools" || d.role != "all" && d.role != role {
			continue
		}
		if lacks, commands := d.lacking(role, may); len(lacks) > 0 {
			f.fault(about, "as "+role+" this client lacks "+strings.Join(lacks, ", "), strings.Join(commands, "\n"))
		}
	}
	f.okUnless(about, "on the topics that are there this client has all that it needs")
	return f
}

// recordTimes holds the times of records against this clock: producers whose clocks are ahead, or this one behind.
func (d *doctor) recordTimes(states map[string]kafka.TopicState) (f findings) {
	const about = "clock of producers"
	var newest time.Time
	where := ""
	for _, name := range []string{d.cfg.Kafka.Topics.Orders, d.cfg.Kafka.Topics.Sync, d.cfg.Kafka.Topics.Labels} {
		if at := states[name].Newest; at.After(newest) {
			newest, where = at, name
		}
	}
	switch ahead := time.Until(newest); {
	case newest.IsZero():
	case ahead > maxSkew:
		f.warn(about, fmt.Sprintf("the newest record of %s is %s ahead of this machine", where, ahead.Round(time.Second)), "set the clocks, of its producer or of this machine")
	default:
		f.ok(about, "no record is ahead of this machine")
	}
	return f
}

// maxSkew is how far clocks may differ: the time for which a scorer still replies to an order whose deadline is over.
const maxSkew = time.Second

// groups looks at the consumer groups of both lanes.
func (d *doctor) groups(ctx context.Context, survey *kafka.Survey) (f findings) {
	for _, name := range []string{d.cfg.Kafka.Group, d.cfg.Kafka.Group + ".sync"} {
		about := "kafka group " + name
		g, err := consult(ctx, func(ctx context.Context) (kafka.GroupState, error) { return survey.Group(ctx, name) })
		if errors.Is(err, kafka.ErrNoCoordinator) {
			f.warn(about, err.Error(), "on a new cluster this passes with the first scorer; else look at the brokers' __consumer_offsets")
			continue
		}
		if err != nil {
			f.fault(about, err.Error(), "see that this client may describe the group, and that its coordinator answers")
			continue
		}
		for _, gap := range g.Gaps {
			place := fmt.Sprintf("%s/%d", gap.Topic, gap.Partition)
			if gap.At < gap.LogStart {
				f.fault(about, fmt.Sprintf("log gap in %s: it is at offset %d, and the log begins at %d: %d records were deleted before they were read", place, gap.At, gap.LogStart, gap.LogStart-gap.At),
					"serve --accept-gap goes on with what is left; keep the topic for longer than any scorer may be away")
			} else {
				f.fault(about, fmt.Sprintf("it is at offset %d of %s, whose log ends at %d", gap.At, place, gap.LogEnd), "the topic was made anew, or lost records: see which, before scorers go on")
			}
		}
		switch {
		case g.Members == 0 && g.Lag > 0:
			f.warn(about, count(int(g.Lag), "record")+" behind, and nobody reads", "start a scorer")
		case g.Committed == 0 && g.Members == 0:
			f.okUnless(about, "it has read nothing yet")
		default:
			f.okUnless(about, "%s, %s, %s behind", cmp.Or(strings.ToLower(g.State), "unknown"), count(g.Members, "member"), count(int(g.Lag), "record"))
		}
	}
	return f
}
