package oracle_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/cmd/verdict/internal/oracle"
	"verdict/schemas"
)

var start = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)

// at is a time of the run, in seconds.
func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func ordersAt(offset int64) oracle.Place { return oracle.Place{Topic: "orders", Offset: offset} }

// run is a small campaign: what is written of an order is what a scorer would write.
type run struct {
	*oracle.Oracle

	t         *testing.T
	decisions int64 // how many lie on the topic
	letters   int64
}

func newRun(t *testing.T, cfg oracle.Config) *run {
	t.Helper()
	return &run{Oracle: oracle.New(cfg), t: t}
}

func id(offset int64) string { return fmt.Sprint("order-", offset) }

// write puts an order on the input log, a tenth of a second after the one before it.
func (r *run) write(offsets ...int64) {
	for _, o := range offsets {
		r.Input(oracle.Input{Place: ordersAt(o), ID: id(o), Key: "c", Time: at(float64(o) / 10)})
	}
}

// record is the decision of the order at an offset, with a feature of this value.
func (r *run) record(offset int64, feature float64, change ...func(*schemas.Decision)) []byte {
	r.t.Helper()
	layout, err := schemas.NewLayout(schemas.Version{Name: "f", Version: "1", Hash: "0"}, []string{"amount", "count"})
	if err != nil {
		r.t.Fatal(err)
	}
	d := schemas.Decision{
		OrderID: schemas.OrderID(id(offset)), Action: schemas.Approve, Score: 0.5, OccurredAt: start, DecidedAt: start, Features: layout.Features,
		Inputs: schemas.FeatureVector{Layout: layout, Values: []float64{7, feature}}, Source: schemas.Source{Topic: "orders", Offset: offset},
	}
	for _, f := range change {
		f(&d)
	}
	return schemas.AppendDecision(nil, &d)
}

// publish puts a decision of the order at an offset on the topic, which the reader has half a second after the order was written.
func (r *run) publish(offset int64, value []byte) {
	r.Decision(oracle.Output{Place: oracle.Place{Topic: "decisions", Offset: r.decisions}, Source: ordersAt(offset), Value: value, Seen: at(float64(offset)/10 + 0.5)})
	r.decisions++
}

func (r *run) refuse(offset int64, code string) {
	r.DeadLetter(oracle.Output{Place: oracle.Place{Topic: "orders.dlq", Offset: r.letters}, Source: ordersAt(offset), Value: []byte(code), Seen: at(float64(offset)/10 + 0.5)})
	r.letters++
}

func (r *run) recompute(value []byte) {
	r.t.Helper()
	if err := r.Recomputed(value); err != nil {
		r.t.Fatal(err)
	}
}

func degraded(d *schemas.Decision) { d.Degraded = []string{"features"} }

func otherID(d *schemas.Decision) { d.OrderID = "order-99" }

func otherScore(d *schemas.Decision) { d.Score = 0.25 }

func otherFeature(d *schemas.Decision) {
	d.Inputs.Layout, _ = schemas.NewLayout(d.Features, []string{"amount", "mean"})
}

