package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"verdict/consumer"
	"verdict/consumer/backfill"
	"verdict/consumer/kafka"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// rebuildFlags are the flags of verdict rebuild.
type rebuildFlags struct {
	site   siteFlags
	to     string
	resume bool
}

func newRebuildCommand() *cobra.Command {
	f := rebuildFlags{}
	c := &cobra.Command{
		Use:   "rebuild -c verdict.yaml",
		Short: "Fill an empty store from the topics: points, labels, claims on ids and first decisions",
		Long: `Fill an empty store from the topics, up to what the scorers have committed: the points and labels of the config's feature set, the claims on ids, and the
first decisions. Run it while no scorer runs; when these start they go on where they were. At the end it prints the digest that verdict state prints.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	f.site.register(c)
	c.Flags().StringVar(&f.to, "to", "committed", "where to end: committed (by the config's group), end (of the topics), or `OFFSETS`: topic/partition:offset,…")
	c.Flags().BoolVar(&f.resume, "resume", false, "go on with a rebuild that was broken off: the prefix may hold keys already")
	return c
}

// rebuilding is a rebuild at work.
type rebuilding struct {
	cfg    Config
	parts  *parts
	store  *redisstore.Store
	notice *redisstore.Bulletin
	ledger consumer.Ledger
	log    *slog.Logger
	ends   kafka.Offsets
	read   kafka.Offsets // up to where orders and labels were read
	began  time.Time
	err    io.Writer
}

func (f *rebuildFlags) run(c *cobra.Command) error {
	r := &rebuilding{began: time.Now(), err: c.ErrOrStderr()}
	if err := r.load(&f.site); err != nil {
		return err
	}
	client := redisstore.Dial(dialConfig(&r.cfg.Redis))
	redis.SetLogger(redisLog{r.log})
	r.store = redisstore.New(client, storeConfig(&r.cfg, r.parts.features))
	r.notice = newBulletin(&r.cfg, r.parts.features, client, "")
	r.ledger = consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Prefix: r.cfg.Redis.Prefix, Keep: r.cfg.State.Decisions, Timeout: r.cfg.Redis.Timeout})
	err := r.run(c.Context(), f, c.OutOrStdout())
	if c.Context().Err() != nil {
		err = errors.New("interrupted: what was written stays; --resume goes on")
	}
	return errors.Join(err, client.Close())
}

// load reads all files.
func (r *rebuilding) load(site *siteFlags) (err error) {
	if r.cfg, err = site.load(os.Environ()); err != nil {
		return err
	}
	if r.cfg.Features == "" || len(r.cfg.Kafka.BootstrapServers) == 0 {
		return fmt.Errorf("%w usage: the config names no features or no kafka.bootstrap_servers", errInvalid)
	}
	r.cfg.Model, r.cfg.Policy = "", ""
	if r.parts, err = loadParts(&r.cfg); err != nil {
		return err
	}
	r.log, err = clientLog(r.cfg.Log)
	return err
}

func (r *rebuilding) run(ctx context.Context, f *rebuildFlags, out io.Writer) error {
	if !f.resume {
		empty, err := r.store.Empty(ctx)
		if err != nil {
			return err
		}
		if !empty {
			return fmt.Errorf("the store holds keys under %q: a rebuild fills an empty one (--resume goes on with one that was broken off)", r.cfg.Redis.Prefix)
		}
	}
	if err := r.bound(ctx, f.to); err != nil {
		return err
	}
	done, err := r.readOrders(ctx)
	if err != nil {
		return err
	}
	given, foreign, err := r.readDecisions(ctx)
	if err == nil {
		err = r.store.Complete(ctx)
	}
	if err == nil {
		err = r.declare(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, doneText(done))
	fmt.Fprintf(out, "decisions %d\n", given)
	if foreign > 0 {
		fmt.Fprintf(r.err, "rebuild: %d records of the decisions topic are no decisions\n", foreign)
	}
	return tellDigest(ctx, out, r.store)
}

// bound finds where the rebuild ends.
func (r *rebuilding) bound(ctx context.Context, to string) (err error) {
	t := r.cfg.Kafka.Topics
	switch to {
	case "end":
		return nil
	case "committed":
		if r.ends, err = committed(ctx, &r.cfg, r.cfg.Kafka.Connection); err != nil {
			return err
		}
		if len(r.ends) == 0 {
			return fmt.Errorf("group %s has committed nothing in %s, %s or %s: --to says where to end", r.cfg.Kafka.Group, t.Orders, t.Sync, t.Labels)
		}
	default:
		if r.ends, err = parseOffsets(to); err != nil {
			return fmt.Errorf("%w usage: --to: %w", errInvalid, err)
		}
	}
	return nil
}

func (r *rebuilding) open(ctx context.Context, ends kafka.Offsets, topics ...kafka.HistoryTopic) (*kafka.History, error) {
	connection := r.cfg.Kafka.Connection
	connection.Log = r.log
	return kafka.OpenHistory(ctx, kafka.HistoryConfig{Connection: connection, Topics: topics, Ends: ends})
}

// readOrders brings points, labels and claims back.
func (r *rebuilding) readOrders(ctx context.Context) (backfill.Summary, error) {
	t := r.cfg.Kafka.Topics
	history, err := r.open(ctx, r.ends, kafka.HistoryTopic{Name: t.Labels, Stream: consumer.Labels},
		kafka.HistoryTopic{Name: t.Orders, Stream: consumer.Orders}, kafka.HistoryTopic{Name: t.Sync, Stream: consumer.Orders})
	if err != nil {
		return backfill.Summary{}, err
	}
	defer history.Close()
	r.read = history.Ends()
	run, err := backfill.New(backfill.Config{
		History: history, Features: r.parts.features, Orders: r.parts.orders, Labels: r.parts.labels, Events: r.cfg.Events.times(),
		Topics: []string{t.Orders, t.Sync}, Lateness: r.cfg.State.Lateness, Log: r.log,
		Recorder: backfill.NewRecorder(backfill.RecorderConfig{Memory: memstore.New(memstore.Config{Keep: r.cfg.State.Decisions}), Target: r.store, All: true, Log: r.log}),
	})
	if err != nil {
		return backfill.Summary{}, err
	}
	told := tellRun(r.err, "rebuild", history, run)
	err = run.Run(ctx)
	told.End()
	return run.Summary(), err
}

// declare says that the store has everything up to where it was read, so that a scorer which starts need not look for itself.
func (r *rebuilding) declare(ctx context.Context) error {
	var marks []redisstore.Mark
	for topic, partitions := range r.read {
		for number, next := range partitions {
			marks = append(marks, redisstore.Mark{Topic: topic, Partition: number, Next: next, Millis: r.began.UnixMilli()})
		}
	}
	if err := r.notice.SetMarks(ctx, marks); err != nil {
		return err
	}
	return r.notice.Declare(ctx, rand.Text())
}

// readDecisions brings the first decisions back, of the orders that lie before the end.
func (r *rebuilding) readDecisions(ctx context.Context) (given, foreign int64, err error) {
	reader, err := schemas.NewDecisionReader(r.parts.registry)
	if err != nil {
		return 0, 0, err
	}
	history, err := r.open(ctx, nil, kafka.HistoryTopic{Name: r.cfg.Kafka.Topics.Decisions})
	if err != nil {
		return 0, 0, err
	}
	defer history.Close()
	cfg := backfill.DecisionsConfig{History: history, Reader: reader, Ledger: r.ledger, Since: r.began.Add(-r.cfg.State.Decisions)}
	if r.ends != nil {
		cfg.Before = func(s schemas.Source) bool { return s.Offset < r.ends[s.Topic][s.Partition] }
	}
	return backfill.KeepDecisions(ctx, cfg)
}
