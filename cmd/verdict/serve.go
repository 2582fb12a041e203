package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"verdict/cmd/verdict/internal/upkeep"
	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess"
	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

func newServeCommand() *cobra.Command {
	var file, role string
	var acceptGap bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Decide orders: scorer, JSON API, or both",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file = configFileOr(file)
			cfg, err := loadConfig(file, os.Environ())
			if err == nil {
				err = cfg.validate()
			}
			if err != nil {
				return err
			}
			s, err := newService(cfg, role)
			if err != nil {
				return err
			}
			s.file, s.acceptGap = file, acceptGap
			redis.SetLogger(redisLog{s.log})
			return s.run(c.Context())
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the config; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
	c.Flags().StringVar(&role, "role", "all", "what this process does: all, scorer, api")
	c.Flags().BoolVar(&acceptGap, "accept-gap", false, "where orders were deleted before they were read, go on with what is left, and say what was skipped; for one start")
	return c
}

// service is one process of serve (or the inside of demo).
type service struct {
	cfg     Config
	file    string // verdict.yaml, from which changes are taken; "" is none
	scores  bool   // takes orders from Kafka
	answers bool   // serves the JSON API
	parts   *parts
	access  *access // of the API; nil without one
	log     *slog.Logger
	kafka   *slog.Logger // of the Kafka client
	alarms  *kafka.Alarms
	metrics *prometheus.Registry
	role    string
	tracing *tracing

	acceptGap bool // of the log

	state    *state
	keeper   *upkeep.Keeper // of the store; nil where nothing is scored, or the store is memory
	caller   *kafka.Caller  // of the API, once its reply partition is found
	desk     *await.Desk
	loops    consumer.Watch                  // of the lanes
	brokers  atomic.Pointer[kafka.Transport] // of the lane of waiting callers, once it is opened: whom a process without the API asks whether Kafka is there
	started  atomic.Bool                     // everything is connected
	stopping atomic.Bool                     // readyz says no from now on
	onListen func(net.Addr)                  // told where the API or the admin port listens; may be nil

	listen func(network, address string) (net.Listener, error) // nil is net.Listen; for a network in memory
	rig    func(*consumer.Config)                              // is given each lane's worker before it is made; nil in all but tests
}

// newService reads every file and opens nothing.
func newService(cfg Config, role string) (*service, error) {
	s := &service{cfg: cfg, role: role, tracing: &tracing{}, scores: role != "api", answers: role != "scorer", metrics: prometheus.NewRegistry()}
	if role != "all" && role != "api" && role != "scorer" {
		return nil, fmt.Errorf("%w usage: --role %q is not all, scorer or api", errInvalid, role)
	}
	var err error
	if s.log, err = newLog(cfg.Log); err != nil {
		return nil, err
	}
	if s.kafka, err = clientLog(cfg.Log); err != nil {
		return nil, err
	}
	if s.parts, err = loadParts(&s.cfg); err != nil {
		return nil, err
	}
	if s.answers {
		if s.access, err = loadAccess(&s.cfg.API, s.log); err != nil {
			return nil, err
		}
	}
	s.parts.metrics = consumer.NewMetrics(s.metrics)
	s.parts.failures.log = s.log
	s.parts.metrics.Challengers.Serves(s.parts.scorer.Serves())
	s.loops.After = s.cfg.Admin.Stalled
	s.alarms = kafka.NewAlarms(s.metrics)
	for _, away := range s.parts.scorer.Away() {
		s.log.Warn("a challenger is left out until its server is there", "error", away)
	}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s, nil
}

// run serves until ctx ends or something cannot go on, which it returns. Then it stops in order: readyz says no; callers who wait get their answers from
// workers that still run; the step at hand is brought to its end, offsets are committed, the group is left.
func (s *service) run(ctx context.Context) error {
	began := time.Now()
	s.access.tellOpen(s.listenAddress())
	listener, err := s.listener(s.listenAddress())
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	stopAdmin, err := s.adminBeside()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stopAdmin()
	if s.onListen != nil {
		s.onListen(listener.Addr())
	}
	s.tracing = newTracing(ctx, s.role, s.log)
	defer s.tracing.close(ctx, s.log)
	s.desk = await.New(await.Config{Max: s.cfg.API.MaxWaiting})
	server := s.server()
	served := make(chan error, 1)
	go func() { served <- s.access.serve(server, httpapi.LimitConnections(listener, s.cfg.API.MaxConnections)) }()
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	s.access.watch(watching, s.cfg.Reload.Interval)
	if err := s.connect(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil // asked to stop while Kafka or the store was still away
		}
		return errors.Join(err, s.shut(server, served), s.disconnect())
	}

	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	lanes, failed := errgroup.WithContext(working)
	s.work(failed, lanes)
	s.started.Store(true)
	s.log.Info("serving", "address", listener.Addr().String(), "after", time.Since(began).Round(time.Millisecond),
		"features", s.parts.features.Version().String(), "scorer", s.scores, "api", s.answers)
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	s.log.Info("stopping: callers are answered, then the step at hand is finished")
	s.stopping.Store(true)
	if s.answers && failed.Err() == nil {
		time.Sleep(s.cfg.API.Grace) // readyz says no, and requests are still taken
	}
	err = s.shut(server, served)
	stopWork()
	err = errors.Join(lanes.Wait(), err, s.disconnect())
	s.log.Info("stopped", "after", time.Since(began).Round(time.Millisecond))
	return err
}

