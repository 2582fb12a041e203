package treemodel_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"verdict/scorer/treemodel"
)

// furthest returns the largest difference between contributions, relative to the largest of them and to 1.
func furthest(got, want []float64) float64 {
	most, scale := 0.0, 1.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range got {
		off := math.Abs(got[i]-want[i]) / scale
		if off != off {
			return math.Inf(1)
		}
		most = max(most, off)
	}
	return most
}

// randomForest draws a small forest that has training rows, with rows to score.
func randomForest(t *rapid.T, features, leaves []int) (*treemodel.Model, []float64) {
	s := treemodel.Shape{
		Seed:       rapid.Uint64().Draw(t, "seed"),
		Trees:      rapid.IntRange(1, 8).Draw(t, "trees"),
		Leaves:     rapid.SampledFrom(leaves).Draw(t, "leaves"),
		Features:   rapid.SampledFrom(features).Draw(t, "features"),
		Cuts:       rapid.SampledFrom([]int{1, 2, 3, 20}).Draw(t, "cuts"),
		Single:     rapid.Bool().Draw(t, "single"),
		Outputs:    rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(t, "outputs"),
		Categories: rapid.Bool().Draw(t, "categories"),
		Zeros:      rapid.Bool().Draw(t, "zeros"),
		Mixed:      rapid.IntRange(0, 3).Draw(t, "mixed") == 0,
	}
	if rapid.IntRange(0, 3).Draw(t, "vector") == 0 {
		s.Vector = s.Outputs
	}
	m, rows := treemodel.Random(s, 10)
	return m.Covered(s.Seed, rapid.SampledFrom([]int{1, 100, 1_000_000}).Draw(t, "rows"), rapid.Bool().Draw(t, "loose")), rows
}

func TestContributionsAreShapleyValuesByTheirDefinition(t *testing.T) {
	worst := 0.0
	rapid.Check(t, func(t *rapid.T) {
		m, rows := randomForest(t, []int{1, 2, 3, 5, 7}, []int{1, 2, 3, 8, 31})
		width := len(m.Inputs())
		got, want := make([]float64, (width+1)*m.Outputs()), make([]float64, (width+1)*m.Outputs())
		for row := range len(rows) / width {
			row := rows[row*width : (row+1)*width]
			if err := m.Contributions(row, got); err != nil {
				t.Fatal(err)
			}
			m.ContributionsByDefinition(row, want)
			if worst = max(worst, furthest(got, want)); !(worst <= 1e-12) {
				t.Fatalf("row %v: %v, by the definition %v", row, got, want)
			}
		}
	})
	t.Logf("largest difference %.2g", worst)
}

func TestContributionsAreThoseOfTreeSHAP(t *testing.T) {
	worst := 0.0
	rapid.Check(t, func(t *rapid.T) {
		m, rows := randomForest(t, []int{8, 15, 40, 100}, []int{8, 31, 63, 200})
		width := len(m.Inputs())
		got, want := make([]float64, (width+1)*m.Outputs()), make([]float64, (width+1)*m.Outputs())
		for row := range len(rows) / width {
			row := rows[row*width : (row+1)*width]
			if err := m.Contributions(row, got); err != nil {
				t.Fatal(err)
			}
			m.ContributionsByPaths(row, want)
			if worst = max(worst, furthest(got, want)); !(worst <= 1e-12) {
				t.Fatalf("row %v: %v, by paths %v", row, got, want)
			}
			sums(t, m, row, got)
		}
	})
	for _, s := range samples(t) {
		m := parse(t, s)
		if !m.Info().Contributions {
			continue
		}
		got, want := make([]float64, (s.width+1)*m.Outputs()), make([]float64, (s.width+1)*m.Outputs())
		for row := range len(s.rows) / s.width {
			row := s.rows[row*s.width : (row+1)*s.width]
			if err := m.Contributions(row, got); err != nil {
				t.Fatal(err)
			}
			m.ContributionsByPaths(row, want)
			if off := furthest(got, want); !(off <= 1e-13) {
				t.Fatalf("%s: row %v: %v, by paths %v", s.kind, row, got, want)
			}
		}
	}
	t.Logf("largest difference of random forests %.2g", worst)
}

