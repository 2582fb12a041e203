package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"verdict/consumer"
	"verdict/consumer/backfill"
	"verdict/consumer/kafka"
	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
)

// backfillFlags are the flags of verdict backfill.
type backfillFlags struct {
	site                     siteFlags
	features, orders, labels string
	rate                     float64
	settle                   durationFlag
	all, follow              bool
}

func newBackfillCommand() *cobra.Command {
	f := backfillFlags{settle: durationFlag(time.Minute)}
	c := &cobra.Command{
		Use:   "backfill --features NEW",
		Short: "Warm up what a new feature set needs and others do not keep, under live traffic",
		Long: `Warm up what a new feature set needs and others do not keep, under live traffic. Then it gives what it would have given, had it run from the start.

The new set is run over the history in memory, from its beginning, and of the orders that it can still ask for, the points that no set at work keeps (or
not for long enough) are written to the store, no faster than --rate. It can be broken off and run again: nothing counts twice.

To roll out: verdict diff; verdict backfill --follow; when it says that it follows, replace the processes that run the old set; then interrupt it.`,
		Example: `  verdict backfill --features card-2.yaml -c verdict.yaml --follow
  verdict backfill --features card-2.yaml --orders orders.jsonl.gz --labels labels.jsonl.gz --store redis://localhost:6379 --prefix verdict:`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	f.site.register(c)
	flags := c.Flags()
	flags.StringVar(&f.features, "features", "", "the new feature set: `FILE`")
	flags.StringVar(&f.orders, "orders", "", "the history: kafka://broker[,broker]/topic[,topic] in the order of kafka.topics, or a file as replay reads it: `SRC` (else the config's topics)")
	flags.StringVar(&f.labels, "labels", "", "what became known of them: `SRC` of the same kind (else the config's topic, when --orders is not given)")
	flags.StringVar(&f.site.schema, "schema", "", "what an order looks like, in place of the config's: `FILE` .avsc or JSON Schema")
	flags.Float64Var(&f.rate, "rate", 5000, "orders a second that the store is given at most, so that live traffic does not wait; 0 is no limit")
	flags.Var(&f.settle, "settle", "how long to wait before the first point of a column that others keep for too short, so that they know to keep it")
	flags.BoolVar(&f.all, "all", false, "write all that the set needs, whatever other sets keep")
	flags.BoolVar(&f.follow, "follow", false, "go on with new orders until interrupted (kafka:// only)")
	if err := c.MarkFlagRequired("features"); err != nil {
		panic(err) // unreachable: it is defined above
	}
	return c
}

// warming is a backfill at work.
type warming struct {
	flags    *backfillFlags
	cfg      Config
	parts    *parts
	store    *redisstore.Store
	columns  []backfill.Column
	after    time.Time // when the first point may be written
	file     bool      // the history lies in files
	recorder *backfill.Recorder
	log      *slog.Logger
	out, err io.Writer
}

func (f *backfillFlags) run(c *cobra.Command) error {
	w := &warming{flags: f, out: c.OutOrStdout(), err: c.ErrOrStderr()}
	if err := w.load(); err != nil {
		return err
	}
	client := redisstore.Dial(dialConfig(&w.cfg.Redis))
	redis.SetLogger(redisLog{w.log})
	w.store = redisstore.New(client, storeConfig(&w.cfg, w.parts.features))
	err := w.warm(c.Context())
	return errors.Join(err, client.Close())
}

// load reads all files.
func (w *warming) load() (err error) {
	f := w.flags
	if w.cfg, err = f.site.load(os.Environ()); err != nil {
		return err
	}
	if f.rate < 0 || f.follow && f.orders != "" && !inKafka(f.orders) || f.labels != "" && inKafka(f.labels) != (f.orders == "" || inKafka(f.orders)) {
		return fmt.Errorf("%w usage: --follow goes with kafka://, --orders and --labels are of one kind, --rate is not below 0", errInvalid)
	}
	w.file = f.orders != "" && !inKafka(f.orders)
	w.cfg.Features, w.cfg.Model, w.cfg.Policy = f.features, "", ""
	if w.parts, err = loadParts(&w.cfg); err != nil {
		return err
	}
	w.log, err = clientLog(w.cfg.Log)
	return err
}

// warm finds what is to be written, and writes it.
func (w *warming) warm(ctx context.Context) error {
	if err := w.plan(ctx); err != nil {
		return err
	}
	if len(w.columns) == 0 {
		fmt.Fprintln(w.out, "nothing to warm up: the feature sets at work keep all that", w.parts.features.Version(), "needs")
		return nil
	}
	cfg := backfill.RecorderConfig{
		Memory: memstore.New(memstore.Config{Keep: w.cfg.State.Decisions}), Target: w.store, Columns: w.columns,
		Rate: w.flags.rate, After: w.after, Log: w.log,
	}
	if w.file {
		cfg.Adopt = w.store.Adopt
	}
	w.recorder = backfill.NewRecorder(cfg)
	if w.flags.orders != "" && w.flags.labels == "" && slices.ContainsFunc(w.columns, func(c backfill.Column) bool { return c.Column == "" }) {
		fmt.Fprintln(w.err, "backfill: there is no --labels: features over features that look at labels are kept as if nothing had been known")
	}
	read := w.readTopics
	if w.file {
		read = w.readFiles
	}
	done, err := read(ctx)
	if err == nil && !w.flags.follow {
		err = w.store.Complete(ctx) // a follower has said so itself
	}
	if err != nil {
		return err
	}
	return w.summary(ctx, done)
}

// plan says what is to be written: what the sets at work do not keep, or not for as long. These are told first what is to be kept.
func (w *warming) plan(ctx context.Context) error {
	others, err := w.store.Kept(ctx, w.parts.features.Version().Hash)
	if err != nil {
		return err
	}
	uses := w.parts.features.Columns(w.cfg.State.Lateness)
	if !w.flags.all {
		uses = preprocess.Lacking(uses, others)
	}
	newest, known, err := w.store.Newest(ctx)
	if err != nil || len(uses) == 0 {
		return err
	}
	if w.file {
		for _, use := range uses {
			if use.Merge != nil {
				entity, what := w.parts.features.Describe(use)
				return fmt.Errorf("%w usage: %s %s: merged columns are written by offset, which a file does not have; give --orders kafka://", errInvalid, entity, what)
			}
		}
	}
	if known {
		if err := w.store.Register(ctx, newest); err != nil {
			return err
		}
		if preprocess.Share(uses, others) {
			w.after = time.Now().Add(time.Duration(w.flags.settle))
		}
	}
	for _, use := range uses {
		column, since := backfill.Column{ColumnUse: use}, "the beginning"
		if known {
			// The newest order may be dated ahead; what the present asks for lies further back by that.
			column.Since = newest.Add(-use.Keep - max(w.cfg.Events.MaxAhead, 24*time.Hour))
			since = column.Since.Format(time.RFC3339)
		}
		w.columns = append(w.columns, column)
		entity, what := w.parts.features.Describe(use)
		fmt.Fprintf(w.err, "backfill: %s %s, of orders since %s\n", entity, what, since)
	}
	return nil
}

// nearEnough is how near to the end of the topics a follower is when a version can be rolled out, in offsets: what comes in a part of a second where much comes.
const nearEnough = 500

// tellBehind says what a follower had not written when it was interrupted, if that is more than was on its way.
func (w *warming) tellBehind(ctx context.Context, history *kafka.History) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if behind, err := history.Behind(ctx); err == nil && behind > nearEnough {
		fmt.Fprintf(w.err, "backfill: interrupted %d offsets behind the end of the topics: what processes of the old version decided of these is not written for the new one; run it again\n", behind)
	}
}

