// Command floor is what no scorer on two Kafka hops can be quicker than: an order comes by HTTP, goes to a topic, is read there by a member of a group, echoed to
// another topic, read there and answered with. No features, no score, no store, no schema, no JSON, no ids. It has the settings of verdict's Kafka clients,
// and not their code, so that neither can hide what the other costs. `verdict bench` aims at it as it does at verdict.
//
//	floor --kafka localhost:9092 --listen 127.0.0.1:8081
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type config struct {
	kafka, listen, requests, replies string
	partitions                       int
	linger                           time.Duration
	poll                             int
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // as verdict
	}
	var c config
	flag.StringVar(&c.kafka, "kafka", "localhost:9092", "host:port[,host:port]")
	flag.StringVar(&c.listen, "listen", "127.0.0.1:8081", "where HTTP is served")
	flag.StringVar(&c.requests, "requests", "floor.requests", "the topic of the first hop")
	flag.StringVar(&c.replies, "replies", "floor.replies", "the topic of the second hop")
	flag.IntVar(&c.partitions, "partitions", 4, "of both topics, when they are missing")
	flag.DurationVar(&c.linger, "linger", 0, "of both producers")
	flag.IntVar(&c.poll, "poll", 500, "records a poll")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	f, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer f.client.Close()
	worker, err := c.worker()
	if err != nil {
		return err
	}
	defer worker.Close()
	go f.receive(ctx)
	go echo(ctx, worker, c.poll)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", f.serve)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: c.listen, Handler: mux, ReadHeaderTimeout: 2 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

// producing are the settings of verdict's producers.
func (c config) producing() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.kafka, ",")...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(c.linger),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(30 * time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
}

// worker returns the client between the hops: a member of a group, as a scorer is.
func (c config) worker() (*kgo.Client, error) {
	return kgo.NewClient(append(c.producing(),
		kgo.ConsumerGroup("floor"), kgo.ConsumeTopics(c.requests), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(10*time.Second),
		kgo.AutoCommitInterval(100*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond), kgo.FetchMinBytes(1),
	)...)
}

// echo sends each request back to where it wants its reply. It polls on while replies are on their way, since nothing that it does must be done in an order.
func echo(ctx context.Context, client *kgo.Client, most int) {
	for ctx.Err() == nil {
		client.PollRecords(ctx, most).EachRecord(func(r *kgo.Record) {
			reply := &kgo.Record{Value: r.Value, Headers: r.Headers[:1]}
			for _, h := range r.Headers {
				switch h.Key {
				case "kafka_replyTopic":
					reply.Topic = string(h.Value)
				case "kafka_replyPartition":
					reply.Partition = int32(binary.BigEndian.Uint32(h.Value))
				}
			}
			client.Produce(ctx, reply, nil) // one that is lost shows as an order without an answer
		})
	}
}

// floor is the HTTP side: it asks, and waits for the replies of one partition, read from its end without a group.
type floor struct {
	config
	client *kgo.Client
	n      atomic.Uint64

	mu      sync.Mutex
	waiting map[uint64]chan []byte // guarded by mu :: correlation → who waits
}

// open makes the topics that are missing and finds the end of the replies.
func open(ctx context.Context, c config) (*floor, error) {
	client, err := kgo.NewClient(append(c.producing(),
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5), kgo.FetchMaxWait(5*time.Second), kgo.FetchMinBytes(1),
	)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	admin := kadm.NewClient(client)
	for _, topic := range []string{c.requests, c.replies} {
		if _, err := admin.CreateTopic(ctx, int32(c.partitions), -1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return nil, fmt.Errorf("creating topic %s: %w", topic, err)
		}
	}
	ends, err := listEnds(ctx, admin, c.replies)
	for try := 0; err != nil && try < 50 && ctx.Err() == nil; try++ { // a topic that was just made is not known to every broker
		time.Sleep(100 * time.Millisecond)
		ends, err = listEnds(ctx, admin, c.replies)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the end of %s: %w", c.replies, err)
	}
	end, _ := ends.Lookup(c.replies, 0)
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.replies: {0: kgo.NewOffset().At(end.Offset)}})
	return &floor{config: c, client: client, waiting: make(map[uint64]chan []byte)}, nil
}

func listEnds(ctx context.Context, admin *kadm.Client, topic string) (kadm.ListedOffsets, error) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	return ends, err
}

func (f *floor) receive(ctx context.Context) {
	for ctx.Err() == nil {
		f.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			n := binary.BigEndian.Uint64(r.Headers[0].Value)
			f.mu.Lock()
			waiter := f.waiting[n]
			delete(f.waiting, n)
			f.mu.Unlock()
			if waiter != nil {
				waiter <- r.Value
			}
		})
	}
}

// serve answers a request with its own body, once that has been through both topics.
func (f *floor) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n, reply := f.n.Add(1), make(chan []byte, 1)
	f.mu.Lock()
	f.waiting[n] = reply
	f.mu.Unlock()
	f.client.Produce(r.Context(), &kgo.Record{
		Topic: f.requests, Partition: int32(n % uint64(f.partitions)), Value: body,
		Headers: []kgo.RecordHeader{
			{Key: "kafka_correlationId", Value: binary.BigEndian.AppendUint64(nil, n)}, // the first, which is what comes back
			{Key: "kafka_replyTopic", Value: []byte(f.replies)},
			{Key: "kafka_replyPartition", Value: []byte{0, 0, 0, 0}},
		},
	}, nil)
	select {
	case answer := <-reply:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	case <-r.Context().Done():
		f.mu.Lock()
		delete(f.waiting, n)
		f.mu.Unlock()
	}
}
