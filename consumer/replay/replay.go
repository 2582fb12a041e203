// Package replay runs a history through the worker: orders and labels come from files or topics, features and decisions go to files. It is the live path with
// other ends. Time is the orders' own, nothing on the path asks the clock, so the same history gives the same bytes each time, whatever the batch size.
//
// A source is read by one goroutine and decoded by some (source.go); the transport puts the labels in their places (transport.go); the worker's step
// runs on the caller's goroutine; rows and decisions are formatted and written on others (pen.go). Files appear under their names when all of them are complete (output.go).
package replay

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/time/rate"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/schemas"
	"verdict/scorer"
)

// Format is how features are written.
type Format uint8

// The formats of features.
const (
	NoFeatures Format = iota
	CSV               // features.csv
	Parquet           // features.parquet
)

// file returns the name of the file.
func (f Format) file() string {
	if f == Parquet {
		return "features.parquet"
	}
	return "features.csv"
}

// Config says what is replayed, through what, and where to. Orders, Features, Store and Out are required.
type Config struct {
	Orders   Location
	Labels   *Location         // nil: no labels
	Stdin    io.Reader         // what "-" reads
	Registry *schemas.Registry // of what lies in topics in Avro; nil: it is JSON
	Schema   *schemas.Schema   // of the orders; nil takes any object, and holds the fields of Features and of the candidates' policies against the first orders

	Features *preprocess.FeatureSet
	File     string           // where Features was read from, for messages
	Store    preprocess.Store // empty, and the replay's own
	Lateness time.Duration    // how far behind the newest an order may lie and still find all that it asks for

	// Candidates decide the history in one pass, all of them by the same vectors. The first is the main one. None: features only.
	Candidates []Candidate

	Events consumer.EventTimes // orders outside are dead letters, as live; a file's records have no time, and pass
	Since  time.Time           // rows and decisions are written from this event time on, earlier orders only warm up; zero: all
	Until  time.Time           // orders at or after it are not read; zero: all are
	Batch  int                 // orders a step; 0 is 1,000
	Rate   float64             // orders a second, at most; 0: no limit

	Live   *Location     // decisions that were made live, with which the candidates are compared in a report; nil: none are known
	Verify bool          // compares the main candidate's decisions with Live, bit for bit, and writes differences.jsonl
	Report *ReportConfig // writes report.json, and report.html; nil: no report

	Resume bool // goes on with a replay of the same that was interrupted, whose files are in Out: features as CSV and decisions

	Write  Format    // of the features
	Decide bool      // writes decisions.jsonl, and decisions-2.jsonl and so on of further candidates
	Out    string    // folder of the files
	Stdout io.Writer // takes the features instead of a file; then no file is written at all

	Stderr   io.Writer // takes progress and the first dead letters; nil is quiet
	Terminal bool      // Stderr is a terminal: progress is a bar
	Color    bool
}

// Run replays. Files that it was to write are all there when it returns nil, and none of them otherwise; but when ctx ends under way they hold what was done
// until then, PartialFile says so, and the error is an *InterruptedError.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	if cfg.Decide && len(cfg.Candidates) == 0 {
		return Summary{}, errors.New("decisions need a candidate")
	}
	if cfg.Verify && (cfg.Live == nil || cfg.Stdout != nil) {
		return Summary{}, errors.New("to verify there have to be live decisions, and files to write to")
	}
	if cfg.Stderr == nil {
		cfg.Stderr = io.Discard
	}
	began := time.Now()
	files := &outputs{dir: cfg.Out}
	defer files.discard()
	t := &transport{batch: cmp.Or(cfg.Batch, 1000), pace: pace(cfg.Rate, cmp.Or(cfg.Batch, 1000)), since: cfg.Since, until: cfg.Until, lateness: cfg.Lateness}
	if err := t.create(&cfg, files); err != nil {
		return Summary{}, err
	}
	if err := t.open(ctx, &cfg); err != nil {
		return Summary{}, err
	}
	defer t.orders.close()
	if err := t.run(ctx, &cfg); err != nil {
		return Summary{}, err
	}
	broken := t.interrupted(ctx)
	if broken == nil {
		if err := t.nothing(&cfg); err != nil {
			return Summary{}, err
		}
	}
	if broken != nil && broken.Orders <= t.skip { // what there was stays as it is
		return Summary{}, broken.Cause
	}
	done := t.summary(&cfg)
	if err := t.finish(&cfg, files, broken, &done); err != nil {
		return Summary{}, err
	}
	if done.Elapsed = time.Since(began); broken != nil {
		done.Orders = broken.Orders // a few more may have been polled
		return done, broken
	}
	return done, nil
}

