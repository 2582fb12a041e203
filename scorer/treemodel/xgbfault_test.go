package treemodel_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// document reads a JSON model for a test to damage. Numbers stay as the file writes them.
func document(t testing.TB, name string) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(readXGB(t, "testdata/xgb", name).data))
	d.UseNumber()
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// put sets the value at a pointer such as learner/gradient_booster/model/trees/0/left_children/2; a nil value removes it.
func put(t testing.TB, doc any, pointer string, value any) {
	t.Helper()
	way := strings.Split(pointer, "/")
	at, last := doc, way[len(way)-1]
	for _, key := range way[:len(way)-1] {
		at = child(t, at, key)
	}
	switch in := at.(type) {
	case map[string]any:
		if in[last] = value; value == nil {
			delete(in, last)
		}
	case []any:
		i, err := strconv.Atoi(last)
		if err != nil || i >= len(in) {
			t.Fatalf("%s: there is no %s", pointer, last)
		}
		in[i] = value
	default:
		t.Fatalf("%s: %T", pointer, at)
	}
}

func child(t testing.TB, at any, key string) any {
	t.Helper()
	if object, is := at.(map[string]any); is {
		return object[key]
	}
	i, err := strconv.Atoi(key)
	list, is := at.([]any)
	if !is || err != nil || i >= len(list) {
		t.Fatalf("there is no %s", key)
	}
	return list[i]
}

// bothForms writes a document as JSON and as XGBoost writes UBJSON.
func bothForms(t testing.TB, doc any) map[string][]byte {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"json": text, "ubj": appendUBJ(nil, "", doc)}
}

// floatArrays are those that hold float32 in UBJSON.
const floatArrays = " base_score base_weights weight_drop leaf_weights loss_changes split_conditions sum_hessian "

func appendUBJ(out []byte, key string, value any) []byte {
	switch v := value.(type) {
	case map[string]any:
		out = append(out, '{')
		for _, key := range sortedKeys(v) {
			out = appendUBJ(appendName(out, key), key, v[key])
		}
		return append(out, '}')
	case []any:
		return appendArray(out, key, v)
	case string:
		return appendName(append(out, 'S'), v)
	case bool:
		return append(out, map[bool]byte{true: 'T', false: 'F'}[v])
	default:
		return appendNumber(out, fmt.Sprint(v))
	}
}

func appendName(out []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint64(append(out, 'L'), uint64(len(name))), name...)
}

func appendNumber(out []byte, text string) []byte {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return binary.BigEndian.AppendUint64(append(out, 'L'), uint64(i))
	}
	v, _ := strconv.ParseFloat(text, 64)
	return binary.BigEndian.AppendUint32(append(out, 'd'), math.Float32bits(float32(v)))
}

