package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"verdict/consumer/kafka"
	"verdict/schemas"
	"verdict/sync/await"
)

// KafkaConfig is a target without HTTP: orders are written to Topics.Sync with the headers that ask for a reply, and replies are read from Topics.Replies.
type KafkaConfig struct {
	Connection  kafka.Connection
	Topics      kafka.Topics // Sync and Replies
	Timeout     time.Duration
	MaxInFlight int
}

// Kafka sends orders as a client with Spring's reply headers does: the two hops alone.
type Kafka struct {
	cfg    KafkaConfig
	caller *kafka.Caller
	desk   *await.Desk
	n      atomic.Int64
}

// NewKafka finds the end of a reply partition. Both topics must be there.
func NewKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	t := &Kafka{cfg: cfg, desk: await.New(await.Config{Max: cfg.MaxInFlight})}
	caller, err := kafka.NewCaller(ctx, kafka.CallerConfig{
		Connection: cfg.Connection, Topics: cfg.Topics, ReplyPartition: -1, Resolve: t.resolve,
	})
	if err != nil {
		return nil, fmt.Errorf("reaching the target: %w", err)
	}
	t.caller = caller
	return t, nil
}

const answered = "answered" // stands for no code, so that the desk does not want the reply decoded

func (t *Kafka) resolve(correlation, value []byte, code, _ string) {
	if code == "" {
		code = answered
	}
	t.desk.Resolve(correlation, await.Reply{Body: value, Code: code})
}

// Open returns a line; all share the client.
func (t *Kafka) Open() Line { return kafkaLine{t} }

// Close ends the client.
func (t *Kafka) Close(ctx context.Context) error { return t.caller.Close(ctx) }

type kafkaLine struct{ *Kafka }

// Close does nothing: the client is shared.
func (kafkaLine) Close() {}

// Do writes an order and waits for its reply.
func (t kafkaLine) Do(ctx context.Context, order *Order) Outcome {
	deadline := time.Now().Add(t.cfg.Timeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	wait, _, err := t.desk.Join(schemas.OrderID(strconv.FormatInt(t.n.Add(1), 36)), 0)
	if err != nil {
		return Unsent
	}
	defer wait.Leave()
	// The client may hold on to the bytes for longer than this call, and the next order is made in their place.
	request := kafka.Request{Key: order.Key, Order: bytes.Clone(order.Body), Correlation: wait.Correlation(), Deadline: deadline}
	if err := t.caller.Send(ctx, request); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return Timeout
		}
		return Failed
	}
	select {
	case <-wait.Done():
	case <-ctx.Done():
		return Timeout
	}
	switch reply := wait.Reply(); {
	case reply.Code != answered:
		return Refused
	case !bytes.Contains(reply.Body, order.ID):
		return Wrong
	default:
		return Decided
	}
}
