package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/time/rate"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// dlqResolveFlags are the flags of verdict dlq retry and drop.
type dlqResolveFlags struct {
	dlqFlags

	all, yes, dryRun, again bool
	rate                    float64
}

func newDLQRetryCommand() *cobra.Command {
	f := dlqResolveFlags{}
	c := &cobra.Command{
		Use:   "retry [PARTITION:OFFSET...] -c verdict.yaml",
		Short: "Send the records of dead letters again to where they came from",
		Long: `Send the records of dead letters again, key, value and headers as they came, to the topic that they came from (what came from orders.sync goes to orders:
nobody waits any more, and those who do come first). An order that was decided meanwhile keeps its first decision. What still cannot be decided becomes a
dead letter again.`,
		Example: `  verdict dlq retry -c verdict.yaml --code schema_unknown --since 2h --dry-run
  verdict dlq retry -c verdict.yaml 0:17 2:4`,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args, dlqRetried) },
	}
	f.register(c)
	c.Flags().BoolVar(&f.again, "again", false, "also letters that were retried or dropped already")
	c.Flags().Float64Var(&f.rate, "rate", 0, "at most so many records a second; 0 is as fast as the brokers take them")
	return c
}

func newDLQDropCommand() *cobra.Command {
	f := dlqResolveFlags{}
	c := &cobra.Command{
		Use:     "drop [PARTITION:OFFSET...] -c verdict.yaml",
		Short:   "Note that dead letters are done with, without sending them again",
		Long:    `Note that dead letters are done with: verdict dlq list shows them no more. The records stay on their topic until its retention removes them.`,
		Example: `  verdict dlq drop -c verdict.yaml --code json_syntax --until 2026-11-01`,
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c, args, dlqDropped) },
	}
	f.register(c)
	return c
}

func (f *dlqResolveFlags) register(c *cobra.Command) {
	f.registerFilters(c)
	c.Flags().BoolVar(&f.all, "all", false, "all that are not done with")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
}

func (f *dlqResolveFlags) run(c *cobra.Command, args []string, action string) error {
	d, err := f.open(args)
	if err != nil {
		return err
	}
	switch {
	case f.rate < 0:
		return fmt.Errorf("%w usage: --rate must not be negative", errInvalid)
	case f.all && (len(args) > 0 || d.choice.narrowed()):
		return fmt.Errorf("%w usage: --all does not go with filters or places", errInvalid)
	case !f.all && len(args) == 0 && !d.choice.narrowed():
		return fmt.Errorf("%w usage: say which letters: by place, by filters (--code, --from-topic, --since, --until, --limit), or --all", errInvalid)
	}
	d.choice.done = f.again
	r := &dlqResolving{dlq: d, action: action, rate: f.rate, out: c.OutOrStdout(), err: c.ErrOrStderr()}
	plan, err := r.plan(c.Context())
	if err != nil {
		return err
	}
	if f.dryRun {
		fmt.Fprint(r.out, plan.text(action))
		return nil
	}
	fmt.Fprint(r.err, plan.text(action))
	if len(plan.to) == 0 && len(plan.not) == 0 {
		return nil
	}
	if !f.yes {
		if err := confirm(c.InOrStdin(), r.err); err != nil {
			return err
		}
	}
	return r.run(c.Context())
}

// confirm asks whoever sits there.
func confirm(in io.Reader, out io.Writer) error {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return fmt.Errorf("%w usage: --yes says that it is to be done, where nobody can be asked", errInvalid)
	}
	fmt.Fprint(out, "Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("not done")
	}
	return nil
}

// dlqPlan is what is to be done.
type dlqPlan struct {
	to  map[string]int // :: topic → how many records
	not map[string]int // :: why not → how many letters
}

func (p *dlqPlan) text(action string) string {
	var b strings.Builder
	verb := map[string]string{dlqRetried: "to be sent to", dlqDropped: "to be dropped, of"}[action]
	for _, topic := range slices.Sorted(maps.Keys(p.to)) {
		fmt.Fprintf(&b, "%d %s %s\n", p.to[topic], verb, cmp.Or(topic, "an unknown topic"))
	}
	for _, why := range slices.Sorted(maps.Keys(p.not)) {
		fmt.Fprintf(&b, "%d not: %s\n", p.not[why], why)
	}
	if b.Len() == 0 {
		return "no such letters\n"
	}
	return b.String()
}