// appendArray writes an array of numbers with a type and a count, others with a count.
func appendArray(out []byte, key string, list []any) []byte {
	numbers := len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { _, is := v.(json.Number); return !is })
	float := strings.Contains(floatArrays, " "+key+" ")
	switch {
	case numbers && float:
		out = append(out, "[$d#L"...)
	case numbers:
		out = append(out, "[$l#L"...)
	default:
		out = append(out, "[#L"...)
	}
	out = binary.BigEndian.AppendUint64(out, uint64(len(list)))
	for _, v := range list {
		switch {
		case numbers && float:
			x, _ := strconv.ParseFloat(fmt.Sprint(v), 32)
			out = binary.BigEndian.AppendUint32(out, math.Float32bits(float32(x)))
		case numbers:
			i, _ := strconv.ParseInt(fmt.Sprint(v), 10, 64)
			out = binary.BigEndian.AppendUint32(out, uint32(i))
		default:
			out = appendUBJ(out, "", v)
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func n(text string) json.Number { return json.Number(text) }

const (
	booster = "learner/gradient_booster/"
	trees   = booster + "model/trees/"
	params  = "learner/learner_model_param/"
)

func TestDamagedXGBoostModelsAreRefusedWithTheirPlace(t *testing.T) {
	type edit map[string]any
	for name, c := range map[string]struct {
		model string
		edit  edit
		want  []string
	}{
		"cycle":              {"binary", edit{trees + "2/left_children/1": n("0"), trees + "2/right_children/1": n("1")}, []string{"/trees/2/left_children/1", "cycle"}},
		"join":               {"binary", edit{trees + "2/left_children/1": n("5"), trees + "2/right_children/1": n("6")}, []string{"/trees/2/left_children/", "cycle or a join"}},
		"child too large":    {"binary", edit{trees + "1/left_children/0": n("99"), trees + "1/right_children/0": n("100")}, []string{"/trees/1/left_children/0", "99 and 100"}},
		"child negative":     {"binary", edit{trees + "1/left_children/0": n("-2"), trees + "1/right_children/0": n("-1")}, []string{"/trees/1/left_children/0"}},
		"child at the limit": {"binary", edit{trees + "1/left_children/0": n("2147483647"), trees + "1/right_children/0": n("-2147483648")}, []string{"/trees/1/left_children/0"}},
		"children apart":     {"binary", edit{trees + "1/right_children/0": n("3")}, []string{"/trees/1/left_children/0", "follow each other"}},
		"unreached":          {"binary", edit{trees + "1/left_children/1": n("-1")}, []string{"/trees/1/tree_param/num_deleted", "never reached"}},
		"not marked":         {"binary", edit{trees + "1/left_children/1": n("-1"), trees + "1/tree_param/num_deleted": "6"}, []string{"not marked as deleted"}},
		"feature too large":  {"binary", edit{trees + "3/split_indices/0": n("5")}, []string{"/trees/3/split_indices", "feature 5"}},
		"feature negative":   {"binary", edit{trees + "3/split_indices/0": n("-1")}, []string{"/trees/3/split_indices/0"}},
		"short children":     {"binary", edit{trees + "0/left_children": []any{n("-1")}}, []string{"/trees/0/left_children", "has 1 values"}},
		"short features":     {"binary", edit{trees + "0/split_indices": []any{}}, []string{"/trees/0/split_indices", "has 0 values"}},
		"short thresholds":   {"binary", edit{trees + "0/split_conditions": []any{n("1.5"), n("2.5")}}, []string{"/trees/0/split_conditions"}},
		"short defaults":     {"binary", edit{trees + "0/default_left": nil}, []string{"/trees/0/default_left"}},
		"short covers":       {"binary", edit{trees + "0/sum_hessian": []any{n("1.5")}}, []string{"/trees/0/sum_hessian"}},
		"short types":        {"binary", edit{trees + "0/split_type": []any{n("0")}}, []string{"/trees/0/split_type"}},
		"2e9 nodes":          {"binary", edit{trees + "0/tree_param/num_nodes": "2000000000"}, []string{"/trees/0/left_children", "2000000000"}},
		"no nodes":           {"binary", edit{trees + "0/tree_param/num_nodes": "0"}, []string{"/trees/0/"}},
		"vectors of 2e9":     {"vector", edit{trees + "0/tree_param/size_leaf_vector": "2000000000"}, []string{"/trees/0/leaf_weights", "2000000000"}},
		"vectors of 3":       {"vector", edit{trees + "0/tree_param/size_leaf_vector": "3"}, []string{"/trees/0/"}},
		"vectors of 1":       {"vector", edit{trees + "0/tree_param/size_leaf_vector": "1"}, []string{"/trees/0/leaf_weights"}},
		"vectors change":     {"vector", edit{trees + "1/tree_param/size_leaf_vector": "1", trees + "1/leaf_weights": nil}, []string{"/trees/1/tree_param/size_leaf_vector"}},
		"vector leaf twice":  {"vector", edit{trees + "0/right_children/7": n("0"), trees + "0/right_children/8": n("0")}, []string{"/trees/0/right_children"}},
		"threshold too far":  {"binary", edit{trees + "0/split_conditions/0": n("1e39")}, []string{"/trees/0/split_conditions"}},
		"tree number":        {"binary", edit{trees + "1/id": n("2")}, []string{"/trees/1/id", "is 2, and should be 1"}},
		"tree key":           {"binary", edit{trees + "1/gain_scale": n("2")}, []string{"/trees/1/gain_scale", "not known"}},
		"tree parameter":     {"binary", edit{trees + "1/tree_param/shift": "2"}, []string{"/trees/1/tree_param/shift"}},
		"tree count":         {"binary", edit{booster + "model/gbtree_model_param/num_trees": "5"}, []string{"num_trees", "there are 4 trees"}},
		"no trees":           {"binary", edit{booster + "model/trees": []any{}, booster + "model/tree_info": []any{}}, []string{"no trees"}},
		"groups short":       {"binary", edit{booster + "model/tree_info": []any{n("0")}}, []string{"tree_info", "1 values for 4 trees"}},
		"group too large":    {"binary", edit{booster + "model/tree_info/3": n("1")}, []string{"tree_info/3", "1 outputs"}},
		"group negative":     {"binary", edit{booster + "model/tree_info/3": n("-1")}, []string{"tree_info/3"}},
		"rounds":             {"binary", edit{booster + "model/iteration_indptr/1": n("9")}, []string{"iteration_indptr"}},
		"weights short":      {"dart", edit{booster + "weight_drop": []any{n("1.5")}}, []string{"weight_drop", "1 weights for 6 trees"}},
		"weights missing":    {"dart", edit{booster + "weight_drop": nil}, []string{"weight_drop", "missing"}},
		"weight huge":        {"dart", edit{booster + "weight_drop/2": n("3e38"), booster + "gbtree/model/trees/2/split_conditions/14": n("100")}, []string{"weight_drop/2", "tree 2"}},
		"booster":            {"binary", edit{booster + "name": "gbforest"}, []string{"gbforest"}},
		"booster key":        {"binary", edit{booster + "shift": n("1")}, []string{"/gradient_booster/shift"}},
		"model key":          {"binary", edit{booster + "model/shift": n("1")}, []string{"/model/shift"}},
		"learner key":        {"binary", edit{"learner/shift": n("1")}, []string{"/learner/shift"}},
		"parameter":          {"binary", edit{params + "shift": "1"}, []string{"learner_model_param/shift"}},
		"2e9 features":       {"unnamed", edit{params + "num_feature": "2000000000"}, []string{"num_feature"}},
		"no features":        {"unnamed", edit{params + "num_feature": "0"}, []string{"num_feature"}},
		"features missing":   {"unnamed", edit{params + "num_feature": nil}, []string{"num_feature", "missing"}},
		"names short":        {"binary", edit{"learner/feature_names": []any{"a"}}, []string{"num_feature"}},
		"names twice":        {"binary", edit{"learner/feature_names/1": "amount"}, []string{"feature_names", `"amount" is both feature 0 and feature 1`}},
		"types short":        {"binary", edit{"learner/feature_types": []any{"q"}}, []string{"feature_types"}},
		"2e9 classes":        {"binary", edit{params + "num_class": "2000000000"}, []string{"num_class"}},
		"2e9 targets":        {"binary", edit{params + "num_target": "2000000000"}, []string{"num_target"}},
		"classes and more":   {"multiclass", edit{params + "num_target": "2"}, []string{"3 classes and 2 targets"}},
		"one class":          {"multiclass", edit{params + "num_class": "1", booster + "model/tree_info": zeros(12)}, []string{"multi:softprob"}},
		"base of two":        {"binary", edit{params + "base_score": "[5E-1,5E-1]"}, []string{"base_score", "2 values"}},
		"base NaN":           {"binary", edit{params + "base_score": "nan"}, []string{"base_score"}},
		"base no number":     {"binary", edit{params + "base_score": "[half]"}, []string{"base_score"}},
		"base out of range":  {"binary", edit{params + "base_score": "1.5"}, []string{"base_score", "no margin"}},
		"base of a rate":     {"count_poisson", edit{params + "base_score": "0"}, []string{"base_score", "no margin"}},
		"base missing":       {"binary", edit{params + "base_score": nil}, []string{"base_score"}},
		"objective":          {"binary", edit{"learner/objective/name": "reg:novel"}, []string{"reg:novel"}},
		"objective key":      {"binary", edit{"learner/objective/link": "cauchit"}, []string{"/learner/objective/link"}},
		"old logitraw":       {"binary_logitraw", edit{"version": []any{n("1"), n("2"), n("0")}}, []string{"before 1.3"}},
		"expectiles":         {"quantiles", edit{"learner/objective/name": "reg:expectileerror"}, []string{"expectile_alpha"}},
		"version 4":          {"binary", edit{"version/0": n("4")}, []string{"/version", "4."}},
		"version 0":          {"binary", edit{"version/0": n("0")}, []string{"/version", "0."}},
		"version missing":    {"binary", edit{"version": nil}, []string{"version"}},
		"no learner":         {"binary", edit{"learner": nil}, []string{"learner is missing"}},
		"configuration":      {"binary", edit{"learner/learner_train_param": map[string]any{}}, []string{"configuration"}},
		"snapshot":           {"binary", edit{"Config": map[string]any{}}, []string{"snapshot"}},
		"category too large": {"partition", edit{trees + "0/categories/0": n("16777216")}, []string{"/trees/0/categories", "16777216"}},
		"category negative":  {"partition", edit{trees + "0/categories/0": n("-1")}, []string{"/trees/0/categories", "-1"}},
		"set too long":       {"partition", edit{trees + "0/categories_sizes/0": n("2000000000")}, []string{"/trees/0/categories"}},
		"set empty":          {"partition", edit{trees + "0/categories_sizes/0": n("0")}, []string{"/trees/0/categories_segments/0"}},
		"set elsewhere":      {"partition", edit{trees + "0/categories_segments/0": n("1")}, []string{"/trees/0/categories_segments/0"}},
		"set negative":       {"partition", edit{trees + "0/categories_segments/0": n("-1")}, []string{"/trees/0/categories_segments/0"}},
		"set of another":     {"partition", edit{trees + "0/categories_nodes/0": n("14")}, []string{"/trees/0/categories_nodes"}},
		"set of no node":     {"partition", edit{trees + "0/categories_nodes/0": n("-7")}, []string{"/trees/0/categories_nodes"}},
		"sets short":         {"partition", edit{trees + "0/categories_sizes": []any{}}, []string{"/trees/0/categories_segments"}},
		"split type":         {"partition", edit{trees + "0/split_type/0": n("2")}, []string{"/trees/0/split_type/0"}},
		"deep":               {"binary", edit{booster + "model/cats": deep(10_000)}, []string{"deep"}},
		"string for array":   {"binary", edit{trees + "0/left_children": "1"}, []string{"/trees/0/left_children", "array"}},
		"fraction for whole": {"binary", edit{trees + "0/left_children/0": n("1.5")}, []string{"/trees/0/left_children"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(t, c.model)
			for pointer, value := range c.edit {
				put(t, doc, pointer, value)
			}
			for form, data := range bothForms(t, doc) {
				if form == "ubj" && (name == "fraction for whole" || name == "threshold too far" || name == "base NaN") {
					continue // typed arrays cannot say it
				}
				refused(t, "m."+form, data, c.want...)
			}
		})
	}
}

func zeros(count int) []any { return slices.Repeat([]any{n("0")}, count) }

func deep(levels int) any {
	var value any = []any{}
	for range levels {
		value = []any{value}
	}
	return value
}

// refused loads data, which must end in an error that says all of want and the byte, fast and without much memory.
func refused(t testing.TB, file string, data []byte, want ...string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	_, err := treemodel.ParseXGBoost(file, data)
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatalf("%s was accepted", file)
	}
	if took > time.Second {
		t.Errorf("%s: it took %v", file, took)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("%s: it took %d MiB", file, used>>20)
	}
	for _, part := range append(want, file+": ", "at byte ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestWhatIsNoXGBoostModelIsRefusedByName(t *testing.T) {
	old := append(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5)), make([]byte, 132)...)
	old = append(appendName(old, "binary:logistic"), "\x06\x00\x00\x00\x00\x00\x00\x00gbtree"...)
	for want, data := range map[string][]byte{
		"old binary form": old, "binary form": []byte("binf\x00\x00\x00\x3f"), "binary form (": []byte("bs64\tAAAA"),
		"pickle": []byte("\x80\x05\x95rest"), "zip": []byte("PK\x03\x04rest"), "empty": nil, "LightGBM": []byte("tree\nversion=v4\n"), "snapshot": []byte("CONFIG-offset:abc"),
		"dump": []byte(`[{"nodeid": 0}]`), "a dump": []byte("booster[0]:\n0:[f0<1]"), "begins with {": []byte("hello"),
		"learner is missing": []byte("{}"), "cut short": []byte("{"), "more follows": []byte(`{"version":[3,2,0]} x`), "not known": []byte(`{"objective": 1}`),
	} {
		if want == "more follows" {
			data = append(slices.Clone(readXGB(t, "testdata/xgb", "unnamed").data), " x"...)
		}
		refused(t, "m.json", data, want)
	}
	for _, form := range []string{"json", "ubj"} {
		data, err := os.ReadFile("testdata/xgb/refused_gblinear." + form)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, "m."+form, data, "gblinear")
	}
	ubj := readXGB(t, "testdata/xgb", "unnamed_ubj").data
	refused(t, "m.ubj", append(slices.Clone(ubj), 'Z'), "more follows")
}