// shut ends the HTTP side. It waits for the callers who are there.
func (s *service) shut(server *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.API.MaxWait+time.Second) // every caller is answered by then
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("waiting for callers: %w", err)
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serving HTTP: %w", end))
	}
	return err
}

// disconnect ends the clients.
func (s *service) disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var faults []error
	if s.caller != nil {
		faults = append(faults, s.caller.Close(ctx))
	}
	if s.state != nil {
		faults = append(faults, s.state.close())
	}
	return errors.Join(faults...)
}

// listener is bound once at start, and closed by its server.
func (s *service) listener(address string) (net.Listener, error) {
	if s.listen != nil {
		return s.listen("tcp", address)
	}
	return net.Listen("tcp", address) //nolint:noctx // it takes no time
}

func (s *service) listenAddress() string {
	if s.answers {
		return s.cfg.API.Listen
	}
	return s.cfg.Admin.Listen
}

// connect waits for Kafka and the store, makes missing topics, and finds the reply partition.
func (s *service) connect(ctx context.Context) error {
	s.openStore()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return awaitReady(ctx, s.log, "the store", s.state.ping) })
	all.Go(func() error {
		if s.cfg.Kafka.CreateTopics {
			if err := awaitReady(ctx, s.log, "Kafka's topics", s.makeTopics); err != nil {
				return err
			}
		}
		if s.scores && s.cfg.Delivery == deliverExactlyOnce {
			if err := awaitReady(ctx, s.log, "the brokers' versions", s.checkTransactions); err != nil {
				return err
			}
		}
		if !s.answers {
			return nil
		}
		return awaitReady(ctx, s.log, "the reply partition", s.findReplies)
	})
	return all.Wait()
}

func (s *service) makeTopics(ctx context.Context) error {
	specs := topicSpecs(&s.cfg.Kafka)
	created, err := kafka.EnsureTopics(ctx, s.connection("admin"), specs)
	for _, name := range created {
		s.log.Info("created topic", "topic", name, "partitions", specs[name].Partitions)
	}
	if len(created) > 0 {
		s.log.Info("created topics keep records for as long as the brokers say: what is to be replayed or rebuilt must be kept longer than features look back",
			"features_look_back", days(s.parts.features.Keep()))
	}
	return err
}

// connection returns the Kafka connection of one client, whose metrics carry its name.
func (s *service) connection(client string) kafka.Connection {
	c := s.cfg.Kafka.Connection
	c.Log = s.kafka
	if client != "admin" {
		c.Registry = prometheus.WrapRegistererWith(prometheus.Labels{"client": client}, s.metrics)
	}
	return c
}

// work starts the lanes: one worker for orders and labels, one for the orders of waiting callers, each with its own poll, pipeline and producer.
func (s *service) work(ctx context.Context, lanes *errgroup.Group) {
	reload := newReloader(s)
	lanes.Go(func() error { reload.run(ctx); return nil }) // of the API alone too: it previews
	if !s.scores {
		return
	}
	if s.keeper != nil {
		lanes.Go(func() error { return s.keeper.Run(ctx) })
	}
	lanes.Go(func() error { return s.watchTopics(ctx) })
	t := s.cfg.Kafka.Topics
	transactions := s.cfg.transactionalID()
	decisions := schemas.NewDecisionCodec(s.parts.registry, t.Decisions+"-value") // one for both lanes: it registers its schema once
	turns := consumer.NewPrecedence(consumer.PrecedenceConfig{Share: s.cfg.Lanes.AsyncShare, Batch: s.cfg.Lanes.AsyncBatch})
	for _, lane := range []struct {
		name, group string
		first       bool
		limit       func() int
		consume     map[string]consumer.Stream
	}{
		{name: "sync", group: ".sync", first: true, consume: map[string]consumer.Stream{t.Sync: consumer.Orders}},
		{name: "async", limit: turns.Limit, consume: map[string]consumer.Stream{t.Orders: consumer.Orders, t.Labels: consumer.Labels}},
	} {
		lanes.Go(func() error {
			transport, err := kafka.NewTransport(kafka.TransportConfig{
				Connection: s.connection(lane.name), Group: s.cfg.Kafka.Group + lane.group, GroupInstanceID: s.cfg.Kafka.GroupInstanceID,
				SessionTimeout: s.cfg.Kafka.SessionTimeout, MaxPollRecords: s.cfg.Kafka.MaxPollRecords, Limit: lane.limit, CommitInterval: s.cfg.Kafka.CommitInterval,
				Consume: lane.consume, Topics: t, RepliesLost: s.parts.metrics.RepliesLost,
				DeadLetters: s.parts.metrics.DeadLetters, Renewed: s.parts.metrics.ClientsRenewed,
				TransactionalID: laneID(transactions, lane.name), TransactionalIDGiven: s.cfg.Kafka.TransactionalID != "", AcceptGap: s.acceptGap, Alarms: s.alarms,
			})
			if err != nil {
				return fmt.Errorf("opening lane %s: %w", lane.name, err)
			}
			if lane.first {
				s.brokers.Store(transport)
			}
			made := consumer.Config{
				Transport: transport, Orders: s.parts.orders, Labels: s.parts.labels, Binding: s.parts.features.Binding(),
				Extractor: preprocess.NewExtractor(s.parts.features, s.state.store, s.cfg.State.Lateness), Store: s.state.store,
				Scorer: s.parts.scorer, Ledger: s.state.ledger, Decisions: decisions, Events: s.cfg.Events.times(),
				Lane: lane.name, Topics: []string{t.Orders, t.Sync}, ReplyTopics: append([]string{t.Replies}, s.cfg.Kafka.ReplyTopics...),
				Now: time.Now, Metrics: s.parts.metrics, Tracer: s.tracing.tracer, Log: s.log, Precedence: turns, First: lane.first,
			}
			if s.keeper != nil {
				made.Upkeep, made.Looker = s.keeper.Upkeep(), s.state.look
			}
			if s.rig != nil {
				s.rig(&made)
			}
			worker, err := consumer.New(made)
			if err == nil {
				s.loops.Add(worker)
				err = worker.Run(ctx)
			}
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return errors.Join(err, transport.Close(closing))
		})
	}
}

