package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/cmd/verdict/internal/bench"
	"verdict/consumer/kafka"
)

// benchFlags are the flags of verdict bench.
type benchFlags struct {
	target, orders, features         string
	generate                         bool
	rate, ramp, arrivals, hold       string
	duration, warmup, timeout, wait  time.Duration
	id, time, key                    string
	keepTimes                        bool
	headers                          []string
	apiKey                           string
	topic, replyTopic, kafka, config string
	inFlight, different              int
	seed                             uint64
	json, plot                       string
}

func newBenchCommand() *cobra.Command {
	f := benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench --target URL --rate N --duration D {--orders SRC | --generate}",
		Short: "Send orders at a rate that does not wait for answers, and tell the latencies",
		Long: `Send orders at a rate, and tell how long each took from when it was due.

The loop is open: an order goes out when it is due, whether or not earlier ones have been answered, on as many connections as that takes. Its latency counts
from when it was due and not from when it was sent, so a target that stalls shows the wait of every order that came meanwhile. Percentiles are over all orders
that were due; one that was refused, not answered or not sent counts as slower than any. "svc" is the latency from the actual sending of those decided.

Targets: http://host:port (POST /v1/decisions; with a path, POST there), https://, and kafka://host:port[,…], which writes orders with the headers of Spring's
ReplyingKafkaTemplate and waits for the reply.
SRC: a file .jsonl or .avro, also .gz or .zst, - for JSON lines on stdin, or kafka://broker[,broker]/topic. Orders are read beforehand (--different of them) and go
round. Each is sent under a fresh id, and with the time of sending as its event time.

Exit code 1 when a stage failed: the target could not be reached or took no order, or the bench itself could not keep the pace.`,
		Example: `  verdict bench --target http://localhost:8080 --rate 1000 --duration 30s --generate
  verdict bench --target http://localhost:8080 --rate 200,500,1000,2000 --duration 20s --warmup 20s --orders orders.jsonl.gz --json out.json --plot out.svg
  verdict bench --target http://localhost:8080 --ramp 1000:8000:500 --duration 5s --hold p99=80ms,p99=10ms --orders orders.jsonl.gz
  verdict bench --target kafka://localhost:9092 --rate 1000 --duration 30s --orders orders.avro --features card.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "what is measured: `URL`")
	flags.StringVar(&f.rate, "rate", "", "orders a second; `N[,N…]` are stages one after the other")
	flags.StringVar(&f.ramp, "ramp", "", "stages at rates `FROM:TO:STEP`, in place of --rate")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "of each stage")
	flags.DurationVar(&f.warmup, "warmup", 0, "send at the first rate for this long beforehand, uncounted")
	flags.StringVar(&f.arrivals, "arrivals", "poisson", "how orders are due: poisson, as from independent callers, or even")
	flags.StringVar(&f.orders, "orders", "", "the orders: `SRC`")
	flags.BoolVar(&f.generate, "generate", false, "made-up orders, those of the demo's shop")
	flags.IntVar(&f.different, "different", 100_000, "read or make up to `N` orders, which then go round")
	flags.StringVar(&f.features, "features", "", "the feature set, which says where id, time and key lie: `FILE`")
	flags.StringVar(&f.id, "id", "", "the id's field (default order_id, or as --features has it)")
	flags.StringVar(&f.time, "time", "", "the event time's field (default occurred_at, or as --features has it)")
	flags.StringVar(&f.key, "key", "", "the field of the Kafka key (default customer_id, or as --features has it)")
	flags.BoolVar(&f.keepTimes, "keep-times", false, "leave event times as they are")
	flags.StringArrayVar(&f.headers, "header", nil, "send this header too: `NAME:VALUE`")
	flags.StringVar(&f.apiKey, "api-key", "", "send this as the bearer `TOKEN`; @FILE reads it from a file")
	flags.DurationVar(&f.wait, "wait", 0, "ask for this wait (Prefer: wait)")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "an order without an answer for this long is given up")
	flags.IntVar(&f.inFlight, "max-in-flight", 10_000, "orders under way at once; what is due beyond is counted as unsent")
	flags.StringVar(&f.hold, "hold", "", "`OBJECTIVES` such as p99=80ms,p99.9=10ms: tell the highest rate that holds each, and end a ramp when none is held. A stage that holds less than the one before is tried once more")
	flags.StringVar(&f.kafka, "kafka", "", "the brokers behind an http target, to be told with the figures: `host:port[,…]`")
	flags.StringVar(&f.topic, "topic", "", "of waiting callers' orders at a kafka target (default as the config has it: orders.sync)")
	flags.StringVar(&f.replyTopic, "reply-topic", "", "of replies at a kafka target (default as the config has it: replies)")
	flags.StringVarP(&f.config, "config", "c", "", "the config that says how kafka:// and the schema registry are reached: `FILE`")
	flags.Uint64Var(&f.seed, "seed", 1, "the same seed makes the same arrivals and made-up orders")
	flags.StringVar(&f.json, "json", "", "write the figures and histograms to `FILE`")
	flags.StringVar(&f.plot, "plot", "", "draw the percentiles to `FILE` .svg or .html")
	if err := cmd.MarkFlagRequired("target"); err != nil {
		panic(err) // unreachable: it is defined above
	}
	return cmd
}

// benchPlan is what the flags come to.
type benchPlan struct {
	rates      []float64
	objectives []bench.Objective
	arrivals   bench.Arrivals
	target     *url.URL
	header     http.Header
	site       Config // the Kafka side
	fields     bench.OrdersConfig
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	plan, err := f.plan()
	if err != nil {
		return fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	ctx := cmd.Context()
	orders, what, err := f.load(ctx, plan, cmd.InOrStdin())
	if err != nil {
		return err
	}
	target, closeTarget, err := f.open(ctx, plan)
	if err != nil {
		return err
	}
	defer closeTarget()
	report := bench.Report{Setting: bench.Setting{
		Command: f.commandLine(os.Args), Verdict: bench.Version(), Machine: bench.ThisMachine(), Orders: what, Began: time.Now(),
	}}
	report.Kafka = f.describe(ctx, plan, cmd.ErrOrStderr())
	out := cmd.OutOrStdout()
	report.Print(out)
	load := bench.New(bench.Config{Target: target, Orders: orders, Arrivals: plan.arrivals, MaxInFlight: f.inFlight, Seed: f.seed})
	report.Stages, report.Held, err = bench.Run(ctx, load, bench.Plan{
		Rates: plan.rates, Length: f.duration, WarmUp: f.warmup, Objectives: plan.objectives, Out: out, Progress: cmd.ErrOrStderr(),
	})
	load.Close()
	return errors.Join(err, f.write(&report))
}

// plan reads the flags.
func (f *benchFlags) plan() (*benchPlan, error) {
	p := &benchPlan{header: make(http.Header)}
	var err error
	if p.rates, err = f.rates(); err != nil {
		return nil, err
	}
	switch f.arrivals {
	case "poisson":
		p.arrivals = bench.Poisson
	case "even":
		p.arrivals = bench.Even
	default:
		return nil, fmt.Errorf("--arrivals: %q is neither poisson nor even", f.arrivals)
	}
	if f.hold != "" {
		if p.objectives, err = bench.ParseObjectives(f.hold); err != nil {
			return nil, fmt.Errorf("--hold: %w", err)
		}
	}
	if f.duration <= 0 || f.timeout <= 0 || f.warmup < 0 || f.wait < 0 || f.inFlight <= 0 || f.different <= 0 {
		return nil, errors.New("--duration, --timeout, --max-in-flight and --different must be above 0, --warmup and --wait not below")
	}
	if (f.orders == "") == !f.generate {
		return nil, errors.New("one of --orders SRC and --generate is wanted")
	}
	if ext := f.plot; ext != "" && !strings.HasSuffix(ext, ".svg") && !strings.HasSuffix(ext, ".html") {
		return nil, fmt.Errorf("--plot: %s is neither .svg nor .html", f.plot)
	}
	if err := f.httpHeader(p.header); err != nil {
		return nil, err
	}
	if p.site, err = f.site(); err != nil {
		return nil, err
	}
	if p.fields, err = f.fields(); err != nil {
		return nil, err
	}
	p.target, err = parseTarget(f.target)
	return p, err
}

func parseTarget(text string) (*url.URL, error) {
	if strings.HasPrefix(text, "kafka://") {
		return &url.URL{Scheme: "kafka"}, nil // its brokers are in the site's config
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--target: %q is not http://host:port, https://host:port or kafka://host:port", text)
	}
	return u, nil
}

// rates reads --rate or --ramp.
func (f *benchFlags) rates() ([]float64, error) {
	if (f.rate == "") == (f.ramp == "") {
		return nil, errors.New("one of --rate and --ramp is wanted")
	}
	if f.rate != "" {
		return numbers("--rate", f.rate, ",")
	}
	ends, err := numbers("--ramp", f.ramp, ":")
	if err != nil {
		return nil, err
	}
	if len(ends) != 3 || ends[1] < ends[0] || (ends[1]-ends[0])/ends[2] > 1000 {
		return nil, fmt.Errorf("--ramp: %q is not from:to:step, such as 500:5000:500", f.ramp)
	}
	var rates []float64
	for r := ends[0]; r <= ends[1]; r += ends[2] {
		rates = append(rates, r)
	}
	return rates, nil
}

func numbers(flag, text, separator string) ([]float64, error) {
	var all []float64
	for part := range strings.SplitSeq(text, separator) {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !(v > 0 && v <= 1e6) {
			return nil, fmt.Errorf("%s: %q is not a rate from above 0 to 1000000 a second", flag, part)
		}
		all = append(all, v)
	}
	return all, nil
}

// httpHeader reads --header, --api-key and --wait.
func (f *benchFlags) httpHeader(into http.Header) error {
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(h, "\r\n") {
			return errors.New("--header is not NAME:VALUE") // its value may be a secret: not shown
		}
		into.Add(name, strings.TrimSpace(value))
	}
	if f.wait > 0 {
		into.Set("Prefer", "wait="+strconv.FormatFloat(f.wait.Seconds(), 'f', -1, 64))
	}
	token := f.apiKey
	if file, ok := strings.CutPrefix(token, "@"); ok {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading --api-key: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token != "" {
		into.Set("Authorization", "Bearer "+token)
	}
	return nil
}

// site reads the config for what is in Kafka, with the flags' topics in place of its own.
func (f *benchFlags) site() (Config, error) {
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return cfg, err
	}
	if f.topic != "" {
		cfg.Kafka.Topics.Sync = f.topic
	}
	if f.replyTopic != "" {
		cfg.Kafka.Topics.Replies = f.replyTopic
	}
	if f.kafka != "" {
		cfg.Kafka.BootstrapServers = strings.Split(f.kafka, ",")
	}
	if strings.HasPrefix(f.target, "kafka://") {
		if cfg.Kafka.BootstrapServers, err = bootstrap(f.target); err != nil {
			return cfg, fmt.Errorf("--target: %w", err)
		}
	}
	return cfg, nil
}

// open opens the target and says whether it is there.
func (f *benchFlags) open(ctx context.Context, p *benchPlan) (bench.Target, func(), error) {
	if p.target.Scheme == "kafka" {
		target, err := bench.NewKafka(ctx, bench.KafkaConfig{Connection: p.site.Kafka.Connection, Topics: p.site.Kafka.Topics, Timeout: f.timeout, MaxInFlight: f.inFlight})
		if err != nil {
			return nil, nil, err
		}
		return target, func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = target.Close(closing) // all orders have ended
		}, nil
	}
	target, err := bench.NewHTTP(bench.HTTPConfig{URL: p.target, Header: p.header, Timeout: f.timeout})
	if err == nil {
		err = target.Reach(ctx)
	}
	return target, func() {}, err
}

// describe returns what the brokers tell of themselves, nil when none are named or they do not.
func (f *benchFlags) describe(ctx context.Context, p *benchPlan, progress io.Writer) *kafka.Cluster {
	if f.kafka == "" && p.target.Scheme != "kafka" {
		return nil
	}
	t := p.site.Kafka.Topics
	cluster, err := kafka.Describe(ctx, p.site.Kafka.Connection, t.Sync, t.Replies, t.Decisions)
	if err != nil {
		fmt.Fprintln(progress, "bench: the brokers do not say what they are:", err)
		return nil
	}
	return &cluster
}

// commandLine returns the command as it was given, without its secrets.
func (f *benchFlags) commandLine(args []string) string {
	var out []string
	hide := false
	for _, arg := range args {
		name, _, assigned := strings.Cut(arg, "=")
		secret := name == "--api-key" || name == "--header"
		switch {
		case hide:
			arg, hide = "…", false
		case secret && assigned:
			arg = name + "=…"
		case secret:
			hide = true
		case strings.ContainsAny(arg, " '\"$&;()<>|*?"):
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		out = append(out, arg)
	}
	return strings.Join(out, " ")
}