// tellRun tells on stderr how far a run through topics is.
func tellRun(to io.Writer, name string, history *kafka.History, run *backfill.Run) *replay.Telling {
	return replay.Tell(replay.TellConfig{
		To: to, Name: name, Bar: to == os.Stderr && term.IsTerminal(int(os.Stderr.Fd())), Color: os.Getenv("NO_COLOR") == "",
		Far: func() replay.Far {
			done, total := history.Progress()
			s := run.Summary()
			return replay.Far{Orders: s.Orders, Text: fmt.Sprintf(", %d written, %d points, %d labels", s.Written, s.Points, s.Labels), Done: done, Total: total, Of: "the history"}
		},
	})
}

// readTopics runs the history in Kafka.
func (w *warming) readTopics(ctx context.Context) (backfill.Summary, error) {
	read, lanes, err := topicsOf(&w.cfg.Kafka, w.flags.orders, w.flags.labels)
	if err != nil {
		return backfill.Summary{}, fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	connection := w.cfg.Kafka.Connection
	connection.Log = w.log
	history, err := kafka.OpenHistory(ctx, kafka.HistoryConfig{Connection: connection, Topics: read, Follow: w.flags.follow})
	if err != nil {
		return backfill.Summary{}, err
	}
	defer history.Close()
	following, enough := false, int64(0)
	var incomplete error
	run, err := backfill.New(backfill.Config{
		History: history, Features: w.parts.features, Recorder: w.recorder, Orders: w.parts.orders, Labels: w.parts.labels,
		Events: w.cfg.Events.times(), Topics: lanes, Lateness: w.cfg.State.Lateness, Log: w.log,
		Polled: func() {
			done, total := history.Progress()
			if !w.flags.follow || following || done < max(total, enough) {
				return
			}
			// The end that it knew is that of its start, and orders have come since.
			behind, err := history.Behind(ctx)
			if err != nil || behind > nearEnough {
				enough = done + max(1, behind-nearEnough)
				return
			}
			following = true
			incomplete = w.store.Complete(ctx)
			fmt.Fprintf(w.err, "backfill: the history is written; following. %s can be rolled out now\n", w.parts.features.Version())
		},
	})
	if err != nil {
		return backfill.Summary{}, err
	}
	told := tellRun(w.err, "backfill", history, run)
	err = run.Run(ctx)
	told.End()
	if err == nil && ctx.Err() != nil && !following {
		err = errInterrupted
	}
	if err == nil && following {
		w.tellBehind(ctx, history)
	}
	return run.Summary(), cmp.Or(err, incomplete)
}

var errInterrupted = errors.New("interrupted: what was written stays, and the same command goes on with the rest")

// readFiles runs the history in files.
func (w *warming) readFiles(ctx context.Context) (done backfill.Summary, err error) {
	from := sources{}
	cfg := replay.Config{
		Features: w.parts.features, File: w.flags.features, Schema: w.parts.schema, Store: w.recorder, Lateness: w.cfg.State.Lateness,
		Write: replay.CSV, Stdout: io.Discard, Stdin: os.Stdin, Stderr: w.err,
	}
	if cfg.Orders, err = from.location(w.flags.orders, consumer.Orders); err != nil {
		return done, fmt.Errorf("%w: --orders: %w", errInvalid, err)
	}
	if w.flags.labels != "" {
		labels, err := from.location(w.flags.labels, consumer.Labels)
		if err != nil {
			return done, fmt.Errorf("%w: --labels: %w", errInvalid, err)
		}
		cfg.Labels = &labels
	}
	run, err := replay.Run(ctx, cfg)
	switch {
	case errors.Is(err, replay.ErrFeatures):
		return done, fmt.Errorf("%w: %w", errInvalid, err)
	case errors.Is(err, context.Canceled):
		return done, errInterrupted
	case err != nil:
		return done, err
	}
	done = backfill.Summary{Orders: run.Orders, Refused: run.DeadLetters}
	done.Written, done.Points, done.Labels, done.Foreign = w.recorder.Counts()
	return done, nil
}

// summary says what was done.
func (w *warming) summary(ctx context.Context, done backfill.Summary) error {
	for _, c := range w.columns {
		entity, what := w.parts.features.Describe(c.ColumnUse)
		fmt.Fprintf(w.out, "column %s %s, kept for %s\n", entity, what, back(c.Keep))
	}
	fmt.Fprintln(w.out, doneText(done))
	if w.flags.follow {
		return nil // the store has gone on by now
	}
	return tellDigest(ctx, w.out, w.store)
}

// doneText writes what a run through a history did.
func doneText(s backfill.Summary) string {
	parts := []string{fmt.Sprintf("orders read %d, written %d; points %d; labels %d", s.Orders, s.Written, s.Points, s.Labels)}
	for _, more := range []struct {
		n    int64
		what string
	}{{s.Repeats, "copies of orders"}, {s.Refused, "not taken, as they were dead letters"}, {s.Foreign, "known to the store with another content"}} {
		if more.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", more.n, more.what))
		}
	}
	return strings.Join(parts, "; ")
}
