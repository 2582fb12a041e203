package treemodel_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"verdict/scorer/treemodel"
)

// set returns the sample's text with the value of key in a tree (-1: the header) replaced.
func set(t *testing.T, text []byte, tree int, key string, value func(old string) string) []byte {
	t.Helper()
	start := 0
	if tree >= 0 {
		start = bytes.Index(text, fmt.Appendf(nil, "Tree=%d\n", tree))
	}
	line := regexp.MustCompile("(?m)^" + key + "=(.*)$").FindSubmatchIndex(text[start:])
	if start < 0 || line == nil {
		t.Fatalf("tree %d has no %s", tree, key)
	}
	from, to := start+line[2], start+line[3]
	return join(text[:from], []byte(value(string(text[from:to]))), text[to:])
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func to(value string) func(string) string { return func(string) string { return value } }

// word replaces one word of a list.
func word(place int, value string) func(string) string {
	return func(old string) string {
		words := strings.Fields(old)
		words[place] = value
		return strings.Join(words, " ")
	}
}

func TestDamagedModelsAreRefusedWithTreeAndLine(t *testing.T) {
	plain, cats := readSample(t, "binary").text, readSample(t, "binary_categorical").text
	lineOf := func(tree int, key string) string { // as errors name it
		start := bytes.Index(plain, fmt.Appendf(nil, "Tree=%d\n", tree))
		at := start + bytes.Index(plain[start:], []byte("\n"+key+"="))
		return fmt.Sprintf("m.txt:%d: ", bytes.Count(plain[:at+1], []byte("\n"))+1)
	}
	for name, c := range map[string]struct {
		text []byte
		want []string
	}{
		"cycle":               {set(t, plain, 3, "left_child", word(2, "0")), []string{lineOf(3, "left_child"), "cycle", "(tree 3)"}},
		"self":                {set(t, plain, 3, "right_child", word(0, "0")), []string{lineOf(3, "right_child"), "cycle", "(tree 3)"}},
		"child too large":     {set(t, plain, 1, "left_child", word(0, "6")), []string{lineOf(1, "left_child"), "left_child[0] is 6", "(tree 1)"}},
		"leaf too large":      {set(t, plain, 1, "right_child", word(5, "-8")), []string{lineOf(1, "right_child"), "right_child[5] is -8", "(tree 1)"}},
		"child beyond int32":  {set(t, plain, 1, "right_child", word(5, "99999999999")), []string{lineOf(1, "right_child"), "(tree 1)"}},
		"leaf twice":          {set(t, plain, 1, "right_child", word(5, "-1")), []string{"another way has reached", "(tree 1)"}},
		"feature too large":   {set(t, plain, 7, "split_feature", word(4, "5")), []string{lineOf(7, "split_feature"), "split_feature[4] is 5", "(tree 7)"}},
		"feature negative":    {set(t, plain, 7, "split_feature", word(4, "-1")), []string{lineOf(7, "split_feature"), "(tree 7)"}},
		"NaN threshold":       {set(t, plain, 2, "threshold", word(1, "nan")), []string{lineOf(2, "threshold"), "threshold[1] is NaN", "(tree 2)"}},
		"no number":           {set(t, plain, 2, "threshold", word(1, "1.2.3")), []string{lineOf(2, "threshold"), "1.2.3", "(tree 2)"}},
		"NaN leaf":            {set(t, plain, 2, "leaf_value", word(1, "NaN")), []string{lineOf(2, "leaf_value"), "leaf_value[1]", "(tree 2)"}},
		"infinite leaf":       {set(t, plain, 2, "leaf_value", word(1, "-inf")), []string{lineOf(2, "leaf_value"), "leaf_value[1]", "(tree 2)"}},
		"2e9 leaves":          {set(t, plain, 0, "num_leaves", to("2000000000")), []string{lineOf(0, "num_leaves"), "(tree 0)"}},
		"leaves beyond int":   {set(t, plain, 0, "num_leaves", to("99999999999999999999")), []string{lineOf(0, "num_leaves"), "(tree 0)"}},
		"one leaf more":       {set(t, plain, 0, "num_leaves", to("8")), []string{"leaf_value has 7 values", "(tree 0)"}},
		"no leaves":           {set(t, plain, 0, "num_leaves", to("0")), []string{lineOf(0, "num_leaves"), "(tree 0)"}},
		"short array":         {set(t, plain, 0, "threshold", func(s string) string { return s[:strings.LastIndex(s, " ")] }), []string{"threshold has 5 values", "(tree 0)"}},
		"short counts":        {set(t, plain, 0, "leaf_count", to("1 2 3")), []string{"leaf_count has 3 values", "(tree 0)"}},
		"decision type":       {set(t, plain, 4, "decision_type", word(0, "12")), []string{lineOf(4, "decision_type"), "(tree 4)"}},
		"decision type bits":  {set(t, plain, 4, "decision_type", word(0, "18")), []string{lineOf(4, "decision_type"), "(tree 4)"}},
		"category set":        {set(t, plain, 4, "decision_type", word(0, "1")), []string{"0 category sets", "(tree 4)"}},
		"linear":              {set(t, plain, 5, "is_linear", to("1")), []string{"leaf_const is missing", "(tree 5)"}},
		"linear of a kind":    {set(t, plain, 5, "is_linear", to("2")), []string{lineOf(5, "is_linear"), `is_linear is "2"`, "(tree 5)"}},
		"unknown key":         {set(t, plain, 5, "shrinkage", to("1\nnew_kind=1")), []string{"new_kind", "(tree 5)"}},
		"key twice":           {set(t, plain, 5, "shrinkage", to("1\nshrinkage=1")), []string{"shrinkage stands twice", "(tree 5)"}},
		"edited tree":         {set(t, plain, 5, "shrinkage", to("0.25")), []string{"tree 5", "tree_sizes"}},
		"bitset short":        {set(t, cats, 0, "cat_threshold", word(5, "")), []string{"cat_boundaries", "(tree 0)"}},
		"bitset word":         {set(t, cats, 0, "cat_threshold", word(5, "4294967296")), []string{"cat_threshold[5]", "(tree 0)"}},
		"boundaries descend":  {set(t, cats, 0, "cat_boundaries", to("0 7 6")), []string{"cat_boundaries[1]", "(tree 0)"}},
		"boundaries not at 0": {set(t, cats, 0, "cat_boundaries", to("1 3 6")), []string{"cat_boundaries[0]", "(tree 0)"}},
		"set out of range":    {set(t, cats, 0, "threshold", word(0, "2")), []string{"threshold[0] is 2", "(tree 0)"}},
		"set not whole":       {set(t, cats, 0, "threshold", word(0, "0.5")), []string{"threshold[0] is 0.5", "(tree 0)"}},
		"2e9 sets":            {set(t, cats, 0, "num_cat", to("2000000000")), []string{"num_cat", "(tree 0)"}},

		"v5":                 {set(t, plain, -1, "version", to("v5")), []string{"m.txt:2: ", `"v5"`}},
		"a tree less":        {set(t, plain, -1, "tree_sizes", func(s string) string { return s[:strings.LastIndex(s, " ")] }), []string{"more trees than the 7"}},
		"a tree more":        {set(t, plain, -1, "tree_sizes", func(s string) string { return s + " 900" }), []string{"ends after 8 trees", "has 9"}},
		"no trees":           {set(t, plain, -1, "tree_sizes", to("")), []string{"no trees"}},
		"tree number":        {bytes.Replace(plain, []byte("Tree=3"), []byte("Tree=4"), 1), []string{"tree 3", "Tree=4"}},
		"names short":        {set(t, plain, -1, "feature_names", to("a b c d")), []string{"feature_names has 4 values, and 5"}},
		"names twice":        {set(t, plain, -1, "feature_names", to("a b c d a")), []string{`"a" is both feature 0 and feature 4`}},
		"infos short":        {set(t, plain, -1, "feature_infos", to("none")), []string{"feature_infos has 1"}},
		"2e9 features":       {set(t, plain, -1, "max_feature_idx", to("2000000000")), []string{"max_feature_idx"}},
		"2e9 classes":        {set(t, plain, -1, "num_class", to("2000000000")), []string{"num_class"}},
		"classes":            {set(t, plain, -1, "num_class", to("2")), []string{"num_tree_per_iteration is 1, but num_class is 2"}},
		"iterations":         {set(t, set(t, plain, -1, "num_class", to("3")), -1, "num_tree_per_iteration", to("3")), []string{"8 trees are no whole number of iterations of 3"}},
		"objective":          {set(t, plain, -1, "objective", to("novel")), []string{`objective "novel"`}},
		"objective argument": {set(t, plain, -1, "objective", to("binary sigmoid:1 shift:2")), []string{`"shift"`}},
		"sigmoid":            {set(t, plain, -1, "objective", to("binary sigmoid:0")), []string{"sigmoid"}},
		"header key":         {set(t, plain, -1, "label_index", to("0\nlabel_shift=1")), []string{"label_shift"}},
		"windows":            {bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")), []string{"m.txt:1: "}},
		"windows lines":      {bytes.Replace(plain, []byte("label_index=0\n"), []byte("label_index=0\r\n"), 1), []string{"Windows"}},
		"empty":              {nil, []string{"empty"}},
		"pickle":             {[]byte("\x80\x05\x95rest"), []string{"pickle"}},
		"zip":                {[]byte("PK\x03\x04rest"), []string{"zip"}},
		"JSON":               {[]byte(`{"learner": {}}`), []string{"JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := treemodel.Parse("m.txt", c.text)
			if err == nil {
				t.Fatal("the model was accepted")
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("it took %v", took)
			}
			for _, want := range append(c.want, "m.txt:") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// A component that the root does not reach has every child once, so only a walk finds it.
func TestUnreachedSplitsAreRefused(t *testing.T) {
	text := readSample(t, "binary").text
	// Split 0 has leaves 0 and 1; splits 1 to 5 point in a ring.
	text = set(t, text, 0, "left_child", to("-1 2 3 4 5 1"))
	text = set(t, text, 0, "right_child", to("-2 -3 -4 -5 -6 -7"))
	if _, err := treemodel.Parse("m.txt", text); err == nil || !strings.Contains(err.Error(), "5 of 6 splits are never reached") {
		t.Fatalf("got %v", err)
	}
}

func TestDamagedLinearLeavesAreRefused(t *testing.T) {
	text := readSample(t, "linear").text
	more := func(s string) string { return s + " 1" }
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"constants short":   {set(t, text, 2, "leaf_const", word(0, "")), "leaf_const has 4 values"},
		"constant NaN":      {set(t, text, 2, "leaf_const", word(0, "nan")), "leaf_const[0] is NaN"},
		"constant infinite": {set(t, text, 2, "leaf_const", word(0, "inf")), "leaf_const[0] is infinite"},
		"counts short":      {set(t, text, 2, "num_features", word(0, "")), "num_features has 4 values"},
		"counts 2e9":        {set(t, text, 2, "num_features", word(0, "2000000000")), "num_features[0] is 2000000000"},
		"counts negative":   {set(t, text, 2, "num_features", word(1, "-1")), "num_features[1] is -1"},
		"counts too few":    {set(t, text, 2, "num_features", word(4, "0")), "num_features are"},
		"a feature more":    {set(t, text, 2, "leaf_features", more), "leaf_coeff has"},
		"features":          {set(t, set(t, text, 2, "leaf_features", more), 2, "leaf_coeff", more), "num_features are"},
		"feature too large": {set(t, text, 2, "leaf_features", word(0, "5")), "leaf_features[0] is 5, and the model has 5 features"},
		"feature negative":  {set(t, text, 2, "leaf_features", word(0, "-1")), "leaf_features[0] is -1"},
		"coefficient NaN":   {set(t, text, 2, "leaf_coeff", word(0, "nan")), "leaf_coeff[0] is NaN"},
		"coefficient inf":   {set(t, text, 2, "leaf_coeff", word(0, "-inf")), "leaf_coeff[0] is infinite"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := treemodel.Parse("m.txt", c.text); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "(tree 2)") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Wherever a file is cut, it is refused; where only what follows the trees is cut and cannot be told, the scores are those of the whole.
func TestTruncatedModelsAreNeverTakenForWhole(t *testing.T) {
	for kind, stride := range map[string]int{"unnamed": 1, "linear": 1, "binary_categorical": 5, "multiclass": 23} {
		s := readSample(t, kind)
		end := bytes.Index(s.text, []byte("end of trees\n")) + len("end of trees\n")
		accepted := 0
		for n := 0; n < len(s.text); n += stride {
			m, err := treemodel.Parse("m.txt", s.text[:n:n])
			if n < end && err == nil {
				t.Fatalf("%s: cut at byte %d of %d, it was accepted", kind, n, len(s.text))
			}
			if err != nil {
				continue
			}
			accepted++
			got := make([]float64, len(s.raw))
			if err := m.Raw(s.rows, got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if !same(got[i], s.raw[i]) {
					t.Fatalf("%s: cut at byte %d, it scores %v, not %v", kind, n, got[i], s.raw[i])
				}
			}
		}
		// Only between whole lines outside of the parameters can a cut not be told.
		if accepted > 12 {
			t.Errorf("%s: %d cuts were accepted", kind, accepted)
		}
	}
}

func TestOpenRefusesWhatIsNoFileOfItsSize(t *testing.T) {
	dir := t.TempDir()
	if _, err := treemodel.Open(dir); err == nil {
		t.Error("a folder was opened")
	}
	huge := filepath.Join(dir, "huge.txt")
	if err := os.WriteFile(huge, []byte("tree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 2<<30); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := treemodel.Open(huge); err == nil || !strings.Contains(err.Error(), "536870912 are the most") {
		t.Errorf("2 GiB: %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("2 GiB took %v to refuse", took)
	}
}

func TestLoadChecksTheFeatureNames(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		inputs []string
		want   string
	}{
		"the same":   {"binary", []string{"amount", "count_1d", "mean_7d", "country", "gap"}, ""},
		"unchecked":  {"binary", nil, ""},
		"by place":   {"unnamed", []string{"amount", "count_1d", "mean_7d", "country", "gap"}, ""},
		"reordered":  {"binary", []string{"count_1d", "amount", "mean_7d", "country", "gap"}, "not in the model's order"},
		"other name": {"binary", []string{"amount", "count_2d", "mean_7d", "country", "gap"}, `input 2 is "count_2d", but the model's feature there is "count_1d"`},
		"missing":    {"binary", []string{"amount", "count_1d", "mean_7d", "country"}, `inputs lack "gap"`},
		"extra":      {"binary", []string{"amount", "count_1d", "mean_7d", "country", "gap", "ip"}, `no "ip"`},
		"short":      {"unnamed", []string{"amount"}, "5 features"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := treemodel.Load(filepath.Join("testdata", c.file+".txt"), c.inputs)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestHeadersOfAllVersionsScoreTheSame(t *testing.T) {
	s := readSample(t, "binary")
	old := regexp.MustCompile(`(?m)^(is_linear=0|internal_weight=.*|leaf_weight=.*)\n`)
	texts := map[string][]byte{
		"v3": set(t, s.text, -1, "version", to("v3")),
		"v2": set(t, s.text, -1, "version", to("v2")),
	}
	// As LightGBM 2.0 wrote it: no sizes, no end mark, fewer arrays.
	early := old.ReplaceAll(texts["v2"], nil)
	early = regexp.MustCompile(`(?m)^tree_sizes=.*\n`).ReplaceAll(early, nil)
	texts["early v2"] = bytes.Replace(early, []byte("end of trees\n\nfeature_importances:"), []byte("\nfeature importances:"), 1)
	for name, text := range texts {
		m, err := treemodel.Parse("m.txt", text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := make([]float64, len(s.raw))
		if err := m.Raw(s.rows, got); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !same(got[i], s.raw[i]) {
				t.Fatalf("%s: row %d is %v, not %v", name, i, got[i], s.raw[i])
			}
		}
	}
}

// Whatever a file says, loading ends, and what is accepted can be asked for anything without harm.
func FuzzLoadLightGBM(f *testing.F) {
	for _, kind := range []string{"unnamed", "binary_categorical", "rf_multiclass", "linear"} {
		text := readSample(f, kind).text
		f.Add(text)
		f.Add(bytes.Replace(text, []byte("version=v4"), []byte("version=v2"), 1))
		// Without sizes (v2), changes within the trees get past their check.
		bare := regexp.MustCompile(`(?m)^tree_sizes=.*\n`).ReplaceAll(text, nil)
		f.Add(bytes.Replace(bare, []byte("version=v4"), []byte("version=v2"), 1))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := treemodel.Parse("m.txt", text)
		if err != nil {
			if !strings.Contains(err.Error(), "m.txt:") {
				t.Fatalf("%q does not name the line", err)
			}
			return
		}
		width, k := len(m.Inputs()), m.Outputs()
		if width > 1000 {
			return
		}
		out, shares := make([]float64, k), make([]float64, (width+1)*k)
		for _, x := range []float64{0, math.NaN(), 3.7, -1e300, math.Inf(1)} {
			row := make([]float64, width)
			for i := range row {
				row[i] = x
			}
			if err := m.Predict(row, out); err != nil {
				t.Fatal(err)
			}
			if err := m.Contributions(row, shares); err != nil && m.Info().Contributions {
				t.Fatal(err)
			}
		}
	})
}
