package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"verdict/consumer"
	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
)

// replayFlags are the flags of verdict replay.
type replayFlags struct {
	schema, features                 string
	orders, labels, models, policies []string
	since, until                     string
	lateness                         durationFlag
	out, write                       string
	config                           string
	report                           reportFlags
	store                            replayStore
	rate                             float64
	resume                           bool
}

func newReplayCommand() *cobra.Command {
	f := replayFlags{lateness: durationFlag(30 * 24 * time.Hour)}
	cmd := &cobra.Command{
		Use:   "replay --orders SRC --features FILE",
		Short: "Run a history of orders through features, model and policy",
		Long: `Run a history of orders through the same path as live, and write what would have been computed and decided at the time.

SRC is a file .jsonl or .avro (an object container file), also .gz or .zst, - for JSON lines on stdin, or kafka://broker[,broker]/topic[,topic]: all that the
topics held when the replay began, in the order in which it was written, read without a group, so that nobody notices; ?from=…&to=… behind it takes a part, by
times or by partition:offset,…, and merge=event merges partitions by the orders' own times, for a history that was loaded. Several files (the flag again, a
pattern, commas between) are merged by event time. An order sees the labels that were known by its own time. The same history gives the same bytes each time: a
decision's decided_at is its order's time.

Several --model and --policy decide the history in one pass: as many of each make pairs, and one goes with all of the other. The first is the main one, whose
decisions are decisions.jsonl; the second's are decisions-2.jsonl.

Exit codes: 1 also where --require is not met, where --verify finds a difference without a reason, and after an interruption, which leaves what was done by then.

Files in --out, all of them complete or none there: features.csv (order_id, then the features in order; missing is empty; numbers in the fewest digits that
read back the same, whole ones plain below 1e16 and from there on as 1e+16, which pandas reads as float64) or features.parquet; decisions.jsonl; report.json
and report.html; differences.jsonl of --verify; dead-letters.jsonl, the lines that are no order; partial.json after an interruption. docs/replay.md says the rest.

How kafka:// is reached (TLS, SASL), where the schema registry is and which event times are refused: the sections kafka, registry and events of the config
that -c names, or VERDICT_KAFKA_… and so on in the environment.`,
		Example: `  verdict replay --orders orders.jsonl.gz --labels labels.jsonl.gz --features card.yaml --since 2018-07-25 --write features:parquet
  verdict replay --orders orders.avro --features card.yaml --model models/card/1 --policy policy.yaml --out run1
  verdict replay --orders kafka://broker:9092/orders --labels kafka://broker:9092/labels --features card.yaml -c verdict.yaml
  verdict replay --orders 'days/*.jsonl.gz' --labels labels.jsonl --features card.yaml --model models/card/1 --model models/card/2 --policy policy.yaml \
    --since 2018-08-08 --mature 30d --write report --require "average_precision >= 0.69 && flips < 0.02"
  verdict replay --orders kafka://broker/orders --labels kafka://broker/labels --features card.yaml --model models/card/1 --policy policy.yaml \
    --write decisions --verify kafka://broker/decisions
  zcat orders.gz | verdict replay --orders - --features card.yaml --out -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.orders, "orders", nil, "the orders: `SRC`; several files are merged by event time")
	flags.StringArrayVar(&f.labels, "labels", nil, "what became known of them: `SRC`")
	flags.StringVar(&f.schema, "schema", "", "what an order looks like: `FILE` .avsc or JSON Schema (else any object with the fields that the features name)")
	flags.StringVar(&f.features, "features", "", "the feature set: `FILE`")
	flags.StringArrayVar(&f.models, "model", nil, "the model bundle: `DIR`; given several times, candidates that decide in one pass")
	flags.StringArrayVar(&f.policies, "policy", nil, "the policy: `FILE`; as many as models, or one for all of them (and the other way round)")
	flags.StringVar(&f.since, "since", "", "write from this `TIME` on (RFC 3339, or a date); earlier orders only warm up")
	flags.StringVar(&f.until, "until", "", "read no order of this `TIME` or later")
	flags.Var(&f.lateness, "lateness", "how far behind the newest an order may lie and still find all that it asks for")
	flags.StringVar(&f.out, "out", ".", "`DIR` of the files; - writes the features as CSV to stdout, and nothing else")
	flags.StringVarP(&f.config, "config", "c", "", "the config that says how kafka:// and the schema registry are reached: `FILE`")
	flags.StringVar(&f.write, "write", "", "what to write: features[:csv|:parquet],decisions,report (default features, and decisions with --model or --policy)")
	f.report.register(flags)
	f.store.register(flags)
	flags.Float64Var(&f.rate, "rate", 0, "read at most `N` orders a second, to spare a cluster that others use; 0: as fast as it goes")
	flags.BoolVar(&f.resume, "resume", false, "go on with a replay that was interrupted, given the same again: its orders are read again to build state, and neither decided nor written")
	for _, name := range []string{"orders", "features"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // unreachable: both are defined above
		}
	}
	return cmd
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	cfg, err := f.replay()
	if err != nil {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	giveWay()
	cfg.Stdin, cfg.Stderr = cmd.InOrStdin(), cmd.ErrOrStderr()
	cfg.Terminal = term.IsTerminal(int(os.Stderr.Fd())) && cmd.ErrOrStderr() == os.Stderr
	cfg.Color = os.Getenv("NO_COLOR") == ""
	if f.out == "-" {
		cfg.Stdout = cmd.OutOrStdout()
	} else {
		clean, err := makeFolder(f.out)
		if err != nil {
			return fmt.Errorf("creating the folder of --out: %w", err)
		}
		defer clean()
	}
	own, err := f.store.open(cmd.Context(), &cfg, f.config)
	if err != nil {
		return err
	}
	if own.store != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "replay: state lies under %s until the end\n", own.prefix)
	}
	done, err := replay.Run(cmd.Context(), cfg)
	if left := own.close(cmd.Context()); left != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "replay: the store:", left)
	}
	broken := (*replay.InterruptedError)(nil)
	switch {
	case errors.Is(err, replay.ErrFeatures), errors.Is(err, replay.ErrPolicy), errors.Is(err, replay.ErrReport), errors.Is(err, replay.ErrLive), errors.Is(err, replay.ErrResume), errors.Is(err, replay.ErrNothing):
		return fmt.Errorf("%w: %w", errInvalid, err)
	case errors.Is(err, context.Canceled) && f.out == "-":
		return errors.New("interrupted: what stands on stdout is not all")
	case errors.As(err, &broken):
		fmt.Fprintln(cmd.ErrOrStderr(), "replay:", done)
		return broken
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted: no file was written")
	case err != nil:
		return fmt.Errorf("replaying: %w", err)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "replay:", done)
	return answer(cmd.ErrOrStderr(), done)
}

// makeFolder makes a folder, and returns what removes it again if it was not there before and nothing came to lie in it.
func makeFolder(dir string) (clean func(), err error) {
	_, was := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everyone who may look into the folder
		return nil, err
	}
	return func() {
		if was != nil {
			_ = os.Remove(dir) // it stays when it is not empty
		}
	}, nil
}

// replay makes the replay's configuration of the flags, and reads the files that they name.
func (f *replayFlags) replay() (replay.Config, error) {
	cfg := replay.Config{File: f.features, Out: f.out, Resume: f.resume, Rate: f.rate, Lateness: time.Duration(f.lateness), Store: memstore.New(memstore.Config{})}
	if f.rate < 0 {
		return cfg, errors.New("--rate must not be negative")
	}
	reach, err := f.reach()
	if err != nil {
		return cfg, err
	}
	if cfg.Registry, err = reach.registry(); err != nil {
		return cfg, err
	}
	cfg.Events = reach.events
	if cfg.Orders, err = reach.locations(f.orders, consumer.Orders); err != nil {
		return cfg, fmt.Errorf("--orders: %w", err)
	}
	if len(f.labels) > 0 {
		labels, err := reach.locations(f.labels, consumer.Labels)
		if err != nil {
			return cfg, fmt.Errorf("--labels: %w", err)
		}
		if labels.Stdin() && cfg.Orders.Stdin() {
			return cfg, errors.New("--orders and --labels cannot both be read from stdin")
		}
		cfg.Labels = &labels
	}
	if err := f.times(&cfg); err != nil {
		return cfg, err
	}
	if cfg.Schema, err = loadSchema(cmp.Or(f.schema, anySchema)); err != nil {
		return cfg, err
	}
	if cfg.Features, err = preprocess.Load(f.features, cfg.Schema); err != nil {
		return cfg, err
	}
	if cfg.Candidates, err = f.candidates(cfg.Schema, cfg.Features.Layout()); err != nil {
		return cfg, err
	}
	if err := f.outputs(&cfg); err != nil {
		return cfg, err
	}
	return cfg, f.report.fill(&cfg, &reach)
}

func (f *replayFlags) times(cfg *replay.Config) (err error) {
	if cfg.Since, err = parseTime(f.since); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if cfg.Until, err = parseTime(f.until); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	if !cfg.Since.IsZero() && !cfg.Until.IsZero() && !cfg.Since.Before(cfg.Until) {
		return errors.New("--since must lie before --until")
	}
	return nil
}

// parseTime reads an RFC 3339 time or a date, which is its first moment in UTC; nothing is the zero time.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a date such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z", s)
}

// durationFlag is a duration as people write them in the config too: 30d, 12h.
type durationFlag time.Duration

// Set reads a duration.
func (d *durationFlag) Set(text string) error {
	v, err := durationHook(reflect.TypeFor[string](), reflect.TypeFor[time.Duration](), text)
	if err != nil {
		return err
	}
	length, ok := v.(time.Duration)
	if !ok || length < 0 {
		return errors.New("must not be negative")
	}
	*d = durationFlag(length)
	return nil
}

// String returns whole days as such.
func (d *durationFlag) String() string { return days(time.Duration(*d)) }

// Type names the kind of value in the help.
func (d *durationFlag) Type() string { return "DURATION" }

// outputs reads --write.
func (f *replayFlags) outputs(cfg *replay.Config) error {
	write := f.write
	if write == "" && len(cfg.Candidates) > 0 && f.out != "-" {
		write = "features,decisions"
	} else if write == "" {
		write = "features"
	}
	for what := range strings.SplitSeq(write, ",") {
		if cfg.Write != replay.NoFeatures && strings.HasPrefix(what, "features") || cfg.Decide && what == "decisions" {
			return fmt.Errorf("--write: %s: a replay writes features once, in one format, and decisions once", what)
		}
		switch what {
		case "features", "features:csv":
			cfg.Write = replay.CSV
		case "features:parquet":
			cfg.Write = replay.Parquet
		case "decisions":
			cfg.Decide = true
		case "report":
			if cfg.Report = new(replay.ReportConfig); len(cfg.Candidates) == 0 {
				return errors.New("--write report needs --model or --policy")
			}
		default:
			return fmt.Errorf("--write: %q is none of features, features:csv, features:parquet, decisions, report", what)
		}
	}
	switch {
	case cfg.Decide && len(cfg.Candidates) == 0:
		return errors.New("--write decisions needs --model or --policy")
	case f.out == "-" && (cfg.Write != replay.CSV || cfg.Decide || cfg.Report != nil):
		return errors.New("--out - writes features as CSV to stdout and nothing else")
	default:
		return nil
	}
}