// sums holds the sums of contributions against the raw scores: XGBoost's are sums of float32.
func sums(t rapid.TB, m *treemodel.Model, row, shares []float64) {
	t.Helper()
	raw, width := make([]float64, m.Outputs()), len(row)+1
	if err := m.Raw(row, raw); err != nil {
		t.Fatal(err)
	}
	for out, want := range raw {
		sum, scale := 0.0, 1.0
		for _, share := range shares[out*width : (out+1)*width] {
			sum, scale = sum+share, max(scale, math.Abs(share))
		}
		if !(math.Abs(sum-want) <= 1e-5*scale) {
			t.Fatalf("row %v: contributions to output %d sum to %v, the raw score is %v", row, out, sum, want)
		}
	}
}

// On a path of n features that all count alike, each has an n-th.
func TestContributionsAreExactOnLongPaths(t *testing.T) {
	for _, n := range []int{1, 2, 9, 10, 11, 20, 21, 57, 130, 400} {
		m := treemodel.AllOrNothing(n)
		row, got := make([]float64, n), make([]float64, n+1)
		if err := m.Contributions(row, got); err != nil {
			t.Fatal(err)
		}
		none := math.Ldexp(1, -n)
		for i, want := range append(constant(n, (1-none)/float64(n)), none) {
			if !(math.Abs(got[i]-want) <= 1e-14) {
				t.Fatalf("%d features: contribution %d is %v, want %v", n, i, got[i], want)
			}
		}
	}
}

func constant(n int, v float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = v
	}
	return values
}

func TestModelsWithoutCountsHaveNoContributions(t *testing.T) {
	noRows := func(counts string) string { // in the first leaf, in as many digits
		first, _, _ := strings.Cut(counts, " ")
		return strings.Repeat("0", len(first)) + counts[len(first):]
	}
	m, err := treemodel.Parse("model.txt", set(t, readSample(t, "regression").text, 3, "leaf_count", noRows))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Contributions(make([]float64, 5), make([]float64, 6)); err == nil || m.Info().Contributions {
		t.Error("a model with a leaf of no rows gave contributions")
	}
}

// XGBoost's own pred_contribs fails or gives NaN there.
func TestASplitOfNoWeightHasNoContributionsAndALeafHas(t *testing.T) {
	for place, want := range map[int]bool{0: false, 1: false, -1: true} {
		doc := document(t, "binary")
		const tree = "learner/gradient_booster/model/trees/0"
		at := any(doc)
		for key := range strings.SplitSeq(tree, "/") {
			at = child(t, at, key)
		}
		left := child(t, at, "left_children").([]any)
		if place < 0 {
			place = slices.Index(left, any(json.Number("-1")))
		} else if left[place] == json.Number("-1") {
			t.Fatalf("place %d is a leaf", place)
		}
		put(t, doc, tree+"/sum_hessian/"+strconv.Itoa(place), json.Number("0"))
		for form, data := range bothForms(t, doc) {
			m, err := treemodel.ParseXGBoost("m."+form, data)
			if err != nil || m.Info().Contributions != want {
				t.Errorf("%s, place %d: %v", form, place, err)
			}
		}
	}
}

func TestTablesOfContributionsAreBounded(t *testing.T) {
	for _, kind := range []string{"binary", "binary_categorical", "multiclass"} {
		m := parse(t, readSample(t, kind))
		bytes, err := m.SharesIn(1 << 20)
		if err != nil || bytes < 1000 {
			t.Fatalf("%s: %d bytes: %v", kind, bytes, err)
		}
		if _, err := m.SharesIn(bytes - 1); err == nil {
			t.Errorf("%s: tables of %d bytes were made in one less", kind, bytes)
		}
	}
}

func TestQuadratureIsExactForPolynomials(t *testing.T) {
	for n := 1; n <= 100; n++ {
		points, weights := treemodel.GaussLegendre(n)
		for degree := range 2 * n {
			sum := 0.0
			for i, x := range points {
				if !(x > 0 && x < 1 && weights[i] > 0) {
					t.Fatalf("%d points: point %v weighs %v", n, x, weights[i])
				}
				sum += weights[i] * math.Pow(x, float64(degree))
			}
			if want := 1 / float64(degree+1); !(math.Abs(sum-want) <= 1e-13) {
				t.Fatalf("%d points: the integral of t^%d is %v, want %v", n, degree, sum, want)
			}
		}
	}
}

