package main

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/cmd/verdict/internal/upkeep"
	"verdict/consumer"
	"verdict/consumer/backfill"
	"verdict/consumer/kafka"
	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// What a worker does while the store lacks something (redis.on_loss).
const (
	onLossFlag = "flag"
	onLossWait = "wait"
)

// openStore makes the clients of the store, and for a process that scores the Keeper, unless the store is its own memory. Nothing is asked of a server yet.
func (s *service) openStore() {
	if !s.scores || s.cfg.State.Store == "memory" {
		s.state = openState(&s.cfg, s.parts.features, nil)
		return
	}
	writer := rand.Text()
	guard := redisstore.NewGuard(redisstore.GuardConfig{Prefix: s.cfg.Redis.Prefix, Writer: writer, Keep: keepOf(&s.cfg, s.parts.features), Lost: func() { s.keeper.Lost() }})
	s.state = openState(&s.cfg, s.parts.features, guard)
	s.keeper = upkeep.New(upkeep.Config{
		Writer: writer, Guard: guard, Wait: s.cfg.Redis.OnLoss == onLossWait, Decisions: s.cfg.State.Decisions,
		Bulletin:  newBulletin(&s.cfg, s.parts.features, s.state.client, writer),
		Committed: func(ctx context.Context) (kafka.Offsets, error) { return committed(ctx, &s.cfg, s.connection("admin")) },
		Apply:     s.applyHistory,
		Keep:      s.keepHistory,
		Metrics:   upkeep.NewMetrics(s.metrics), Log: s.log,
	})
}

// newBulletin makes the Bulletin of a process that works on the store.
func newBulletin(cfg *Config, features *preprocess.FeatureSet, client redis.UniversalClient, writer string) *redisstore.Bulletin {
	return redisstore.NewBulletin(redisstore.BulletinConfig{
		Client: client, Prefix: cfg.Redis.Prefix, Writer: writer, Keep: keepOf(cfg, features), Timeout: cfg.Redis.Timeout,
	})
}

// keepOf is how long what processes tell each other in the store is kept: longer than anything else in it lives.
func keepOf(cfg *Config, features *preprocess.FeatureSet) time.Duration {
	return storeConfig(cfg, features).Keep + redisstore.DefaultLag
}

// committed returns up to where the groups of the lanes have committed orders and labels.
func committed(ctx context.Context, cfg *Config, connection kafka.Connection) (kafka.Offsets, error) {
	t, out := cfg.Kafka.Topics, make(kafka.Offsets)
	for group, topics := range map[string][]string{cfg.Kafka.Group: {t.Orders, t.Labels}, cfg.Kafka.Group + ".sync": {t.Sync}} {
		offsets, err := kafka.Committed(ctx, connection, group, topics...)
		if err != nil && !errors.Is(err, kafka.ErrNoCommits) { // of one lane there may have been none
			return nil, err
		}
		maps.Copy(out, offsets)
	}
	return out, nil
}

// applyHistory applies orders and labels of the topics to the store as the lanes do, without deciding.
func (s *service) applyHistory(ctx context.Context, starts, ends kafka.Offsets, applied func(context.Context, []consumer.Record) error) error {
	t := s.cfg.Kafka.Topics
	var topics []kafka.HistoryTopic
	for _, topic := range []kafka.HistoryTopic{{Name: t.Labels, Stream: consumer.Labels}, {Name: t.Orders, Stream: consumer.Orders}, {Name: t.Sync, Stream: consumer.Orders}} {
		if len(ends[topic.Name]) > 0 {
			topics = append(topics, topic)
		}
	}
	history, err := kafka.OpenHistory(ctx, kafka.HistoryConfig{Connection: s.connection("admin"), Topics: topics, Starts: starts, Ends: ends, MaxPollRecords: s.cfg.Kafka.MaxPollRecords})
	if err != nil {
		return err
	}
	defer history.Close()
	worker, err := consumer.New(consumer.Config{
		Transport: &applying{History: history, applied: applied}, Orders: s.parts.orders, Labels: s.parts.labels, Binding: s.parts.features.Binding(),
		Extractor: preprocess.NewExtractor(s.parts.features, s.state.store, s.cfg.State.Lateness), Store: s.state.store,
		Events: s.cfg.Events.times(), Lane: "upkeep", Topics: []string{t.Orders, t.Sync}, Log: s.log,
	})
	if err == nil {
		err = worker.Run(ctx)
	}
	if err == nil {
		err = ctx.Err() // then it has not come to its end
	}
	return err
}

// applying is a history as a worker reads it that only applies.
type applying struct {
	*kafka.History

	applied func(context.Context, []consumer.Record) error
}

// Poll is consumer.Transport's. The store has lost what is read, and may have later records.
func (a *applying) Poll(ctx context.Context) (*consumer.Batch, error) {
	batch, err := a.History.Poll(ctx)
	if batch != nil {
		batch.Again = true
	}
	return batch, err
}

// Publish drops dead letters: the live worker has written them.
func (*applying) Publish(context.Context, []consumer.Message) error { return nil }

// Commit notes that a batch is applied.
func (a *applying) Commit(ctx context.Context, batch *consumer.Batch) error {
	return a.applied(ctx, batch.Records)
}

// keepHistory keeps the first decisions again that the decisions topic has.
func (s *service) keepHistory(ctx context.Context, since time.Time, starts kafka.Offsets) (ends kafka.Offsets, kept int64, err error) {
	reader, err := schemas.NewDecisionReader(s.parts.registry)
	if err != nil {
		return nil, 0, err
	}
	cfg := kafka.HistoryConfig{Connection: s.connection("admin"), Topics: []kafka.HistoryTopic{{Name: s.cfg.Kafka.Topics.Decisions}}, Starts: starts}
	if starts == nil {
		cfg.Since = since
	}
	history, err := kafka.OpenHistory(ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	defer history.Close()
	kept, _, err = backfill.KeepDecisions(ctx, backfill.DecisionsConfig{History: history, Reader: reader, Ledger: s.state.ledger, Restore: s.state.again, Since: time.Now().Add(-s.cfg.State.Decisions)})
	return history.Ends(), kept, err
}