// TestOracleFindsEachWayOfBeingWrong runs three orders, of which something goes wrong.
func TestOracleFindsEachWayOfBeingWrong(t *testing.T) {
	right := func(r *run, offsets ...int64) {
		for _, o := range offsets {
			r.publish(o, r.record(o, 1))
			r.recompute(r.record(o, 1))
		}
	}
	for name, test := range map[string]struct {
		cfg   oracle.Config
		do    func(*run)
		line  string // behind the three orders, without times
		blame string // the first offender
		green bool
	}{
		"nothing": {do: func(r *run) { right(r, 0, 1, 2) }, line: "lost=0 dup=0 drift=0", green: true},
		"lost":    {do: func(r *run) { right(r, 0, 2) }, line: "lost=1 dup=0 drift=0", blame: "lost orders/0/1"},
		"a dead letter is no loss": {
			do:   func(r *run) { right(r, 0, 2); r.refuse(1, "avro_decode") },
			line: "lost=0 dup=0 drift=0 dead=1", green: true,
		},
		"written again": {
			do:   func(r *run) { right(r, 0, 1, 2); r.publish(1, r.record(1, 1)) },
			line: "lost=0 dup=0 drift=0 again=1", green: true,
		},
		"written again where that must not be": {
			cfg: oracle.Config{ExactlyOnce: true}, do: func(r *run) { right(r, 0, 1, 2); r.publish(1, r.record(1, 1)) },
			line: "lost=0 dup=1 drift=0", blame: "dup orders/0/1 has its output twice",
		},
		"a dead letter again": {
			do:   func(r *run) { right(r, 0, 2); r.refuse(1, "avro_decode"); r.refuse(1, "avro_decode") },
			line: "lost=0 dup=0 drift=0 again=1 dead=1", green: true,
		},
		"two decisions": {
			do:   func(r *run) { right(r, 0, 1, 2); r.publish(1, r.record(1, 1, otherScore)) },
			line: "lost=0 dup=1 drift=0", blame: "dup orders/0/1 its order has 2 different decisions",
		},
		"two decisions of one id in two places": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				r.Input(oracle.Input{Place: ordersAt(3), ID: id(1), Time: at(0.3)})
				r.publish(3, r.record(1, 2))
			},
			line: "lost=0 dup=1 drift=0", blame: "dup orders/0/3 its order has 2 different decisions",
		},
		"a copy with the first decision": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				r.Input(oracle.Input{Place: ordersAt(3), ID: id(1), Time: at(0.3)})
				r.publish(3, r.record(1, 1))
			},
			line: "lost=0 dup=0 drift=0", green: true,
		},
		"two dead letters": {
			do:   func(r *run) { right(r, 0, 2); r.refuse(1, "avro_decode"); r.refuse(1, "id_format") },
			line: "lost=0 dup=1 drift=0 dead=1", blame: "dup orders/0/1 has 2 different outputs",
		},
		"a decision and a dead letter": {
			do:   func(r *run) { right(r, 0, 1, 2); r.refuse(1, "avro_decode") },
			line: "lost=0 dup=1 drift=0 dead=1", blame: "dup orders/0/1 has a decision and a dead letter",
		},
		"another value":   {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 2)); r.recompute(r.record(2, 1)) }, line: "lost=0 dup=0 drift=1", blame: "drift orders/0/2 1 cells differ: count"},
		"missing is zero": {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 0)); r.recompute(r.record(2, math.NaN())) }, line: "lost=0 dup=0 drift=1", blame: "drift orders/0/2 1 cells differ: count"},
		"missing is missing": {
			do: func(r *run) {
				right(r, 0, 1)
				r.publish(2, r.record(2, math.NaN()))
				r.recompute(r.record(2, math.NaN()))
			},
			line: "lost=0 dup=0 drift=0", green: true,
		},
		"another score":   {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 1)); r.recompute(r.record(2, 1, otherScore)) }, line: "lost=0 dup=0 drift=1", blame: "drift orders/0/2 1 cells differ: score"},
		"another feature": {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 1, otherFeature)); r.recompute(r.record(2, 1)) }, line: "lost=0 dup=0 drift=2", blame: "drift orders/0/2 2 cells differ: count, mean"},
		"not replayed":    {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 1)) }, line: "lost=0 dup=0 drift=4", blame: "drift orders/0/2 4 cells differ: all: the replay did not decide it"},
		"not decided":     {do: func(r *run) { right(r, 0, 2); r.refuse(1, "x"); r.recompute(r.record(1, 1)) }, line: "lost=0 dup=0 drift=4 dead=1", blame: "drift orders/0/1 the replay decided it, and it has no decision"},
		"flagged":         {do: func(r *run) { right(r, 0, 1); r.publish(2, r.record(2, 2, degraded)); r.recompute(r.record(2, 1)) }, line: "lost=0 dup=0 drift=0 flagged=1", green: true},
		"late": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				r.Input(oracle.Input{Place: ordersAt(3), ID: id(3), Time: at(0.3), Late: true})
				r.publish(3, r.record(3, 2))
				r.recompute(r.record(3, 1))
			},
			line: "lost=0 dup=0 drift=0 late=1", green: true,
		},
		"ghost": {do: func(r *run) { right(r, 0, 1, 2, 3) }, line: "lost=0 dup=0 drift=0 ghost=1", blame: "ghost orders/0/3 has an output, and no input lies there"},
		"another order's": {
			do: func(r *run) {
				right(r, 0, 1)
				r.publish(2, r.record(2, 1, otherID))
				r.recompute(r.record(2, 1, otherID))
			},
			line: "lost=0 dup=0 drift=0 ghost=1", blame: "ghost orders/0/2 has the decision of another order",
		},
		"no decision at all": {do: func(r *run) { right(r, 0, 1, 2); r.publish(2, []byte("{}")) }, line: "lost=0 dup=0 drift=0 ghost=1", blame: "ghost decisions/0/3 is no decision"},
		"a good order refused": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				r.Input(oracle.Input{Place: ordersAt(3), Time: at(0.3), Fate: oracle.Decided})
				r.refuse(3, "avro_decode")
			},
			line: "lost=0 dup=0 drift=0 fate=1 dead=1", blame: "fate orders/0/3 is a dead letter",
		},
		"a bad order decided": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				r.Input(oracle.Input{Place: ordersAt(3), Time: at(0.3), Fate: oracle.Dead})
				right(r, 3)
			},
			line: "lost=0 dup=0 drift=0 fate=1", blame: "fate orders/0/3 was decided",
		},
		"out of order": {do: func(r *run) { right(r, 0, 2, 1) }, line: "lost=0 dup=0 drift=0 order=1", blame: "order orders/0/1 its output lies behind that of offset 2 of the same key"},
		"copies out of order": {
			do:   func(r *run) { right(r, 0, 1, 2); r.publish(0, r.record(0, 1)); r.publish(1, r.record(1, 1)) },
			line: "lost=0 dup=0 drift=0 again=2", green: true,
		},
		"the truth": {
			do: func(r *run) {
				right(r, 0, 1, 2)
				body, err := schemas.PublicDecision(r.record(1, 1))
				if err != nil {
					r.t.Fatal(err)
				}
				r.Told(id(1), body)
			},
			line: "lost=0 dup=0 drift=0", green: true,
		},
		"a lie":          {do: func(r *run) { right(r, 0, 1, 2); r.Told(id(1), []byte("{}")) }, line: "lost=0 dup=0 drift=0 untrue=1", blame: "untrue orders/0/1 its caller was told another decision"},
		"a promise":      {do: func(r *run) { right(r, 0, 1, 2); r.Told("order-7", []byte("{}")) }, line: "lost=0 dup=0 drift=0 untrue=1", blame: "untrue a caller was told a decision that is not on the topic"},
		"other state":    {do: func(r *run) { right(r, 0, 1, 2); r.State("redis", "aa", "bb") }, line: "lost=0 dup=0 drift=0 state=1", blame: "state redis is aa, want bb"},
		"the same state": {do: func(r *run) { right(r, 0, 1, 2); r.State("redis", "aa", "aa") }, line: "lost=0 dup=0 drift=0", green: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, test.cfg)
			r.write(0, 1, 2)
			test.do(r)
			report := r.Report()
			line := ""
			for word := range strings.FieldsSeq(report.String()) {
				if key, _, _ := strings.Cut(word, "="); key != "orders" && key != "stuck_max" && key != "recover_p99" {
					line += " " + word
				}
			}
			if got := strings.TrimSpace(line); got != test.line {
				t.Errorf("got %q, want %q", got, test.line)
			}
			blame := ""
			if len(report.Offenders) > 0 {
				blame = report.Offenders[0].String()
			}
			if blame != test.blame || report.Green() != test.green {
				t.Errorf("blamed %q (green %v), want %q", blame, report.Green(), test.blame)
			}
		})
	}
}