func TestMalformedJSONIsRefused(t *testing.T) {
	text := string(readXGB(t, "testdata/xgb", "unnamed").data)
	for name, c := range map[string][2]string{
		"twice":          {`"num_class":"0"`, `"num_class":"0","num_class":"0"`},
		"escaped twice":  {`"num_class":"0"`, `"num_class":"0","num_cl\u0061ss":"0"`},
		"no comma":       {`"default_left":[`, `"default_left":[0 `},
		"comma first":    {`"default_left":[`, `"default_left":[,`},
		"comma last":     {`"tree_info":[0,0]`, `"tree_info":[0,0,]`},
		"hex":            {`"sum_hessian":[`, `"sum_hessian":[0x10,`},
		"plus":           {`"sum_hessian":[`, `"sum_hessian":[+1,`},
		"nan":            {`"sum_hessian":[`, `"sum_hessian":[nan,`},
		"underscore":     {`"sum_hessian":[`, `"sum_hessian":[1_0,`},
		"word":           {`"parents":[`, `"parents":[one,`},
		"skipped word":   {`"attributes":{}`, `"attributes":{"a":one}`},
		"control":        {`"num_class":"0"`, "\"num_class\":\"0\n\""},
		"not UTF-8":      {`"num_class":"0"`, "\"num_class\":\"\xff\""},
		"escape":         {`"num_class":"0"`, `"num_class":"\q"`},
		"no colon":       {`"num_class":"0"`, `"num_class" "0"`},
		"no key":         {`"num_class":"0"`, `5:"0"`},
		"threshold":      {`"split_conditions":[`, `"split_conditions":[NaN,`},
		"huge threshold": {`"split_conditions":[`, `"split_conditions":[1e400,`},
	} {
		damaged := strings.Replace(text, c[0], c[1], 1)
		if damaged == text {
			t.Fatalf("%s: the model has no %s", name, c[0])
		}
		t.Run(name, func(t *testing.T) { refused(t, "m.json", []byte(damaged)) })
	}
}