// dlqResolving is a retry, or a drop, at work.
type dlqResolving struct {
	*dlq

	action   string
	rate     float64
	out, err io.Writer

	feed  *kafka.Feed
	pace  *rate.Limiter
	marks map[string]dlqMark // of letters that are done with by now
	chunk []dlqItem
	done  int
	not   []string // letters that could not be retried, and why
}

// dlqItem is a letter whose turn it is.
type dlqItem struct {
	id     string
	at     position
	record consumer.Record // to be written; of a letter that is dropped none
}

// dlqChunk is how many records are on their way at once. Those of a chunk that was broken off have been sent and are not noted: the next retry sends them
// again.
const dlqChunk = 100

// each gives the chosen letters to fn, of copies the first alone.
func (r *dlqResolving) each(ctx context.Context, fn func(*consumer.Letter) error) (err error) {
	if r.marks, err = r.readMarks(ctx); err != nil {
		return err
	}
	seen := make(map[string]bool)
	return r.letters(ctx, r.marks, func(l *consumer.Letter, _ *dlqMark) error {
		if id := l.ID(); !seen[id] {
			seen[id] = true
			return fn(l)
		}
		return nil
	})
}

// plan says what run would do.
func (r *dlqResolving) plan(ctx context.Context) (dlqPlan, error) {
	p := dlqPlan{to: make(map[string]int), not: make(map[string]int)}
	err := r.each(ctx, func(l *consumer.Letter) error {
		if r.action == dlqDropped {
			p.to[l.Source.Topic]++
			return nil
		}
		if topic, _, why := r.destination(l); why != "" {
			p.not[why]++
		} else {
			p.to[topic]++
		}
		return nil
	})
	return p, err
}

// destination says where a letter's record is to be sent, or why it cannot be. Orders of callers who waited go behind the others: a backlog of them would stand before callers
// who wait now.
func (r *dlqResolving) destination(l *consumer.Letter) (topic string, partition int32, why string) {
	switch t := &r.cfg.Kafka.Topics; l.Source.Topic {
	case "":
		return "", 0, "the letter does not say where its record came from"
	case t.Sync:
		return t.Orders, -1, ""
	case t.Orders, t.Labels:
		return l.Source.Topic, l.Source.Partition, ""
	default:
		return "", 0, "the record came from " + l.Source.Topic + ", which is none of the config's topics of orders and labels"
	}
}

func (r *dlqResolving) run(ctx context.Context) (err error) {
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, r.feed.Close(context.WithoutCancel(ctx))) }()
	err = r.each(ctx, func(l *consumer.Letter) error {
		item := dlqItem{id: l.ID(), at: positionOf(&l.Record)}
		if r.action == dlqRetried {
			var why string
			if item.record, why = r.again(ctx, l); why != "" {
				r.not = append(r.not, item.at.String()+": "+why)
				return nil
			}
		}
		if r.chunk = append(r.chunk, item); len(r.chunk) < dlqChunk {
			return nil
		}
		return r.flush(ctx)
	})
	if err == nil {
		err = r.flush(ctx)
	}
	fmt.Fprintf(r.out, "%s %d\n", r.action, r.done)
	for _, why := range r.not {
		fmt.Fprintln(r.err, why)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: what was done is noted, and the same command goes on with the rest")
	case err == nil && len(r.not) > 0:
		return fmt.Errorf("%d letters could not be retried", len(r.not))
	case err == nil:
		return r.tidy(ctx)
	}
	return err
}

// open makes the producer, and the topic of marks where there is none.
func (r *dlqResolving) open(ctx context.Context) (err error) {
	name := r.cfg.Kafka.Topics.ResolvedOr()
	there, err := r.there(ctx, name)
	if err != nil {
		return err
	}
	spec := kafka.TopicSpec{Partitions: 1, Replication: r.cfg.Kafka.Replication, Configs: map[string]string{"cleanup.policy": "compact"}}
	switch {
	case there:
	case !r.cfg.Kafka.CreateTopics:
		return fmt.Errorf("there is no topic %s, which notes what is done with, and kafka.create_topics is false: make it with one partition and cleanup.policy=compact", name)
	default:
		if _, err := kafka.EnsureTopics(ctx, r.cfg.Kafka.Connection, map[string]kafka.TopicSpec{name: spec}); err != nil {
			return err
		}
		fmt.Fprintf(r.err, "created topic %s\n", name)
	}
	if r.pace = rate.NewLimiter(rate.Inf, dlqChunk); r.rate > 0 {
		r.pace.SetLimit(rate.Limit(r.rate))
	}
	r.feed, err = kafka.NewFeed(r.cfg.Kafka.Connection)
	return err
}