// pace returns what holds a replay to a rate, in batches of that many; nil for none.
func pace(perSecond float64, batch int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), batch)
}

// nothing says why a replay that has come to its end has nothing to tell: it was asked about what is not there.
func (t *transport) nothing(cfg *Config) error {
	c := &t.counts
	switch read := c.orders.Load(); {
	case read == 0 && c.after.Load() > 0:
		return fmt.Errorf("%w: all %d orders of %s lie at %s or later", ErrNothing, c.after.Load(), cfg.Orders, cfg.Until.Format(time.RFC3339))
	case read == 0:
		return fmt.Errorf("%w: there is no record in %s", ErrNothing, cfg.Orders)
	case t.newest.IsZero():
		return fmt.Errorf("%w: none of the %d records of %s is an order", ErrNothing, read, cfg.Orders)
	case t.newest.Before(cfg.Since):
		return fmt.Errorf("%w: all %d orders of %s lie before %s", ErrNothing, read, cfg.Orders, cfg.Since.Format(time.RFC3339))
	default:
		return nil
	}
}

// finish writes what can be told when all is decided, and has the files appear.
func (t *transport) finish(cfg *Config, files *outputs, broken *InterruptedError, done *Summary) (err error) {
	if t.verify != nil {
		if done.Verified, err = t.verify.end(&t.labels, broken == nil); err != nil {
			return err
		}
	}
	if err := t.writeReport(cfg, files, broken, done); err != nil {
		return err
	}
	if broken != nil && cfg.Stdout == nil {
		if err := t.sayPartial(cfg, files, broken); err != nil {
			return err
		}
	}
	if err := files.appear(); err != nil || broken != nil || cfg.Stdout != nil {
		return err
	}
	return unsayPartial(cfg.Out)
}

// create creates what the replay writes to.
func (t *transport) create(cfg *Config, files *outputs) (err error) {
	t.letters.tell = cfg.Stderr
	if cfg.Terminal {
		t.letters.tell = overBar{cfg.Stderr}
	}
	for i, c := range cfg.Candidates {
		t.judges = append(t.judges, &judge{Candidate: c, place: i})
	}
	if cfg.Resume {
		if err := t.resume(cfg); err != nil {
			return err
		}
	}
	if cfg.Stdout != nil {
		return t.createRows(cfg, bufio.NewWriterSize(cfg.Stdout, bufferSize))
	}
	letters, err := files.create("dead-letters.jsonl")
	if err != nil {
		return err
	}
	t.letters.file = letters
	if cfg.Verify {
		if t.differences, err = files.create("differences.jsonl"); err != nil {
			return err
		}
	}
	if cfg.Decide {
		if err := t.createDecisions(cfg, files); err != nil {
			return err
		}
	}
	if cfg.Write == NoFeatures {
		return nil
	}
	features, err := files.create(cfg.Write.file())
	if err != nil {
		return err
	}
	if err := t.createRows(cfg, features.Writer); err != nil || !cfg.Resume {
		return err
	}
	return features.goOn(t.was)
}

// createDecisions creates a file for each candidate.
func (t *transport) createDecisions(cfg *Config, files *outputs) error {
	for i, j := range t.judges {
		file, err := files.create(decisionsFile(i))
		if err != nil {
			return err
		}
		if cfg.Resume {
			if err := file.goOn(t.was); err != nil {
				return err
			}
		}
		j.file = file
	}
	t.judges[0].told = &t.counts.decisions
	return nil
}