// server returns the JSON API, or the admin port of a process without one.
func (s *service) server() *http.Server {
	if !s.answers {
		return s.admin()
	}
	var metrics http.Handler // on the admin port alone where there is one
	if !s.cfg.Admin.BesideAPI {
		metrics = promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})
	}
	return httpapi.NewServer(s.cfg.API.Listen, httpapi.Config{
		Decode: s.decodeOrder, Submit: s.submit, Lookup: s.lookup, Learn: s.learn, Preview: s.preview, Desk: s.desk, Ready: s.ready, Live: s.loops.Live,
		Wait: s.cfg.API.Wait, MaxWait: s.cfg.API.MaxWait, MaxBytes: int64(s.cfg.Orders.MaxBytes),
		MaxBatch: s.cfg.API.MaxBatch, MaxQueue: s.cfg.API.MaxQueue, MaxBatchBytes: int64(s.cfg.API.MaxBatchBytes),
		OrderSchema: s.parts.openAPI(), Legacy: s.parts.legacy, Access: s.access.Access, Metrics: metrics, Registerer: s.metrics, Tracer: s.tracing.tracer, Log: s.log,
	})
}

var errNotReady = errors.New("the process has not reached Kafka and the store yet")

// ready answers a probe within a second, the answer's way included.
func (s *service) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
	defer cancel()
	return s.check(ctx)
}

// check says why the process cannot serve now.
func (s *service) check(ctx context.Context) error {
	switch {
	case s.stopping.Load():
		return errors.New("the process is stopping")
	case !s.started.Load():
		return errNotReady
	}
	if err := s.state.ping(ctx); err != nil {
		return fmt.Errorf("asking the store: %w", err)
	}
	if err := s.alarms.Err(); err != nil {
		return err
	}
	if s.answers {
		return s.caller.Ready(ctx)
	}
	lane := s.brokers.Load()
	if lane == nil {
		return errNotReady
	}
	return lane.Ready(ctx)
}

func (s *service) decodeOrder(raw []byte) (schemas.Order, uint64, error) {
	fields, err := s.parts.orders.DecodeJSON(raw)
	if err != nil {
		return schemas.Order{}, 0, err
	}
	order, err := schemas.NewOrder(fields, s.parts.features.Binding(), raw)
	if err == nil {
		err = s.inTime(&order)
	}
	return order, schemas.Digest(fields), err
}

// inTime refuses before it is sent what the scorer would refuse: the order's record will have the time that it is now. A copy of an order that was decided
// is not refused, and where the ledger cannot be asked the scorer is left to say.
func (s *service) inTime(o *schemas.Order) error {
	refused := s.cfg.Events.times().Check(o.At, time.Now(), s.parts.features.Binding().Time)
	if refused == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Redis.Timeout)
	defer cancel()
	if _, decided, err := s.lookup(ctx, o.ID); decided || err != nil {
		return nil
	}
	return refused
}

func (s *service) lookup(ctx context.Context, id schemas.OrderID) ([]byte, bool, error) {
	if !s.started.Load() {
		return nil, false, errNotReady
	}
	return s.state.kept.Find(ctx, id)
}

func (s *service) learn(ctx context.Context, labels []schemas.Label, raw [][]byte) error {
	if !s.started.Load() {
		return errNotReady
	}
	send, ctx := errgroup.WithContext(ctx)
	for i := range labels {
		send.Go(func() error { return s.caller.Label(ctx, string(labels[i].ID), raw[i]) })
	}
	return send.Wait()
}
