package backtest_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/backtest"
)

// plainIndex is the population stability index of whole samples, in ten bins of the base.
func plainIndex(base, now []float64) float64 {
	present := func(all []float64) []float64 {
		return slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(all), math.IsNaN)))
	}
	p, q := present(base), present(now)
	var edges []float64
	for i := 1; i < 10; i++ {
		if e := p[i*len(p)/10]; e < p[len(p)-1] {
			edges = append(edges, e)
		}
	}
	edges = slices.Compact(edges)
	parts := func(of []float64, all int) []float64 {
		bins := make([]float64, len(edges)+2)
		for _, x := range of {
			at, _ := slices.BinarySearch(edges, x)
			bins[at]++
		}
		bins[len(bins)-1] = float64(all - len(of))
		for i := range bins {
			bins[i] = (bins[i] + 0.5) / (float64(all) + 0.5*float64(len(bins)))
		}
		return bins
	}
	a, b := parts(p, len(base)), parts(q, len(now))
	index := 0.0
	for i := range a {
		index += (b[i] - a[i]) * math.Log(b[i]/a[i])
	}
	return index
}

// weeksOf returns rows of weeks whose feature is drawn by week.
func weeksOf(weeks, each int, draw func(from *rand.Rand, week int) float64) ([]backtest.Row, [][]float64) {
	from := rand.New(rand.NewPCG(1, 2))
	var rows []backtest.Row
	values := make([][]float64, weeks)
	for w := range weeks {
		for i := range each {
			x := draw(from, w)
			values[w] = append(values[w], x)
			rows = append(rows, backtest.Row{At: start + int64(w)*7*day + int64(i)*7*day/int64(each), Scores: []float64{1 / (1 + math.Exp(-x))}, Vector: []float64{x}})
		}
	}
	return rows, values
}

func driftConfig() backtest.Config {
	return backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Features: []string{"x"}, Bootstrap: -1}
}

func TestDriftIsThatOfWholeSamples(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand, int) float64{
		"the same":  func(r *rand.Rand, _ int) float64 { return r.NormFloat64() },
		"moving":    func(r *rand.Rand, w int) float64 { return r.NormFloat64() + 0.3*float64(w) },
		"spreading": func(r *rand.Rand, w int) float64 { return math.Exp(r.NormFloat64() * float64(w+2) / 2) },
		"counts":    func(r *rand.Rand, w int) float64 { return float64(r.IntN(10 + 3*w)) },
		"yes or no": func(r *rand.Rand, w int) float64 { return math.Floor(r.Float64() + 0.1*float64(w)) },
		"amounts": func(r *rand.Rand, w int) float64 {
			return math.Round(100*math.Exp(3+r.NormFloat64()+0.2*float64(w))) / 100
		},
		"going missing": func(r *rand.Rand, w int) float64 {
			if r.Float64() < 0.1*float64(w) {
				return math.NaN()
			}
			return r.NormFloat64()
		},
	} {
		rows, values := weeksOf(4, 5000, draw)
		d := collect(t, driftConfig(), rows).Drift
		if len(d.Weeks) != 4 || d.Base != 0 || d.Weeks[1].Start != "2026-03-09" || d.Weeks[1].Orders != 5000 {
			t.Fatalf("%+v", d.Weeks)
		}
		for w := range values {
			want := plainIndex(values[0], values[w])
			if got := float64(d.Features[0].PSI[w]); !(math.Abs(got-want) <= 0.01+0.05*want) {
				t.Errorf("%s: week %d: index %v, of whole samples %v", name, w, got, want)
			}
		}
		if d.Features[0].PSI[0] != 0 {
			t.Errorf("%s: the base drifted from itself by %v", name, d.Features[0].PSI[0])
		}
		if most := slices.Max(d.Features[0].PSI); d.Features[0].Max != most && name != "the same" {
			t.Errorf("%s: largest %v of %v", name, d.Features[0].Max, d.Features[0].PSI)
		}
		missing := 0.0
		for _, x := range values[3] {
			if math.IsNaN(x) {
				missing++
			}
		}
		if got := d.Features[0].Missing[3]; float64(got) != missing/5000 || d.Scores[0].Missing[3] != got {
			t.Errorf("%s: missing %v, of scores %v, want %v", name, got, d.Scores[0].Missing[3], missing/5000)
		}
	}
}

func TestDriftIsCountedFromTheChosenWeek(t *testing.T) {
	rows, values := weeksOf(3, 2000, func(r *rand.Rand, w int) float64 { return r.NormFloat64() + float64(w) })
	cfg := driftConfig()
	cfg.Base = time.UnixMicro(start + 7*day + day/2)
	d := collect(t, cfg, rows).Drift
	if d.Base != 1 || d.Features[0].PSI[1] != 0 {
		t.Fatalf("base %d, %v", d.Base, d.Features[0].PSI)
	}
	if got, want := float64(d.Features[0].PSI[0]), plainIndex(values[1], values[0]); math.Abs(got-want) > 0.05*want {
		t.Errorf("%v, want %v", got, want)
	}
	cfg.Base = time.UnixMicro(start - 100*day)
	if d := collect(t, cfg, rows).Drift; d.Base != -1 || !d.Features[0].PSI[0].Missing() || !d.Features[0].Max.Missing() {
		t.Errorf("a base without orders: %+v", d)
	}
}

func TestSmallWeeksAreNotInTheLargestDrift(t *testing.T) {
	rows, _ := weeksOf(3, 1500, func(r *rand.Rand, w int) float64 { return r.NormFloat64() + float64(w)/10 })
	rows = rows[:3000+200]
	r := collect(t, driftConfig(), rows)
	d := r.Drift
	if !d.Weeks[2].Small || d.Weeks[1].Small || d.Features[0].Max != d.Features[0].PSI[1] || r.Headline.PSIMax != max(d.Features[0].Max, d.Scores[0].Max) {
		t.Errorf("%+v, largest %v", d, r.Headline.PSIMax)
	}
}

// The bins are merged when there are too many, whatever the order of values.
func TestDriftOfHostileValuesIsBoundedAndOrdered(t *testing.T) {
	rows, _ := weeksOf(2, 60_000, func(r *rand.Rand, _ int) float64 { return math.Float64frombits(r.Uint64()) })
	first := collect(t, driftConfig(), rows).Drift
	if psi := first.Features[0].PSI[1]; !(psi >= 0 && psi < 0.01) {
		t.Errorf("index %v of the same distribution", psi)
	}
	cfg := driftConfig()
	cfg.Since = time.UnixMicro(start) // so that the first row does not say where weeks begin
	slices.Reverse(rows)
	if diff := cmp.Diff(first, collect(t, cfg, rows).Drift, equalNumbers); diff != "" {
		t.Errorf("in another order:\n%s", diff)
	}
	if n := backtest.SketchSlots(rows); n > 1<<12 {
		t.Errorf("%d slots", n)
	}
}

func TestOneWeekHasNoDrift(t *testing.T) {
	rows, _ := weeksOf(1, 1500, func(r *rand.Rand, _ int) float64 { return r.NormFloat64() })
	if r := collect(t, driftConfig(), rows); !r.Headline.PSIMax.Missing() || r.Headline.PSIMaxOf != "" || r.Headline.MissingMax != 0 {
		t.Errorf("%+v", r.Headline)
	}
}
