package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// dlqMark says that a letter is done with. Marks are JSON on a compacted topic of their own, by the letter's Letter.ID: not on the letters' topic, every
// record of which is a dead letter to whoever else reads it, and not in Redis, which is a cache.
type dlqMark struct {
	Action string    `json:"action"` // retried, dropped
	At     time.Time `json:"at"`

	// Where the letter lies, so that the mark can go when that is gone.
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// The actions of marks.
const (
	dlqRetried = "retried"
	dlqDropped = "dropped"
)

// readMarks reads which letters are done with. Before the first is, there is no topic.
func (d *dlq) readMarks(ctx context.Context) (map[string]dlqMark, error) {
	name := d.cfg.Kafka.Topics.ResolvedOr()
	out := make(map[string]dlqMark)
	there, err := d.there(ctx, name)
	if err != nil || !there {
		return out, err
	}
	err = d.read(ctx, kafka.HistoryConfig{Topics: []kafka.HistoryTopic{{Name: name}}}, func(r *consumer.Record) error {
		if r.Value == nil {
			delete(out, string(r.Key))
			return nil
		}
		var m dlqMark
		if err := json.Unmarshal(r.Value, &m); err != nil {
			return fmt.Errorf("%s/%d offset %d is not what verdict dlq writes: %w", name, r.Partition, r.Offset, err)
		}
		out[string(r.Key)] = m
		return nil
	})
	return out, err
}

// there says whether a topic exists.
func (d *dlq) there(ctx context.Context, topic string) (bool, error) {
	cluster, err := kafka.Describe(ctx, d.cfg.Kafka.Connection, topic)
	_, ok := cluster.Topics[topic]
	return ok, err
}

// read gives each record of topics to fn, as far as they are committed. It ends when fn returns an error.
func (d *dlq) read(ctx context.Context, cfg kafka.HistoryConfig, fn func(*consumer.Record) error) error {
	cfg.Connection = d.cfg.Kafka.Connection
	history, err := kafka.OpenHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer history.Close()
	for {
		batch, err := history.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range batch.Records {
			if err := fn(&batch.Records[i]); err != nil {
				return err
			}
		}
	}
}

// errEnough ends a reading of letters.
var errEnough = errors.New("enough")

// letters gives each chosen letter to fn, oldest first, with its mark; nil when it is not done with.
func (d *dlq) letters(ctx context.Context, marks map[string]dlqMark, fn func(*consumer.Letter, *dlqMark) error) error {
	topic := d.cfg.Kafka.Topics.DeadLetters
	if there, err := d.there(ctx, topic); err != nil {
		return err
	} else if !there {
		return fmt.Errorf("there is no topic %s: nothing has become a dead letter yet, or kafka.topics.orders_dlq is another", topic)
	}
	cfg, found := d.choice.bounds(topic), 0
	err := d.read(ctx, cfg, func(r *consumer.Record) error {
		l := consumer.ReadLetter(r)
		var mark *dlqMark
		if m, done := marks[l.ID()]; done {
			mark = &m
		}
		if mark != nil && !d.choice.done || !d.choice.takes(&l) {
			return nil
		}
		if err := fn(&l, mark); err != nil {
			return err
		}
		if found++; found == d.choice.limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// bounds returns what of the topic is to be read for a choice.
func (c *dlqChoice) bounds(topic string) kafka.HistoryConfig {
	cfg := kafka.HistoryConfig{Topics: []kafka.HistoryTopic{{Name: topic}}, Since: c.since, Until: c.until}
	if len(c.positions) == 0 {
		return cfg
	}
	starts, ends := make(map[int32]int64), make(map[int32]int64)
	for _, p := range c.positions {
		if first, known := starts[p.partition]; !known || p.offset < first {
			starts[p.partition] = p.offset
		}
		ends[p.partition] = max(ends[p.partition], p.offset+1)
	}
	cfg.Starts, cfg.Ends = kafka.Offsets{topic: starts}, kafka.Offsets{topic: ends}
	return cfg
}