func TestThresholdsAndLeavesAreNumbers(t *testing.T) {
	text := readXGB(t, "testdata/xgb", "unnamed").data
	at := bytes.Index(text, []byte(`"split_conditions":[`)) + len(`"split_conditions":[`)
	end := at + bytes.IndexByte(text[at:], ']')
	words := strings.Split(string(text[at:end]), ",")
	tree := child(t, child(t, child(t, child(t, child(t, document(t, "unnamed"), "learner"), "gradient_booster"), "model"), "trees"), "0")
	for i := range words {
		for _, value := range []string{"NaN", "Infinity", "-Infinity"} {
			damaged := slices.Clone(words)
			damaged[i] = value
			data := join(text[:at], []byte(strings.Join(damaged, ",")), text[end:])
			leaf := child(t, child(t, tree, "left_children"), strconv.Itoa(i)) == n("-1")
			if value == "Infinity" && !leaf { // every number is below it
				if _, err := treemodel.ParseXGBoost("m.json", data); err != nil {
					t.Error(err)
				}
				continue
			}
			refused(t, "m.json", data, "/trees/0/split_conditions/"+strconv.Itoa(i))
		}
	}
}

func TestLengthBombsInUBJSONAreRefused(t *testing.T) {
	whole := readXGB(t, "testdata/xgb", "unnamed_ubj").data
	huge := []uint64{2e9, 1 << 40, 1<<63 - 1, 1 << 63, math.MaxUint64, uint64(len(whole)) + 1}
	bombs := 0
	for at := range whole {
		if whole[at] != 'L' || at+9 > len(whole) {
			continue
		}
		// A count follows #; a string's length follows S, or is a key's, of small letters.
		length := int(min(binary.BigEndian.Uint64(whole[at+1:]), 1000))
		name := whole[at+9 : min(at+9+length, len(whole))]
		if c := whole[at-1]; c != '#' && c != 'S' && (length < 2 || length > 40 || len(bytes.Trim(name, "abcdefghijklmnopqrstuvwxyz_")) > 0) {
			continue
		}
		for _, count := range huge {
			data := slices.Clone(whole)
			binary.BigEndian.PutUint64(data[at+1:], count)
			refused(t, "m.ubj", data)
			bombs++
		}
	}
	if bombs < 6*60 {
		t.Fatalf("only %d bombs were made", bombs)
	}
	for _, data := range []string{
		"{L\x00\x00\x00\x00\x00\x00\x00\x07version[$Z#L\x00\x00\x00\x00\x7f\xff\xff\xff", "{L\x00\x00\x00\x00\x00\x00\x00\x07version[$[#L\x00\x00\x00\x00\x7f\xff\xff\xff",
		"{#L\x00\x00\x00\x00\x7f\xff\xff\xff", "{$i#L\x00\x00\x00\x00\x7f\xff\xff\xff", "{i\x07version[$l", "{i\x07version[$l#", "{i\x07version[$ll", "{i\xffversion", "{i\x07versionN", "{i\x07versionH",
	} {
		refused(t, "m.ubj", []byte(data))
	}
}