func (t *transport) createRows(cfg *Config, to *bufio.Writer) (err error) {
	if cfg.Write == Parquet {
		t.rows, err = newParquetWriter(to, cfg.Features.Layout())
	} else {
		t.rows, err = newCSVWriter(to, cfg.Features.Layout())
	}
	return err
}

// open reads the labels and the first orders, and holds the feature set and the policy against these.
func (t *transport) open(ctx context.Context, cfg *Config) error {
	if cfg.Labels != nil {
		if err := t.openLabels(ctx, cfg); err != nil {
			return err
		}
	}
	if cfg.Live != nil {
		decided, err := readLive(ctx, cfg, cfg.Verify)
		if err != nil {
			return err
		}
		t.live = decided
		if cfg.Verify {
			t.verify = newVerifier(cfg, decided, t.judges)
			t.verify.file = t.differences
		}
	}
	binding := cfg.Features.Binding()
	orders, err := openFeed(ctx, sourceConfig{from: cfg.Orders, ordered: true, stdin: cfg.Stdin, schema: cfg.Schema, registry: cfg.Registry, sort: func(it *item) error {
		it.ahead = consumer.OrderAhead(it.fields, binding, it.raw)
		it.at = it.ahead.Order.At
		return it.ahead.Err
	}})
	if err != nil {
		return err
	}
	t.orders, t.from = orders, cfg.Orders
	err = t.peek(ctx)
	if err == nil && cfg.Schema == nil {
		err = checkFields(cfg, t.ahead)
	}
	if err == nil {
		err = t.openReport(cfg)
	}
	if err != nil {
		t.orders.close()
	}
	return err
}

// openReport begins the report, when one is wanted. The first orders are there.
func (t *transport) openReport(cfg *Config) (err error) {
	if cfg.Report == nil {
		return nil
	}
	own := *cfg.Report
	cfg.Report = &own // the caller's stays as it is
	if err := checkReport(cfg.Report, t.ahead); err != nil {
		return err
	}
	for _, j := range t.judges {
		j.prepare(cfg.Features.Layout())
	}
	t.report, err = newReporter(cfg, t.judges, &t.labels, t.live)
	return err
}

func (t *transport) openLabels(ctx context.Context, cfg *Config) error {
	labels, err := openFeed(ctx, sourceConfig{from: *cfg.Labels, stdin: cfg.Stdin, registry: cfg.Registry, sort: func(it *item) error {
		it.ahead = consumer.LabelAhead(it.fields)
		return it.ahead.Err
	}})
	if err != nil {
		return err
	}
	defer labels.close()
	t.labels, err = readLabels(ctx, labels, *cfg.Labels, &t.letters)
	return err
}

// run takes the history through the worker.
func (t *transport) run(ctx context.Context, cfg *Config) error {
	var main *scorer.Scorer
	if len(t.judges) > 0 {
		main = t.judges[0].scorer
	}
	codec, err := orderCodec(cfg)
	if err != nil {
		return err
	}
	worker, err := consumer.New(consumer.Config{
		Transport: t,
		Orders:    codec,
		Binding:   cfg.Features.Binding(),
		Extractor: preprocess.NewExtractor(cfg.Features, cfg.Store, cfg.Lateness),
		Store:     cfg.Store,
		Scorer:    main,
		Events:    cfg.Events,
		Lane:      "replay",
		Topics:    cfg.Orders.names(),
		Observe:   t.observe,
	})
	if err != nil {
		return err
	}
	t.start()
	told := Tell(TellConfig{To: cfg.Stderr, Name: "replay", Bar: cfg.Terminal, Color: cfg.Color, Far: t.far})
	err = worker.Run(ctx)
	told.End()
	if written := t.end(); err == nil {
		err = written
	}
	return err
}

