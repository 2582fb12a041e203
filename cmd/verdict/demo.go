package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"verdict/cmd/verdict/internal/board"
	"verdict/cmd/verdict/internal/embedded"
	"verdict/cmd/verdict/internal/shop"
	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/deploy/example"
	"verdict/schemas"
)

// demoOptions are demo's flags.
type demoOptions struct {
	listen string
	orders int
	rate   float64
	seed   uint64
}

func newDemoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "All of it in one process, with made-up orders and nothing to install",
		Long: "demo runs the whole path in one process: an embedded Kafka and store, a shop that sends made-up orders (with planted frauds, and labels that come\n" +
			"a week late by the shop's fast clock), the scorer, and the JSON API. Ctrl-C ends it with a summary.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return demo(c.Context(), o, c.OutOrStdout()) },
	}
	c.Flags().StringVar(&o.listen, "listen", ":8080", "where the JSON API listens")
	c.Flags().IntVar(&o.orders, "orders", 0, "end after this many orders; 0 goes on until Ctrl-C")
	c.Flags().Float64Var(&o.rate, "rate", 500, "orders a second")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "the same seed makes the same orders")
	return c
}

// demo runs until ctx ends or o.orders are decided.
func demo(ctx context.Context, o demoOptions, out interface{ Write([]byte) (int, error) }) (err error) {
	began := time.Now()
	if o.rate <= 0 || o.orders < 0 {
		return fmt.Errorf("%w usage: --rate must be above 0 and --orders not below", errInvalid)
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return fmt.Errorf("%w usage: --listen %q is not host:port", errInvalid, o.listen)
	}
	dir, err := os.MkdirTemp("", "verdict-demo-")
	if err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.CopyFS(dir, example.Files); err != nil {
		return fmt.Errorf("unpacking the example files: %w", err)
	}
	broker, err := embedded.StartKafka()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()

	s, err := newService(demoConfig(dir, broker, o), "all")
	if err != nil {
		return err
	}
	listening := make(chan net.Addr, 1)
	s.onListen = func(a net.Addr) { listening <- a }
	ctx, end := context.WithCancel(ctx)
	defer end()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return s.run(ctx) })
	api := apiURL(ctx, listening)
	if api == "" {
		return all.Wait() // the port is taken, or Ctrl-C was quick
	}
	width, live := terminal(out)
	if !live {
		fmt.Fprintln(os.Stderr, "verdict demo: JSON API on", api)
	}
	table := board.New(board.Config{
		Out: out, Progress: os.Stderr, Live: live, Width: width, Color: live && os.Getenv("NO_COLOR") == "", API: api, Began: began,
	})
	if awaitReady(ctx, s.log, "the demo's service", s.check) == nil { // else it ended before it began
		all.Go(func() error { return sell(ctx, o, s, table) })
		all.Go(func() error { return watch(ctx, o, s, table, end) })
		all.Go(func() error { return show(ctx, table) })
	}
	err = all.Wait()
	table.Summary(time.Now())
	return err
}

// demoConfig is a verdict.yaml over the embedded parts.
func demoConfig(dir string, broker *embedded.Kafka, o demoOptions) Config {
	cfg := defaultConfig()
	cfg.Features, cfg.Model, cfg.Policy = filepath.Join(dir, "handbook.yaml"), filepath.Join(dir, "models", "handbook", "1"), filepath.Join(dir, "policy.yaml")
	cfg.Kafka.BootstrapServers = broker.Addresses()
	cfg.State.Store = "memory"
	cfg.Events.MaxAhead = 0 // the shop's clock is fast, and comes ahead of the records'
	cfg.API.Listen = o.listen
	cfg.Log.Level = "warn"
	cfg.API.Grace = 0
	cfg.Reload.Interval = 0 // its files are its own
	return cfg
}

func apiURL(ctx context.Context, listening <-chan net.Addr) string {
	select {
	case a := <-listening:
		return "http://localhost:" + strconv.Itoa(a.(*net.TCPAddr).Port) //nolint:forcetypeassert // the service listens on TCP
	case <-ctx.Done():
		return ""
	}
}

// terminal says whether out is a terminal, and how wide.
func terminal(out any) (width int, live bool) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// The shop's clock starts this long ago, and its labels come this long after their orders.
const (
	shopHistory = 120 * 24 * time.Hour
	labelDelay  = 7 * 24 * time.Hour
)

// sell sends the shop's orders at the rate asked for, and the label of each fraud when the shop's clock has come so far.
func sell(ctx context.Context, o demoOptions, s *service, table *board.Board) error {
	feed, err := kafka.NewFeed(s.connection("admin"))
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	orders := shop.New(shop.Config{Seed: o.seed, Start: time.Now().UTC().Add(-shopHistory).Truncate(time.Second)})
	var labels []knownFraud // by when it becomes known, as orders come in time order
	topics := s.cfg.Kafka.Topics
	start := time.Now()
	for n := 0; o.orders == 0 || n < o.orders; n++ {
		due := start.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		order := orders.Next()
		for len(labels) > 0 && !labels[0].at.After(order.At) {
			feed.Send(ctx, topics.Labels, []byte(labels[0].id), labels[0].json(), fail)
			labels = labels[1:]
		}
		if order.Fraud() {
			labels = append(labels, knownFraud{order.ID, order.At.Add(labelDelay)})
		}
		table.Sending(schemas.OrderID(order.ID), board.Sent{At: due, Amount: order.Amount, Fraud: order.Fraud()})
		feed.Send(ctx, topics.Orders, []byte(order.Customer), orderJSON(&order), fail)
	}
	return feed.Close(context.WithoutCancel(ctx)) // the demo may end while the last orders are still on their way
}

// knownFraud is a label: which order, and when its fraud becomes known.
type knownFraud struct {
	id string
	at time.Time
}

func (k knownFraud) json() []byte {
	return fmt.Appendf(nil, `{"order_id":%q,"fraud":true,"known_at":%q}`, k.id, k.at.Format(time.RFC3339))
}

func orderJSON(o *shop.Order) []byte {
	return fmt.Appendf(nil, `{"order_id":%q,"occurred_at":%q,"customer_id":%q,"terminal_id":%q,"amount":%.2f}`,
		o.ID, o.At.Format(time.RFC3339), o.Customer, o.Terminal, o.Amount)
}

// watch reads the decisions topic as any consumer would, and ends the demo when enough are decided.
func watch(ctx context.Context, o demoOptions, s *service, table *board.Board, end func()) error {
	var broken error
	err := kafka.Tail(ctx, s.connection("admin"), s.cfg.Kafka.Topics.Decisions, func(r *consumer.Record) {
		d, err := schemas.DecodeDecision(r.Value)
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("reading a decision: %w", err))
			end()
			return
		}
		if table.Decided(&d, time.Now()) == o.orders && o.orders > 0 {
			end()
		}
	})
	return errors.Join(err, broken)
}

func show(ctx context.Context, table *board.Board) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			table.Show(now)
		}
	}
}