// Wherever a file is cut it is refused; only the line end after its last brace is no part of it.
func TestTruncatedXGBoostModelsAreRefused(t *testing.T) {
	for _, name := range []string{"unnamed", "unnamed_ubj", "v2.0-partition", "vector_ubj"} {
		data := bytes.TrimRight(readXGB(t, "testdata/xgb", name).data, "\n")
		for cut := range data {
			if _, err := treemodel.ParseXGBoost("m", data[:cut:cut]); err == nil {
				t.Fatalf("%s: cut at byte %d of %d, it was accepted", name, cut, len(data))
			}
		}
	}
}

// Sets of few categories with a high number would take more memory than the file by far.
func TestCategorySetsHaveABound(t *testing.T) {
	doc := document(t, "partition")
	list := child(t, child(t, child(t, child(t, doc, "learner"), "gradient_booster"), "model"), "trees").([]any)
	text, err := json.Marshal(list[0])
	if err != nil {
		t.Fatal(err)
	}
	var many []any
	for i := range 100 {
		var tree map[string]any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		tree["id"] = i
		tree["categories"].([]any)[0] = 16777215
		many = append(many, tree)
	}
	put(t, doc, "learner/gradient_booster/model/trees", many)
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = treemodel.ParseXGBoost("m.json", data)
	if err == nil || !strings.Contains(err.Error(), "category sets") {
		t.Fatalf("got %v", err)
	}
}