func TestContributionsAllocateNothing(t *testing.T) {
	for _, kind := range []string{"binary_categorical", "multiclass", "rf"} {
		s := readSample(t, kind)
		m := parse(t, s)
		out := make([]float64, (s.width+1)*m.Outputs())
		if n := leastAllocs(func() { _ = m.Contributions(s.rows[:s.width], out) }); n != 0 {
			t.Errorf("%s: %v allocations a call", kind, n)
		}
	}
}

func TestContributionsAreSafeForConcurrentUse(t *testing.T) {
	s := readSample(t, "binary_categorical")
	first, m := parse(t, s), parse(t, s)
	want := make([]float64, len(s.rows)/s.width*(s.width+1))
	for row := range len(s.rows) / s.width {
		if err := first.Contributions(s.rows[row*s.width:(row+1)*s.width], want[row*(s.width+1):(row+1)*(s.width+1)]); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got := make([]float64, s.width+1)
			for row := range len(s.rows) / s.width {
				if err := m.Contributions(s.rows[row*s.width:(row+1)*s.width], got); err != nil {
					t.Error(err)
					return
				}
				for i, v := range got {
					if !same(v, want[row*(s.width+1)+i]) {
						t.Errorf("row %d, contribution %d: %v, alone %v", row, i, v, want[row*(s.width+1)+i])
						return
					}
				}
			}
		})
	}
	all.Wait()
}

func TestContributionsAreXGBoosts(t *testing.T) {
	compared, worst := 0, 0.0
	for _, f := range xgbFiles(t, "testdata/xgb", 80) {
		s := f.rows(t)
		if s.shares == nil {
			continue
		}
		compared++
		worst = max(worst, sharesOff(t, f.name(), f.model(t), s, 1e-6))
	}
	if compared < 5 {
		t.Fatalf("%d models were compared", compared)
	}
	for _, name := range []string{"vector", "zero"} {
		m, err := treemodel.OpenAny("testdata/shap/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, sharesOff(t, name, m, readRows(t, "testdata/shap/"+name+".csv"), 1e-6))
		compared++
	}
	t.Logf("%d models, largest difference %.2g", compared, worst)
}

// sharesOff returns the largest difference from what the library has.
func sharesOff(t testing.TB, name string, m *treemodel.Model, s *sample, most float64) float64 {
	t.Helper()
	n, worst := (s.width+1)*m.Outputs(), 0.0
	got := make([]float64, n)
	for row := range len(s.rows) / s.width {
		x := s.rows[row*s.width : (row+1)*s.width]
		if err := m.Contributions(x, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sums(t, m, x, got)
		want := s.shares[row*n : (row+1)*n]
		off := furthest(got, want)
		if worst = max(worst, off); !(off <= most) {
			t.Fatalf("%s: row %d %v: %v, the library has %v", name, row, x, got, want)
		}
	}
	return worst
}

// TestRandomModelsContributeAsInTheirLibraries holds models of random kinds against pred_contrib of LightGBM and pred_contribs of XGBoost.
func TestRandomModelsContributeAsInTheirLibraries(t *testing.T) {
	python := os.Getenv("VERDICT_PYTHON")
	if python == "" {
		t.Skip("VERDICT_PYTHON is not set: no Python with lightgbm and xgboost to compare with")
	}
	folder, models, seed := t.TempDir(), or(os.Getenv("VERDICT_MODELS"), "40"), or(os.Getenv("VERDICT_SEED"), "1")
	if out, err := exec.CommandContext(t.Context(), python, "testdata/random_shap.py", folder, seed, models).CombinedOutput(); err != nil {
		t.Fatalf("seed %s: %v\n%s", seed, err, out)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models were made: %v", err)
	}
	worst := make(map[string]float64)
	for _, rows := range files {
		stem := strings.TrimSuffix(rows, ".csv")
		// XGBoost adds up in float32.
		for form, most := range map[string]float64{".txt": 1e-12, ".json": 4e-6} {
			if _, err := os.Stat(stem + form); err != nil {
				continue
			}
			m, err := treemodel.OpenAny(stem + form)
			if err != nil {
				t.Fatalf("seed %s: %v", seed, err)
			}
			worst[form] = max(worst[form], sharesOff(t, "seed "+seed+", "+filepath.Base(stem), m, readRows(t, rows), most))
		}
	}
	t.Logf("seed %s, %d models, largest differences %v", seed, len(files), worst)
}