func TestTheLineIsAsItIsWritten(t *testing.T) {
	r := newRun(t, oracle.Config{})
	r.write(0, 1)
	r.publish(0, r.record(0, 1))
	r.publish(1, r.record(1, 1))
	r.Fault(at(0.05), at(0.05))
	report := r.Report()
	if got, want := report.String(), "orders=2 lost=0 dup=0 drift=0 stuck_max=0.5s recover_p99=0.5s faults=1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestARecordThatIsReadTwiceCountsOnce(t *testing.T) {
	r := newRun(t, oracle.Config{ExactlyOnce: true})
	r.write(0)
	out := oracle.Output{Place: oracle.Place{Topic: "decisions", Offset: 4}, Source: ordersAt(0), Value: r.record(0, 1), Seen: at(1)}
	r.Decision(out)
	r.Decision(out)
	if report := r.Report(); !report.Green() {
		t.Errorf("%s: %v", &report, report.Offenders)
	}
}

func TestNoOffenderIsNamedById(t *testing.T) {
	r := newRun(t, oracle.Config{Examples: 2})
	r.write(0, 1, 2, 3)
	r.publish(9, r.record(9, 1))
	report := r.Report()
	if report.Lost != 4 || report.Ghost != 1 || len(report.Offenders) != 3 {
		t.Errorf("%s: %v", &report, report.Offenders)
	}
	for _, f := range report.Offenders {
		if strings.Contains(f.String(), "order-") {
			t.Errorf("%s", f)
		}
	}
}