func TestLoadXGBoostChecksTheFeatureNames(t *testing.T) {
	own := []string{"amount", "count_1d", "mean_7d", "country", "gap"}
	for name, c := range map[string]struct {
		file   string
		inputs []string
		want   string
	}{
		"the same":   {"binary.json", own, ""},
		"unchecked":  {"binary.json", nil, ""},
		"by place":   {"unnamed.json", own, ""},
		"UBJSON":     {"binary_ubj.ubj", own, ""},
		"reordered":  {"binary.json", []string{"count_1d", "amount", "mean_7d", "country", "gap"}, "not in the model's order"},
		"other name": {"binary_ubj.ubj", []string{"amount", "count_2d", "mean_7d", "country", "gap"}, `input 2 is "count_2d", but the model's feature there is "count_1d"`},
		"missing":    {"binary.json", own[:4], `inputs lack "gap"`},
		"extra":      {"binary.json", append(slices.Clone(own), "ip"), `no "ip"`},
		"short":      {"unnamed.json", own[:1], "5 features"},
		"LightGBM":   {"../binary.txt", own, "its format is lightgbm"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := treemodel.LoadXGBoost(filepath.Join("testdata/xgb", c.file), c.inputs)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheBestRoundIsAskedForAndMustBeKnown(t *testing.T) {
	all, err := treemodel.LoadXGBoost("testdata/xgb/stopped.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	best, err := treemodel.LoadXGBoostBest("testdata/xgb/stopped.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := all.(*treemodel.Model).Info(), best.(*treemodel.Model).Info()
	if a.Trees <= b.Trees || b.Trees == 0 {
		t.Errorf("all rounds have %d trees, those up to the best %d", a.Trees, b.Trees)
	}
	if _, err := treemodel.LoadXGBoostBest("testdata/xgb/binary.json", nil); !errors.Is(err, scorer.ErrNoBestRound) || !strings.Contains(err.Error(), "best_iteration") {
		t.Errorf("a model without a best round: %v", err)
	}
	for _, value := range []string{"-1", "99", "x", ""} {
		doc := document(t, "stopped")
		put(t, doc, "learner/attributes/best_iteration", value)
		for form, data := range bothForms(t, doc) {
			if _, err := treemodel.ParseXGBoostBest("m."+form, data); err == nil || errors.Is(err, scorer.ErrNoBestRound) || !strings.Contains(err.Error(), "best_iteration") {
				t.Errorf("best_iteration %q: %v", value, err)
			}
		}
	}
}

// How many trees a round has is told by other fields in each age of the format.
func TestTheBestRoundIsToldInTreesInEveryVersion(t *testing.T) {
	const parallel = booster + "model/gbtree_model_param/num_parallel_tree"
	for _, c := range []struct {
		sample string
		edit   map[string]any
		trees  int
	}{
		{"multiclass", map[string]any{}, 6},
		{"v1.7-multiclass", map[string]any{}, 6},
		{"v1.7-multiclass", map[string]any{parallel: nil, "learner/attributes/best_ntree_limit": "2"}, 6},
		{"v1.7-multiclass", map[string]any{parallel: nil, "learner/attributes/best_ntree_limit": nil}, 0},
		{"v1.7-multiclass", map[string]any{parallel: nil, "learner/attributes/best_ntree_limit": "0"}, 0},
		{"v1.7-multiclass", map[string]any{parallel: "0"}, 0},
		{"v1.7-multiclass", map[string]any{parallel: "9"}, 0},
		{"multiclass", map[string]any{booster + "model/iteration_indptr": []any{}}, 0},
	} {
		doc := document(t, c.sample)
		put(t, doc, "learner/attributes/best_iteration", "0")
		for pointer, value := range c.edit {
			put(t, doc, pointer, value)
		}
		for form, data := range bothForms(t, doc) {
			m, err := treemodel.ParseXGBoostBest("m."+form, data)
			if (err == nil) != (c.trees > 0) || err == nil && m.Info().Trees != c.trees {
				t.Errorf("%s %v: %v, want %d trees", c.sample, c.edit, err, c.trees)
			}
		}
	}
}

func TestBaseScoreIsReadInAllItsForms(t *testing.T) {
	for name, value := range map[string]any{
		"string": "5E-1", "list": "[5E-1]", "spaced": " [ 0.5 ] ", "old": "0.500000", "number": n("0.5"), "exponent": n("5e-1"), "array": []any{n("0.5")}, "tuple": "(0.5)",
	} {
		doc := document(t, "binary")
		put(t, doc, "learner/learner_model_param/base_score", "[2E-1]")
		other := firstScore(t, bothForms(t, doc)["json"])
		put(t, doc, "learner/learner_model_param/base_score", value)
		for form, data := range bothForms(t, doc) {
			got := firstScore(t, data)
			if want := other + 1.3862943; math.Abs(got-want) > 1e-6 {
				t.Errorf("%s, %s: %v, want %v", name, form, got, want)
			}
		}
	}
}

// firstScore returns the raw score of a row that has nothing.
func firstScore(t testing.TB, data []byte) float64 {
	t.Helper()
	m, err := treemodel.ParseXGBoost("m", data)
	if err != nil {
		t.Fatal(err)
	}
	row, out := make([]float64, len(m.Inputs())), make([]float64, m.Outputs())
	for i := range row {
		row[i] = math.NaN()
	}
	if err := m.Raw(row, out); err != nil {
		t.Fatal(err)
	}
	return out[0]
}
