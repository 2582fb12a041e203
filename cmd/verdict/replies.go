package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer/kafka"
	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// findReplies takes a partition of the replies and reads it from its end.
func (s *service) findReplies(ctx context.Context) error {
	caller, err := kafka.NewCaller(ctx, kafka.CallerConfig{
		Connection: s.connection("api"), Topics: s.cfg.Kafka.Topics, ReplyPartition: s.cfg.API.ReplyPartition, Leases: s.state.leases,
		// A caller may join a wait for the same order just before it ends, and then waits as long again.
		LongestWait: 2*s.cfg.API.MaxWait + time.Second,
		Resolve:     s.resolve,
		Moved: func(partition int32, sharers int) {
			s.log.Info("reading replies", "partition", partition, "processes", sharers)
		},
	})
	if errors.Is(err, kafka.ErrReplyPartition) {
		return fmt.Errorf("%w config: api.reply_partition: %w", errInvalid, err)
	}
	if err != nil {
		return err
	}
	s.caller = caller
	s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "verdict_reply_partition_sharers",
		Help: "Processes that read the reply partition of this one, this one counted: 1 is as it should be, more ask for more partitions of the replies; 0 is not known.",
	}, func() float64 { return float64(caller.Sharers()) }))
	return nil
}

// submit sends a caller's order to the scorer.
func (s *service) submit(ctx context.Context, r httpapi.Request) error {
	if !s.started.Load() {
		return errNotReady
	}
	key, _ := r.Order.Fields.At(s.parts.key).Key() // an order without it has a random partition
	return s.caller.Send(ctx, kafka.Request{
		Key: []byte(key), Order: r.Raw, Correlation: r.Correlation, Deadline: r.Deadline, Traceparent: r.Traceparent, Tracestate: r.Tracestate,
	})
}

// resolve hands a reply to who waits for it. It runs for every reply of the partition, so it reads no more of a decision than whose it is. A value that is no
// decision of ours names no order: the desk gives it to nobody and counts it, and a caller whose reply it was reads the decision from the ledger at its deadline.
func (s *service) resolve(correlation, value []byte, code, detail string) {
	s.desk.Resolve(correlation, replyOf(value, code, detail))
}

func replyOf(value []byte, code, detail string) await.Reply {
	if code != "" {
		return await.Reply{Code: code, Detail: detail}
	}
	id, err := schemas.DecisionID(value)
	if err != nil {
		return await.Reply{}
	}
	body, err := schemas.PublicDecision(value)
	if err != nil {
		return await.Reply{}
	}
	return await.Reply{OrderID: id, Body: body}
}
