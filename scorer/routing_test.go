package scorer_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/scorer"
)

// market is what the routes of these tests go by.
func market(t testing.TB) *schemas.Schema {
	t.Helper()
	s, err := schemas.ParseSchema("order.avsc", []byte(`{"type": "record", "name": "Order", "fields": [
		{"name": "market", "type": ["null", "string"]}, {"name": "customer_id", "type": ["null", "string"]}, {"name": "terminal_id", "type": ["null", "string"]},
		{"name": "amount", "type": "double"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// models writes bundles of card@1 into folders of dir, under names (:: folder → name@version). Each scores the sum of its inputs.
func models(t testing.TB, dir string, names map[string]string) {
	t.Helper()
	for folder, name := range names {
		name, version, _ := strings.Cut(name, "@")
		write(t, filepath.Join(dir, folder), map[string]string{
			"bundle.yaml": "name: " + name + "\nversion: " + version + "\nfeatures: card@1\nfile: model.txt\nformat: lightgbm\ninputs: [amount, count_1d]\noutput: margin\n",
			"model.txt":   folder, "golden.csv": "amount,count_1d,score\n3,1,4\n",
		})
	}
}

// routed reads a routing of the folder's bundles, beside the champion in card.
func routed(t testing.TB, dir, file string) (*scorer.Routing, *scorer.Bundle, error) {
	t.Helper()
	load := func(dir string) (*scorer.Bundle, error) { return scorer.LoadBundle(dir, loaders()) }
	champion, err := load(filepath.Join(dir, "card"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := scorer.LoadRouting(scorer.RoutingConfig{
		File: file, Layout: layoutOf(t, "amount", "count_1d"), Fields: market(t), Champion: champion, Load: load,
		Entities: map[string][]schemas.Path{"customer": {{"customer_id"}}, "pair": {{"customer_id"}, {"terminal_id"}}},
	})
	return r, champion, err
}

func TestRoutingSaysAllThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "de": "card-de@3", "next": "card@2", "newer": "card@9", "inputs": "card@8", "same": "card@1"})
	newer := "name: card\nversion: 9\nfeatures: card@2\nfile: model.txt\nformat: lightgbm\ninputs: [amount, count_1d]\noutput: margin\n"
	write(t, dir, map[string]string{"newer/bundle.yaml": newer})
	write(t, dir, map[string]string{
		"inputs/bundle.yaml": strings.NewReplacer("card@2", "card@1", "count_1d", "count_2d", "version: 9", "version: 8").Replace(newer), "inputs/golden.csv": "amount,count_2d,score\n3,1,4\n",
	})
	holdAgainst(t, "routing.txtar", dir, func(file string) error {
		_, _, err := routed(t, dir, file)
		return err
	})
}

func TestRoutingStandsUnderAKeyOfAnotherFile(t *testing.T) {
	dir := t.TempDir()
	models(t, dir, map[string]string{"next": "card@2"})
	write(t, dir, map[string]string{"verdict.yaml": "kafka: {group_id: a}\nrouting:\n  challengers:\n    - {model: nxet}\n", "none.yaml": "kafka: {}\n"})
	load := func(dir string) (*scorer.Bundle, error) { return scorer.LoadBundle(dir, loaders()) }
	_, err := scorer.LoadRouting(scorer.RoutingConfig{File: dir + "/verdict.yaml", Key: "routing", Load: load})
	if err == nil || !strings.Contains(err.Error(), "verdict.yaml:4: challenger 1: model: reading the bundle: ") {
		t.Errorf("got %v", err)
	}
	if _, err = scorer.LoadRouting(scorer.RoutingConfig{File: dir + "/none.yaml", Key: "routing"}); err == nil || !strings.Contains(err.Error(), "none.yaml:1: routing is missing") {
		t.Errorf("got %v", err)
	}
}

// routedScorer is a scorer of the champion card@1, the routing and no policy.
func routedScorer(t testing.TB, routing string) (*scorer.Scorer, *schemas.Layout) {
	t.Helper()
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "de": "card-de@3", "next": "card@2"})
	write(t, dir, map[string]string{"routing.yaml": routing})
	r, champion, err := routed(t, dir, filepath.Join(dir, "routing.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, "amount", "count_1d")
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: champion, Routing: r})
	if err != nil {
		t.Fatal(err)
	}
	return s, layout
}

func from(market, customer string) schemas.Order {
	return schemas.Order{ID: "o", Fields: schemas.Record{{Name: "market", Value: schemas.StringValue(market)}, {Name: "customer_id", Value: schemas.StringValue(customer)}}}
}

// asked decides orders of the vector (3, 1) and returns by which model, and what challenged it.
func asked(t testing.TB, s *scorer.Scorer, layout *schemas.Layout, orders ...schemas.Order) []string {
	t.Helper()
	vectors, got := make([]schemas.FeatureVector, len(orders)), make([]schemas.Decision, len(orders))
	for i := range vectors {
		vectors[i] = schemas.FeatureVector{Layout: layout, Values: []float64{3, float64(i)}}
	}
	if err := s.Decide(orders, vectors, got); err != nil {
		t.Fatal(err)
	}
	var all []string
	for i, d := range got {
		if d.Score != 3+float64(i) {
			t.Errorf("order %d has score %v, want %d", i, d.Score, 3+i)
		}
		line := d.Model.String()
		for _, c := range d.Challengers {
			line += " " + c.Name + "@" + c.Version
			if c.Score != d.Score {
				t.Errorf("order %d: challenger %s@%s scores %v, want %v", i, c.Name, c.Version, c.Score, d.Score)
			}
		}
		all = append(all, line)
	}
	return all
}

func TestTheFirstChampionThatMatchesDecides(t *testing.T) {
	s, layout := routedScorer(t, "champions:\n  - {when: 'market == \"DE\" || market == \"AT\"', model: de}\n  - {when: 'market == \"AT\"', model: next}\n  - {when: 'market == \"FR\"', model: next}\n")
	got := asked(t, s, layout, from("IT", "1"), from("DE", "1"), from("FR", "1"), from("AT", "1"), schemas.Order{ID: "without"}, from("DE", "2"))
	want := []string{"card@1", "card-de@3", "card@2", "card-de@3", "card@1", "card-de@3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChallengersScoreTheSameVectorAndNeverTheirOwnOrders(t *testing.T) {
	s, layout := routedScorer(t, "champions:\n  - {when: 'market == \"DE\"', model: de}\nchallengers:\n  - {model: de}\n  - {model: next, when: market != 'FR'}\n  - {model: ./card}\n")
	got := asked(t, s, layout, from("IT", "1"), from("DE", "1"), from("FR", "1"))
	want := []string{"card@1 card-de@3 card@2", "card-de@3 card@2 card@1", "card@1 card-de@3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAShareIsTheSameEntitiesEachTimeAndGrows(t *testing.T) {
	const n = 4000
	orders := make([]schemas.Order, n)
	for i := range orders {
		orders[i] = from("IT", fmt.Sprint("c", i))
	}
	challenged := func(routing string) []bool {
		s, layout := routedScorer(t, routing)
		on := make([]bool, n)
		for i, line := range asked(t, s, layout, orders...) {
			on[i] = strings.Contains(line, " ")
		}
		return on
	}
	tenth := challenged("challengers: [{model: next, share: 0.1, of: customer}]\n")
	again := challenged("challengers: [{model: next, share: 0.1, of: customer}]\n")
	half := challenged("challengers: [{model: next, share: 0.5, of: customer}]\n")
	count := func(on []bool) (n int) {
		for _, is := range on {
			if is {
				n++
			}
		}
		return n
	}
	if !slices.Equal(tenth, again) {
		t.Error("the same share of the same customers differs")
	}
	for i := range tenth {
		if tenth[i] && !half[i] {
			t.Fatal("whoever is in a tenth is not in the half")
		}
	}
	// Four standard deviations of a fair draw: 4·√(4000·0.1·0.9) = 76, 4·√(4000·0.25) = 127.
	if a, b := count(tenth), count(half); math.Abs(float64(a)-400) > 76 || math.Abs(float64(b)-2000) > 127 {
		t.Errorf("%d and %d of %d customers are in the shares of 0.1 and 0.5", a, b, n)
	}
	if s, layout := routedScorer(t, "challengers: [{model: next, share: 0.99, of: pair}]\n"); asked(t, s, layout, from("IT", "1"))[0] != "card@1" {
		t.Error("an order without the entity is in a share of it")
	}
}

// gate is an engine that waits for its channel.
type gate struct {
	linear

	open chan struct{}
}

func (g *gate) Raw(rows, out []float64) error {
	<-g.open
	return g.linear.Raw(rows, out)
}

// broken is an engine that panics.
type broken struct{ linear }

func (*broken) Raw(_, _ []float64) error { panic("a bug") }

// challenged is a scorer whose champion is challenged by an engine, with what was left out.
func challenged(t testing.TB, engine scorer.Engine, patience time.Duration) (*scorer.Scorer, *schemas.Layout, func() []string) {
	t.Helper()
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "next": "card@2"})
	champion, err := scorer.LoadBundle(filepath.Join(dir, "card"), loaders())
	if err != nil {
		t.Fatal(err)
	}
	challenger, err := scorer.OpenBundle(filepath.Join(dir, "next"), map[string]scorer.Loader{"lightgbm": func(string, []string) (scorer.Engine, error) { return engine, nil }})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"policy.yaml": "name: a\nversion: 1\nthresholds: {review: 3, reject: 100}\n"})
	layout := layoutOf(t, "amount", "count_1d")
	policy, err := scorer.LoadPolicy(dir+"/policy.yaml", nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	s, err := scorer.New(scorer.Config{
		Layout: layout, Champion: champion, Policy: policy, Routing: scorer.Challenged(challenger), Patience: patience,
		LeftOut: func(v schemas.Version, why string, orders int) {
			left = append(left, fmt.Sprint(v, " ", why, " ", orders))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, layout, func() []string { return left }
}

// decideTwo decides two orders that score 4 and 3.
func decideTwo(t testing.TB, s *scorer.Scorer, layout *schemas.Layout) []schemas.Decision {
	t.Helper()
	got := make([]schemas.Decision, 2)
	vectors := []schemas.FeatureVector{{Layout: layout, Values: []float64{3, 1}}, {Layout: layout, Values: []float64{2, 1}}}
	if err := s.Decide(make([]schemas.Order, 2), vectors, got); err != nil {
		t.Fatal(err)
	}
	if got[0].Score != 4 || got[1].Score != 3 || got[0].Action != schemas.Review {
		t.Errorf("the champion's decisions: %v and %v, %s", got[0].Score, got[1].Score, got[0].Action)
	}
	return got
}

func TestASlowChallengerIsLeftOutAndDelaysNobodyBeyondThePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &gate{linear: linear{names: []string{"amount", "count_1d"}}, open: make(chan struct{})}
		s, layout, left := challenged(t, engine, 5*time.Millisecond)
		for range 6 {
			began := time.Now()
			for _, d := range decideTwo(t, s, layout) {
				if d.Challengers != nil {
					t.Error("a challenger that gave no score is there")
				}
			}
			if took := time.Since(began); took > 5*time.Millisecond {
				t.Errorf("the decision took %s", took)
			}
		}
		want := []string{"card@2 slow 2", "card@2 slow 2", "card@2 slow 2", "card@2 slow 2", "card@2 busy 2", "card@2 busy 2"}
		if diff := cmp.Diff(want, left()); diff != "" {
			t.Error(diff)
		}
		close(engine.open)
		synctest.Wait()
		if d := decideTwo(t, s, layout); len(d[0].Challengers) != 1 || d[1].Challengers[0].Score != 3 {
			t.Errorf("once it is quick again: %+v", d)
		}
	})
}

func TestAChallengerThatFailsIsLeftOut(t *testing.T) {
	names := []string{"amount", "count_1d"}
	s, layout, left := challenged(t, &broken{linear{names: names}}, 0)
	if d := decideTwo(t, s, layout); d[0].Challengers != nil || d[1].Challengers != nil {
		t.Error("a challenger that panicked is there")
	}
	s, layout, left2 := challenged(t, &scaled{linear{names: names}}, 0)
	if d := decideTwo(t, s, layout); d[0].Challengers != nil || len(d[1].Challengers) != 1 {
		t.Errorf("a challenger without a score for the first order: %+v", d)
	}
	if diff := cmp.Diff([]string{"card@2 failed 2", "card@2 no_score 1"}, append(left(), left2()...)); diff != "" {
		t.Error(diff)
	}
}

// scaled is an engine that scores ten times as much, and has no number above 30.
type scaled struct{ linear }

func (s *scaled) Raw(rows, out []float64) error {
	if err := s.linear.Raw(rows, out); err != nil {
		return err
	}
	for i := range out {
		if out[i] *= 10; out[i] > 30 {
			out[i] = math.Inf(1)
		}
	}
	return nil
}

func TestAChallengerIsHeldAgainstThePolicy(t *testing.T) {
	s, layout, _ := challenged(t, &tenth{linear{names: []string{"amount", "count_1d"}}}, 0)
	d := decideTwo(t, s, layout)
	want := []schemas.Challenger{{Name: "card", Version: "2", Score: 0.4, Action: schemas.Approve}}
	if diff := cmp.Diff(want, d[0].Challengers); diff != "" {
		t.Error(diff)
	}
}

// tenth is an engine that scores a tenth.
type tenth struct{ linear }

func (s *tenth) Raw(rows, out []float64) error {
	if err := s.linear.Raw(rows, out); err != nil {
		return err
	}
	for i := range out {
		out[i] /= 10
	}
	return nil
}

func TestReplaceDecidesWithTheNextPartsOfTheSameFeatureSet(t *testing.T) {
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "next": "card@2"})
	layout := layoutOf(t, "amount", "count_1d")
	scorerOf := func(folder string, layout *schemas.Layout) *scorer.Scorer {
		b, err := scorer.LoadBundle(filepath.Join(dir, folder), loaders())
		if err != nil {
			t.Fatal(err)
		}
		s, err := scorer.New(scorer.Config{Layout: layout, Champion: b})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := scorerOf("card", layout)
	if err := s.Replace(scorerOf("next", layout)); err != nil {
		t.Fatal(err)
	}
	if got := asked(t, s, layout, from("IT", "1")); got[0] != "card@2" {
		t.Errorf("decided by %s", got[0])
	}
	if err := s.Replace(scorerOf("card", layoutOf(t, "amount", "count_1d"))); err == nil || asked(t, s, layout, from("IT", "1"))[0] != "card@2" {
		t.Errorf("another layout was taken: %v", err)
	}
	roles := fmt.Sprint(s.Serves())
	if !strings.Contains(roles, "champion card@2") && !strings.Contains(roles, "{champion {card 2") {
		t.Errorf("it serves %s", roles)
	}
}