// start takes up the pens.
func (t *transport) start() {
	if t.rows != nil {
		t.pen = newPen(t.rows.write)
	}
	for _, j := range t.judges {
		j.pen = newPen(j.scribe.write)
	}
}

// unwritten returns why something could not be written, nil when all could until now.
func (t *transport) unwritten() (err error) {
	if t.pen != nil {
		err = t.pen.failed()
	}
	for _, j := range t.judges {
		err = cmp.Or(err, j.pen.failed())
	}
	return err
}

// end waits until all is written.
func (t *transport) end() (err error) {
	if t.pen != nil {
		if err = t.pen.close(); err == nil {
			err = t.rows.close()
		}
	}
	for _, j := range t.judges {
		err = errors.Join(err, j.pen.close())
	}
	return err
}

// observe takes the rows of a step. It is the worker's hook, on the worker's goroutine.
func (t *transport) observe(orders []preprocess.Arrived, extracted []preprocess.Extracted, decisions []schemas.Decision) {
	for i := range extracted {
		if extracted[i].Repeat {
			t.counts.repeats.Add(1)
		}
		if extracted[i].Conflict {
			t.counts.conflicts.Add(1)
		}
	}
	if t.failed == nil {
		t.failed = t.judge(orders, extracted, decisions)
	}
	if t.rows == nil || t.polled.WarmUp {
		return
	}
	r := t.pen.blank()
	t.counts.rows.Add(r.take(orders, extracted, t.since))
	t.pen.hand(r)
}

// judge has the candidates decide a step, and tells what they decided.
func (t *transport) judge(orders []preprocess.Arrived, extracted []preprocess.Extracted, decisions []schemas.Decision) error {
	if decisions == nil {
		return t.undecided(orders, extracted)
	}
	t.step.take(orders, extracted, decisions)
	if err := t.decide(); err != nil {
		return err
	}
	for i, place := range t.step.places {
		if t.verify != nil {
			if err := t.verify.compare(&orders[place], &decisions[place]); err != nil {
				return err
			}
		}
		if t.report == nil {
			continue
		}
		if err := t.report.add(&t.step, i, &orders[place], t.judges); err != nil {
			return err
		}
	}
	return nil
}

// undecided tells of orders that nobody decides: they warm up, or there is no candidate and features alone are compared.
func (t *transport) undecided(orders []preprocess.Arrived, extracted []preprocess.Extracted) error {
	for i := range orders {
		if extracted[i].Repeat {
			continue
		}
		if t.report != nil && t.report.cfg.Backtest.Known != nil {
			if err := t.report.known(&orders[i]); err != nil {
				return err
			}
		}
		switch {
		case t.verify == nil:
		case orders[i].Order.At.Before(t.since):
			t.verify.see(&orders[i])
		default:
			if err := t.verify.compare(&orders[i], &schemas.Decision{Score: math.NaN(), Inputs: extracted[i].Vector}); err != nil {
				return err
			}
		}
	}
	return nil
}

// digests returns the digest of each candidate's decisions.
func (t *transport) digests() []CandidateDigest {
	var all []CandidateDigest
	for _, j := range t.judges {
		one := CandidateDigest{Name: j.Name(), Digest: j.digest.String()}
		if j.Model != nil {
			one.Hash = j.Model.Version().Hash
		}
		if j.Policy != nil {
			one.Hash += "+" + j.Policy.Version().Hash
		}
		all = append(all, one)
	}
	return all
}

func (t *transport) summary(cfg *Config) Summary {
	c := &t.counts
	return Summary{
		Digests: t.digests(), Write: cfg.Write, Decide: cfg.Decide,
		Orders: c.orders.Load(), Rows: c.rows.Load(), Decisions: c.decisions.Load(), Repeats: c.repeats.Load(), Conflicts: c.conflicts.Load(), DeadLetters: t.letters.n,
		Labels: int64(len(t.labels.labels)), Late: c.late.Load(), TooLate: c.tooLate.Load(), Latest: time.Duration(c.latest.Load()), After: c.after.Load(),
	}
}