// again returns the record to be sent, or why there is none. One whose value the letters' topic would not take is looked up where it lay.
func (r *dlqResolving) again(ctx context.Context, l *consumer.Letter) (record consumer.Record, why string) {
	topic, partition, why := r.destination(l)
	if why != "" {
		return record, why
	}
	if l.Short() {
		if err := r.fill(ctx, l); err != nil {
			return record, fmt.Sprintf("its value of %d bytes was left out: %v", l.LeftOut, err)
		}
	}
	record = l.Again()
	record.Topic, record.Partition = topic, partition
	return record, ""
}

// fill puts into a letter what it left out, from where its record lay.
func (r *dlqResolving) fill(ctx context.Context, l *consumer.Letter) error {
	s, filled := l.Source, false
	one := func(offset int64) kafka.Offsets { return kafka.Offsets{s.Topic: {s.Partition: offset}} }
	cfg := kafka.HistoryConfig{Topics: []kafka.HistoryTopic{{Name: s.Topic}}, Starts: one(s.Offset), Ends: one(s.Offset + 1)}
	err := r.read(ctx, cfg, func(found *consumer.Record) error {
		whole := *found
		whole.Value = slices.Clone(found.Value)
		filled = l.Fill(&whole) || filled
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("reading the record at %s: %w", consumer.SourceText(s), err)
	case !filled:
		return fmt.Errorf("the record at %s is another by now", consumer.SourceText(s))
	}
	return nil
}

// flush sends a chunk, and then notes that it is done: so what is broken off between is sent once more, and not lost. An interrupt waits for the chunk.
func (r *dlqResolving) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil || len(r.chunk) == 0 {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	sent, faults := r.chunk, []error(nil)
	if r.action == dlqRetried {
		sent, faults = r.send(ctx)
	}
	marks := make([]consumer.Record, len(sent))
	for i := range sent {
		text, err := json.Marshal(dlqMark{Action: r.action, At: time.Now().UTC().Truncate(time.Second), Partition: sent[i].at.partition, Offset: sent[i].at.offset})
		if err != nil {
			return err
		}
		marks[i] = consumer.Record{Topic: r.cfg.Kafka.Topics.ResolvedOr(), Partition: -1, Key: []byte(sent[i].id), Value: text}
	}
	r.chunk = r.chunk[:0]
	for _, err := range r.feed.Write(ctx, marks) {
		if err != nil {
			faults = append(faults, fmt.Errorf("noting that a letter is done with: %w", err))
			continue
		}
		r.done++
	}
	return errors.Join(faults...)
}

// wait keeps to the rate.
func (r *dlqResolving) wait(ctx context.Context) error {
	for range r.chunk {
		if err := r.pace.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// send writes a chunk's records, and returns those that the brokers have. A record that they refuse for its size does not keep the others.
func (r *dlqResolving) send(ctx context.Context) (sent []dlqItem, faults []error) {
	records := make([]consumer.Record, len(r.chunk))
	for i := range r.chunk {
		records[i] = r.chunk[i].record
	}
	for i, err := range r.feed.Write(ctx, records) {
		switch item := r.chunk[i]; {
		case err == nil:
			sent = append(sent, item)
		case errors.Is(err, kafka.ErrTooLarge):
			r.not = append(r.not, item.at.String()+": "+err.Error())
		default:
			faults = append(faults, err)
		}
	}
	return sent, faults
}

// tidy takes marks out that are about letters which the log does not have any more.
func (r *dlqResolving) tidy(ctx context.Context) error {
	starts, err := kafka.LogStarts(ctx, r.cfg.Kafka.Connection, r.cfg.Kafka.Topics.DeadLetters)
	if err != nil {
		return err
	}
	var old []consumer.Record
	for id, mark := range r.marks {
		if start, known := starts[r.cfg.Kafka.Topics.DeadLetters][mark.Partition]; known && mark.Offset < start {
			old = append(old, consumer.Record{Topic: r.cfg.Kafka.Topics.ResolvedOr(), Partition: -1, Key: []byte(id)})
		}
	}
	return errors.Join(r.feed.Write(context.WithoutCancel(ctx), old)...)
}
