package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"verdict/consumer/kafka"
)

// The values of delivery.
const (
	deliverAtLeastOnce = "at_least_once"
	deliverExactlyOnce = "exactly_once"
)

// transactionalID returns that of the process, to which each lane adds its name; "" where there are no transactions. One that stays the same has the brokers end
// what a process that was killed left open as soon as it is back; what a random one left open ends by its time, kafka.session_timeout.
func (c *Config) transactionalID() string {
	switch {
	case c.Delivery != deliverExactlyOnce:
		return ""
	case c.Kafka.TransactionalID != "":
		return c.Kafka.TransactionalID
	case c.Kafka.GroupInstanceID != "":
		return c.Kafka.Group + "." + c.Kafka.GroupInstanceID
	}
	host, err := os.Hostname()
	if err != nil {
		host = "scorer"
	}
	return fmt.Sprintf("%s.%s.%016x", c.Kafka.Group, host, rand.Uint64()) //nolint:gosec // tells processes apart, keeps no secret
}

// laneID returns the transactional id of a lane.
func laneID(process, lane string) string {
	if process == "" {
		return ""
	}
	return process + "." + lane
}

// checkTransactions says how far the brokers' transactions can be trusted, or that they cannot.
func (s *service) checkTransactions(ctx context.Context) error {
	level, err := kafka.TransactionsOf(ctx, s.connection("admin"))
	switch {
	case errors.Is(err, kafka.ErrNoTransactions):
		return fmt.Errorf("%w config: delivery: exactly_once: %w", errInvalid, err)
	case err != nil:
		return err
	case level.Full():
		s.log.Info("delivery is exactly once", "brokers", level.Brokers, "transaction_version", level.Version)
	default:
		s.log.Warn("delivery is exactly once, with a limit: a request of an old transaction that a network holds back for long can become part of a later one (KIP-890)",
			"brokers", level.Brokers, "transaction_version", level.Version, "needed", "Kafka 4.0 with transaction.version 2: kafka-features.sh upgrade --feature transaction.version=2")
	}
	return nil
}

// watchTopics tells when topics become others under a process that runs.
func (s *service) watchTopics(ctx context.Context) error {
	t := s.cfg.Kafka.Topics
	watch := kafka.TopicWatch{Connection: s.connection("admin"), Topics: []string{t.Orders, t.Sync, t.Labels, t.Decisions, t.Replies, t.DeadLetters}, Reg: s.metrics}
	watch.Changed = func(topic, change string, before, after int) {
		if change == kafka.ChangeRecreated {
			s.log.Error("a topic was deleted and made anew", "topic", topic, "partitions_before", before, "partitions", after)
			return
		}
		s.log.Warn("a topic has more partitions: keys go to other ones from now on, and orders of one entity that lie on two may be decided side by side",
			"topic", topic, "partitions_before", before, "partitions", after)
	}
	return watch.Run(ctx)
}
