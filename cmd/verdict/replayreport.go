package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"verdict/cmd/verdict/internal/bench"
	"verdict/consumer"
	"verdict/consumer/backtest"
	"verdict/consumer/backtest/page"
	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/schemas"
)

// reportFlags are the flags of verdict replay that are about its report.
type reportFlags struct {
	set *pflag.FlagSet

	live, verify, amount, card  string
	require                     []string
	mature, known               durationFlag
	knownFrom, drift            string
	segments                    []string
	top                         []int
	budget, bootstrap, examples int
	seed                        uint64
}

// reportOnly are the flags that say something about a report alone.
var reportOnly = [...]string{"mature", "segment", "amount", "card", "top", "budget", "bootstrap", "seed", "examples", "require", "known-delay", "known-from", "drift-base"}

func (f *reportFlags) register(flags *pflag.FlagSet) {
	f.set = flags
	flags.StringVar(&f.live, "live", "", "what was decided live, to compare with: `SRC`, the topic of decisions or JSON lines of it")
	flags.StringVar(&f.verify, "verify", "", "compare features, scores and actions bit for bit with what was decided live: `SRC` as --live; exit with 1 if a difference has no reason")
	flags.Var(&f.mature, "mature", "report: orders younger than this at the end of what is known count in no figure that needs labels")
	flags.StringArrayVar(&f.segments, "segment", nil, "report: break all figures down by the values of this `FIELD`; may be given several times")
	flags.StringVar(&f.amount, "amount", "", "report: the `FIELD` that says what an order is worth (amount, if orders have such a number)")
	flags.StringVar(&f.card, "card", "", "report: the `ENTITY` or field that tells customers apart, for card precision (the first entity)")
	flags.IntSliceVar(&f.top, "top", []int{100}, "report: precision at the `K` highest scores of a day; may be a list")
	flags.IntVar(&f.budget, "budget", 100, "report: how many orders can be reviewed a day: `N`")
	flags.IntVar(&f.bootstrap, "bootstrap", 200, "report: `N` replicates of the intervals; 0: no intervals")
	flags.Uint64Var(&f.seed, "seed", 0, "report: of the bootstrap")
	flags.IntVar(&f.examples, "examples", 10, "report: `N` orders of each kind that are told with their ids; 0: none")
	flags.StringVar(&f.drift, "drift-base", "", "report: a `TIME` in the week that drift is counted against (the first)")
	flags.Var(&f.known, "known-delay", "report: leave out orders of customers whose fraud was known this long before; whole days, as the Handbook does with 7d")
	flags.StringVar(&f.knownFrom, "known-from", "", "report: with --known-delay, frauds from this `TIME` on make a customer known (all)")
	flags.StringArrayVar(&f.require, "require", nil, "report: exit with 1 unless this holds of report.json: `EXPR`, such as \"average_precision >= 0.69 && flips < 0.02\"")
}

// fill fills in what the flags say of a report, if there is to be one.
func (f *reportFlags) fill(cfg *replay.Config, reach *sources) error {
	if err := f.decided(cfg, reach); err != nil {
		return err
	}
	if cfg.Report == nil {
		for _, name := range reportOnly {
			if f.set.Changed(name) {
				return fmt.Errorf("--%s is about a report: --write report", name)
			}
		}
		return nil
	}
	r := cfg.Report
	r.Page = page.Write
	if err := errors.Join(f.backtest(&r.Backtest), f.gate(r)); err != nil {
		return err
	}
	r.Amount, r.Guess = schemas.ParsePath("amount"), true
	if f.amount != "" {
		r.Amount, r.Guess = schemas.ParsePath(f.amount), false
	}
	for _, field := range f.segments {
		r.Segments = append(r.Segments, schemas.ParsePath(field))
	}
	if r.Gate != nil {
		if err := r.Gate.Fits(len(cfg.Candidates), f.top, cfg.Live != nil); err != nil {
			return fmt.Errorf("--require: %w", err)
		}
	}
	r.Customer, r.CustomerKey = customerOf(cfg.Features, f.card)
	r.Provenance = backtest.Provenance{Program: bench.Version(), Orders: cfg.Orders.Names(), Labels: locations(cfg.Labels), Live: locations(cfg.Live)}
	return nil
}