func TestAPartitionIsStuckWhileItHasWorkAndDoesNone(t *testing.T) {
	for name, test := range map[string]struct {
		written, decided []float64 // seconds; of the same orders
		want             time.Duration
	}{
		"nothing":             {nil, nil, 0},
		"at once":             {[]float64{0, 1, 2}, []float64{0, 1, 2}, 0},
		"idle between":        {[]float64{0, 60}, []float64{0.5, 60.25}, 500 * time.Millisecond},
		"a pause":             {[]float64{0, 1, 2, 3, 4}, []float64{0.5, 4, 4, 4, 4.5}, 3 * time.Second}, // work from 1 on
		"busy but slow":       {[]float64{0, 0, 0, 0}, []float64{1, 2, 3, 4}, time.Second},
		"the clock of stamps": {[]float64{1}, []float64{0.999}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, oracle.Config{})
			for i := range test.written {
				o := int64(i)
				r.Input(oracle.Input{Place: ordersAt(o), Time: at(test.written[i])})
				r.Decision(oracle.Output{Place: oracle.Place{Topic: "decisions", Offset: o}, Source: ordersAt(o), Value: r.record(o, 1), Seen: at(test.decided[i])})
			}
			if got := r.Report().StuckMax; got != test.want {
				t.Errorf("stuck for %s, want %s", got, test.want)
			}
		})
	}
	t.Run("until the end", func(t *testing.T) {
		r := newRun(t, oracle.Config{})
		r.Input(oracle.Input{Place: ordersAt(0), Time: at(1)})
		r.Input(oracle.Input{Place: ordersAt(1), Time: at(9)})
		if got := r.Report().StuckMax; got != 8*time.Second {
			t.Errorf("stuck for %s", got)
		}
	})
}

func TestAFaultIsOverWhenTheLastPartitionWithWorkDecidesAgain(t *testing.T) {
	type order struct {
		partition        int32
		written, decided float64
	}
	for name, test := range map[string]struct {
		orders []order
		faults []float64
		want   time.Duration
	}{
		"at once":                   {[]order{{0, 0.5, 1.5}}, []float64{1}, 500 * time.Millisecond},
		"the slower partition":      {[]order{{0, 0.5, 1.5}, {1, 0.5, 3}}, []float64{1}, 2 * time.Second},
		"no work until later":       {[]order{{0, 0, 0.25}, {0, 5, 5.5}}, []float64{1}, 500 * time.Millisecond},
		"nothing to do":             {[]order{{0, 0, 0.25}}, []float64{1}, 0},
		"what comes is the next's":  {[]order{{0, 0, 0.25}, {0, 5, 9}}, []float64{1, 4}, 4 * time.Second},
		"an earlier order is first": {[]order{{0, 0, 2}, {0, 0.5, 7}}, []float64{1}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, oracle.Config{})
			for i, o := range test.orders {
				from := oracle.Place{Topic: "orders", Partition: o.partition, Offset: int64(i)}
				r.Input(oracle.Input{Place: from, Time: at(o.written)})
				r.Decision(oracle.Output{Place: oracle.Place{Topic: "decisions", Offset: int64(i)}, Source: from, Value: r.record(int64(i), 1), Seen: at(o.decided)})
			}
			for _, f := range test.faults {
				r.Fault(at(f), at(f))
			}
			if got := r.Report().RecoverP99; got != test.want {
				t.Errorf("recovered after %s, want %s", got, test.want)
			}
		})
	}
}

func TestPlacesComeBack(t *testing.T) {
	for _, p := range []oracle.Place{{Topic: "orders", Partition: 3, Offset: 17}, {Topic: "a.b-c_d", Partition: 0, Offset: 1 << 40}} {
		got, err := oracle.ParsePlace(p.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, text := range []string{"", "orders", "orders/1", "orders/x/1", "orders/1/x", "orders/99999999999/1", "/"} {
		if p, err := oracle.ParsePlace(text); err == nil {
			t.Errorf("%q is %v", text, p)
		}
	}
}

func TestOpenInputsAreThoseWithoutOutput(t *testing.T) {
	r := newRun(t, oracle.Config{})
	r.publish(1, r.record(1, 1))
	r.write(0, 1, 2, 2)
	r.refuse(2, "avro_decode")
	r.refuse(2, "avro_decode")
	if inputs, open := r.Open(); inputs != 3 || open != 1 {
		t.Errorf("%d inputs, %d open", inputs, open)
	}
}
