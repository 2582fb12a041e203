package consumer_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// bundleOf is the world's model as another version; turned, what scored low scores high.
func bundleOf(t *testing.T, version string, turned bool) *scorer.Bundle {
	t.Helper()
	model, golden := modelText, "amount,score\n10,0.11920292202211755\n"
	if turned {
		model, golden = strings.Replace(modelText, "leaf_value=-2 2", "leaf_value=2 -2", 1), "amount,score\n500,0.11920292202211755\n"
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bundle.yaml": "name: t\nversion: " + version + "\nfeatures: t@1\nfile: model.txt\nformat: lightgbm\ninputs: [amount]\n", "model.txt": model, "golden.csv": golden,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := scorer.LoadBundle(dir, map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// challenge has the world's champion challenged by these.
func (w *world) challenge(by ...*scorer.Bundle) {
	w.t.Helper()
	next, err := scorer.New(scorer.Config{
		Layout: w.features.Layout(), Champion: bundleOf(w.t, "1", false), Policy: w.scorer.Policy(), Routing: scorer.Challenged(by...), LeftOut: w.metrics.Challengers.LeftOut,
	})
	if err == nil {
		err = w.scorer.Replace(next)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.metrics.Challengers.Serves(w.scorer.Serves())
}

// series returns the values of the metrics that begin so, by name and labels.
func series(t *testing.T, reg *prometheus.Registry, prefix string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() != "hash" {
					name += " " + l.GetName() + "=" + l.GetValue()
				}
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return all
}

func TestWorkerMeasuresChallengersByFirstDecisions(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(reg)
	w.challenge(bundleOf(t, "2", true))
	const low, high = 200, 300
	for i := range low + high {
		amount := 50.0
		if i >= low {
			amount = 500
		}
		w.order(fmt.Sprint("o", i), "c", amount, i)
	}
	w.order("o0", "c", 50, 0) // a copy: it has been counted
	w.run()
	d := w.decisions()["o0"]
	if len(d.Challengers) != 1 || d.Challengers[0].Version != "2" || math.Abs(d.Challengers[0].Score-(1-d.Score)) > 1e-15 {
		t.Errorf("the record has the challengers %+v, the score being %v", d.Challengers, d.Score)
	}
	a, b := (low+0.5)/(low+high+1.0), (high+0.5)/(low+high+1.0)
	want := map[string]float64{
		"verdict_challenger_psi model=t@2":                                                   2 * (b - a) * math.Log(b/a),
		"verdict_challenger_score_difference model=t@2":                                      (low - high) * (1 - 2*0.11920292202211755),
		"verdict_challenger_actions_total action=approve challenger_action=review model=t@2": low,
		"verdict_challenger_actions_total action=review challenger_action=approve model=t@2": high,
	}
	got := series(t, reg, "verdict_challenger")
	for name, value := range got {
		if math.Abs(value-want[name]) < 1e-9 {
			got[name] = want[name]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsServedNoLongerIsForgotten(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(reg)
	w.challenge(bundleOf(t, "2", true), bundleOf(t, "3", false))
	w.order("o1", "c", 50, 0)
	w.run()
	w.challenge(bundleOf(t, "3", false))
	w.order("o2", "c", 50, 1)
	w.run()
	names := func(prefix string) (all []string) {
		for name := range series(t, reg, prefix) {
			all = append(all, name)
		}
		return all
	}
	if got := strings.Join(names("verdict_challenger"), "\n"); strings.Contains(got, "t@2") || !strings.Contains(got, "model=t@3") {
		t.Errorf("series of challengers:\n%s", got)
	}
	if got := series(t, reg, "verdict_challenger_actions_total"); got["verdict_challenger_actions_total action=approve challenger_action=approve model=t@3"] != 2 {
		t.Errorf("what goes on was begun anew: %v", got)
	}
	want := map[string]float64{"verdict_serving_info name=t role=challenger version=3": 1, "verdict_serving_info name=t role=champion version=1": 1, "verdict_serving_info name=t role=features version=1": 1, "verdict_serving_info name=t role=policy version=1": 1}
	if diff := cmp.Diff(want, series(t, reg, "verdict_serving_info")); diff != "" {
		t.Error(diff)
	}
}

func TestDriftFollowsTheLatestOrders(t *testing.T) {
	const n = 6000
	champion, same, moved := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		champion[i] = float64(i*7919%n) / n // each once
		same[i] = float64(i*104729%n) / n
		moved[i] = same[i]
		if i >= 3000 {
			moved[i] = math.Sqrt(same[i]) // density 2x: the integral of (2x − 1)·ln(2x) over (0, 1) is ½ without bins
		}
	}
	for _, psi := range consumer.Drift(champion, same) {
		if psi > 0.02 {
			t.Errorf("two samples of one distribution have PSI %v", psi)
		}
	}
	all := consumer.Drift(champion, moved)
	if first, last := all[5], all[len(all)-1]; len(all) != n/500 || first > 0.02 || last < 0.4 || last > 0.5 {
		t.Errorf("PSI before and after the scores moved: %v", all)
	}
	equal := make([]float64, 500)
	if psi := consumer.Drift(equal, equal); len(psi) != 1 || psi[0] != 0 {
		t.Errorf("of one score alone: %v", psi)
	}
}