// decided reads where the live decisions are.
func (f *reportFlags) decided(cfg *replay.Config, reach *sources) error {
	flag, source := "--live", f.live
	if cfg.Verify = f.verify != ""; cfg.Verify {
		flag, source = "--verify", f.verify
	}
	switch {
	case source == "":
		return nil
	case cfg.Verify && f.live != "" && f.live != f.verify:
		return errors.New("--live and --verify name different decisions: one run is compared with one")
	case cfg.Verify && cfg.Out == "-":
		return errors.New("--out - writes features to stdout and nothing else: --verify needs a folder")
	}
	at, err := reach.location(source, consumer.Orders)
	if err == nil && (!at.InLines() && !at.InTopics() || at.Stdin()) {
		err = errors.New("decisions are read from a topic or from JSON lines in a file")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	cfg.Live = &at
	return nil
}

// backtest reads what needs no feature set, and the gate.
func (f *reportFlags) backtest(b *backtest.Config) (err error) {
	b.Mature, b.TopK, b.Budget, b.Seed = time.Duration(f.mature), f.top, f.budget, f.seed
	if f.budget < 1 || f.bootstrap < 0 || f.examples < 0 {
		return errors.New("--budget is 1 or more, --bootstrap and --examples are 0 or more")
	}
	if b.Bootstrap, b.Examples = f.bootstrap, f.examples; b.Bootstrap == 0 {
		b.Bootstrap = -1 // none; what a Config leaves open is another number
	}
	if b.Examples == 0 {
		b.Examples = -1
	}
	if b.Base, err = parseTime(f.drift); err != nil {
		return fmt.Errorf("--drift-base: %w", err)
	}
	if !f.set.Changed("known-delay") {
		if f.knownFrom != "" {
			return errors.New("--known-from goes with --known-delay")
		}
		return nil
	}
	if time.Duration(f.known)%(24*time.Hour) != 0 {
		return fmt.Errorf("--known-delay %s: whole days are wanted, since it counts days", time.Duration(f.known))
	}
	b.Known = &backtest.Known{Delay: time.Duration(f.known)}
	if b.Known.From, err = parseTime(f.knownFrom); err != nil {
		return fmt.Errorf("--known-from: %w", err)
	}
	return nil
}

// gate reads --require.
func (f *reportFlags) gate(r *replay.ReportConfig) (err error) {
	if !f.set.Changed("require") {
		return nil
	}
	r.Require = allOf(f.require)
	if r.Gate, err = backtest.Require(r.Require); err != nil {
		return fmt.Errorf("--require: %w", err)
	}
	return nil
}

// allOf joins conditions that are given one by one.
func allOf(conditions []string) string {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return "(" + strings.Join(conditions, ") && (") + ")"
}

// customerOf returns the key of an entity, or else of a field, of that name; of none the first entity's.
func customerOf(features *preprocess.FeatureSet, name string) (string, []schemas.Path) {
	entities := features.Entities()
	if name != "" {
		if key, ok := entities[name]; ok {
			return name, key
		}
		return name, []schemas.Path{schemas.ParsePath(name)}
	}
	// The file's first entity begins with the partition key; of several that do the one of fewest fields tells customers apart.
	first := features.PartitionKey().String()
	for one, key := range entities {
		if key[0].String() != first {
			continue
		}
		if was := entities[name]; name == "" || len(key) < len(was) || len(key) == len(was) && one < name {
			name = one
		}
	}
	return name, entities[name]
}

func locations(at *replay.Location) []string {
	if at == nil {
		return []string{}
	}
	return at.Names()
}

// What a replay that has done its work ends with all the same.
var (
	errGate   = errors.New("the gate is not met")
	errVerify = errors.New("the replay differs from what was decided live: differences.jsonl has each")
)

// answer says whether what was asked of the replay is so. All that it found is told before.
func answer(to io.Writer, done replay.Summary) error {
	err := tellGate(to, done)
	if done.Verified != nil && done.Verified.Unexplained > 0 {
		err = errors.Join(err, errVerify)
	}
	return err
}

// tellGate tells what the gate says; its error is that the report does not pass.
func tellGate(to io.Writer, done replay.Summary) error {
	if done.Gate == "" {
		return nil
	}
	for line := range strings.SplitSeq(done.Gate, "\n") {
		fmt.Fprintln(to, "require:", line)
	}
	if !done.Report.Provenance.Met {
		return errGate
	}
	return nil
}
