package scorer_test

import (
	"path/filepath"
	"sync"
	"testing"

	"verdict/schemas"
	"verdict/scorer"
)

// twice is an engine that scores twice the sum.
type twice struct{ linear }

func (s *twice) Raw(rows, out []float64) error {
	if err := s.linear.Raw(rows, out); err != nil {
		return err
	}
	for i := range out {
		out[i] *= 2
	}
	return nil
}

func TestEachCallDecidesWithOneStateWhileStatesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "next": "card@2"})
	write(t, dir, map[string]string{
		"1/policy.yaml": "name: p\nversion: 1\nthresholds: {review: 100}\n", "2/policy.yaml": "name: p\nversion: 2\nthresholds: {review: 0}\n",
	})
	layout := layoutOf(t, "amount", "count_1d")
	names := []string{"amount", "count_1d"}
	bundle := func(folder string, engine scorer.Engine) *scorer.Bundle {
		b, err := scorer.OpenBundle(filepath.Join(dir, folder), map[string]scorer.Loader{"lightgbm": func(string, []string) (scorer.Engine, error) { return engine, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	state := func(policy string, champion, challenger *scorer.Bundle) *scorer.Scorer {
		p, err := scorer.LoadPolicy(filepath.Join(dir, policy, "policy.yaml"), nil, layout)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scorer.New(scorer.Config{Layout: layout, Champion: champion, Policy: p, Routing: scorer.Challenged(challenger)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two := bundle("card", &linear{names: names}), bundle("next", &twice{linear{names: names}})
	states := []*scorer.Scorer{state("1", one, two), state("2", two, one)}
	s := state("1", one, two)

	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			orders, vectors, got := make([]schemas.Order, 8), make([]schemas.FeatureVector, 8), make([]schemas.Decision, 8)
			for i := range vectors {
				vectors[i] = schemas.FeatureVector{Layout: layout, Values: []float64{float64(i), 1}}
			}
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.Decide(orders, vectors, got); err != nil {
					t.Error(err)
					return
				}
				for i, d := range got {
					times, action := 1.0, schemas.Approve
					if d.Model.Version == "2" {
						times, action = 2, schemas.Review
					}
					sum := float64(i) + 1
					if d.Model.Version != got[0].Model.Version || d.Policy.Version.Version != d.Model.Version || d.Score != times*sum || d.Action != action ||
						len(d.Challengers) != 1 || d.Challengers[0].Version == d.Model.Version || d.Challengers[0].Score != 2*sum/times {
						t.Errorf("order %d of a call by model %s: %+v", i, got[0].Model.Version, d)
						return
					}
				}
			}
		})
	}
	for i := range 2000 {
		if err := s.Replace(states[i%2]); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	work.Wait()
}
