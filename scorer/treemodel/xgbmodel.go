package treemodel

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"verdict/scorer"
)

// The bounds of what a file may claim without filling it: names of features that have none, and the bits of all category sets.
const (
	maxUnnamed  = 1 << 17
	maxSetWords = 32 << 20 / 4
)

// xgboost is a model file being read. XGBoost writes the keys of an object in their alphabet's order, and so the trees come before what they are held
// against: how many features and outputs there are is checked at the end.
type xgboost struct {
	d document

	version    []int32
	params     map[string]string // learner_model_param
	objective  string
	booster    string
	attributes map[string]string
	names      []string
	types      []string
	parallel   string // num_parallel_tree; "" up to 1.5
	declared   string // num_trees
	group      []int32
	indptr     []int32 // :: round → its first tree; nil up to 1.7
	weights    []float32
	weighted   bool
	hasTrees   bool
	linear     bool // the booster's model is one of weights

	f       forest
	cover   cover
	info    Info
	starts  []treeStart
	highest int32   // the highest feature of any split
	byTree  []int32 // :: tree → its highest feature, -1 of none
	tree    xgbTree
}

// treeStart is where a tree's part of the forest begins, so that the trees after the best round can be dropped.
type treeStart struct{ nodes, leaves, sets, bits int }

func newXGBoost(d document) *xgboost {
	return &xgboost{d: d, f: forest{single: true}, cover: cover{whole: true}, highest: -1}
}

// keys reads an object of the keys that are known. Others are refused: they could mean that the model is to be scored in some other way.
func (x *xgboost) keys(known map[string]func() error) error {
	return x.d.object(func(key string) error {
		read, ok := known[key]
		if !ok {
			return x.d.fault("", "is not known in XGBoost models 1.0 to 3.4")
		}
		return read()
	})
}

func (x *xgboost) read() error {
	learner := false
	err := x.keys(map[string]func() error{
		"version": func() (err error) { x.version, err = x.d.ints(nil); return err },
		"learner": func() error { learner = true; return x.readLearner() },
		"Model": func() error {
			return x.d.fault("", "this is a snapshot of a Booster in memory: save the model itself, booster.save_model('model.json')")
		},
		"Config": func() error {
			return x.d.fault("", "this is a snapshot of a Booster in memory: save the model itself, booster.save_model('model.json')")
		},
	})
	if err != nil {
		return err
	}
	if !learner {
		return x.d.fault("", "learner is missing: this is no XGBoost model")
	}
	return x.d.end()
}

func (x *xgboost) readLearner() error {
	return x.keys(map[string]func() error{
		"attributes":          func() (err error) { x.attributes, err = x.texts(); return err },
		"feature_names":       func() (err error) { x.names, err = x.list(); return err },
		"feature_types":       func() (err error) { x.types, err = x.list(); return err },
		"gradient_booster":    x.readBooster,
		"learner_model_param": func() (err error) { x.params, err = x.texts(); return err },
		"learner_train_param": func() error {
			return x.d.fault("", "this is a configuration (save_config) and holds no trees: save the model, booster.save_model('model.json')")
		},
		"objective": x.readObjective,
	})
}

// texts reads an object of strings. Numbers are taken too, as tools that rewrite JSON leave them.
func (x *xgboost) texts() (map[string]string, error) {
	out := make(map[string]string)
	err := x.d.object(func(key string) error {
		kind, err := x.d.kind()
		if err != nil {
			return err
		}
		if kind == textValue {
			out[key], err = x.d.text()
			return err
		}
		out[key], err = x.numberText(kind)
		return err
	})
	return out, err
}

// numberText reads a number, or a list of numbers, as text.
func (x *xgboost) numberText(kind valueKind) (string, error) {
	var b strings.Builder
	switch kind {
	case numberValue:
		v, err := x.d.float()
		return strconv.FormatFloat(float64(v), 'g', -1, 32), err
	case arrayValue:
		values, err := x.d.floats(nil)
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.FormatFloat(float64(v), 'g', -1, 32))
		}
		return "[" + b.String() + "]", err
	default:
		return "", x.d.fault("", "a string or a number is wanted here, not %s", kind)
	}
}

func (x *xgboost) list() ([]string, error) {
	var out []string
	err := x.d.array(func(int) error {
		text, err := x.d.text()
		out = append(out, text)
		return err
	})
	return out, err
}

// readObjective keeps the objective's name. Its parameters are of training, but for quantile and expectile, whose number of outputs says all.
func (x *xgboost) readObjective() error {
	return x.d.object(func(key string) error {
		switch {
		case key == "name":
			name, err := x.d.text()
			x.objective = name
			return err
		case strings.HasSuffix(key, "_param"), key == "ti+", key == "tj-":
			return x.d.skip()
		default:
			return x.d.fault("", "is not known in XGBoost models 1.0 to 3.4")
		}
	})
}

// readBooster reads gradient_booster: {model, name}, or up to 3.2 for dart {gbtree: {model, name}, name, weight_drop}.
func (x *xgboost) readBooster() error {
	return x.keys(map[string]func() error{
		"model":       x.readModel,
		"name":        func() (err error) { x.booster, err = x.d.text(); return err },
		"weight_drop": x.readWeights,
		"gbtree": func() error {
			return x.keys(map[string]func() error{
				"model": x.readModel,
				"name": func() error {
					name, err := x.d.text()
					if err == nil && name != "gbtree" {
						return x.d.fault("", "dart lies over gbtree, not %s", quote([]byte(name)))
					}
					return err
				},
			})
		},
	})
}

func (x *xgboost) readWeights() (err error) {
	if x.weighted {
		return x.d.fault("", "stands in two places")
	}
	x.weighted = true
	x.weights, err = x.d.floats(nil)
	return err
}

func (x *xgboost) readModel() error {
	return x.keys(map[string]func() error{
		"cats": x.d.skip, // what the categories were called where the training had names; a row has their numbers
		"gbtree_model_param": func() error {
			params, err := x.texts()
			x.declared, x.parallel = params["num_trees"], params["num_parallel_tree"]
			return err
		},
		"iteration_indptr": func() (err error) { x.indptr, err = x.d.ints([]int32{}); return err },
		"tree_info":        func() (err error) { x.group, err = x.d.ints(nil); return err },
		"trees": func() error {
			x.hasTrees = true
			return x.d.array(x.readTree)
		},
		"weight_drop":    x.readWeights,
		"weights":        func() error { x.linear = true; return x.d.skip() },
		"boosted_rounds": func() error { x.linear = true; return x.d.skip() },
	})
}

// model checks what only the whole file tells, and makes the model.
func (x *xgboost) model(best bool) (*Model, error) {
	for _, step := range []func() error{x.checkKind, x.checkTrees, x.checkOutputs, x.checkFeatures, x.weigh} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if best {
		if err := x.keepBest(); err != nil {
			return nil, err
		}
	}
	convert, base, err := x.transform()
	if err != nil {
		return nil, err
	}
	x.f.base = base
	x.info.Objective, x.info.Transform = x.objective, convert.name
	x.info.Format = "XGBoost " + strings.Join(digits(x.version), ".")
	x.finishInfo()
	return newModel(x.info, x.f, x.cover, convert), nil
}

func digits(values []int32) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strconv.Itoa(int(v))
	}
	return out
}

// amiss makes a fault of something that is not at the reader's place.
func (x *xgboost) amiss(where, format string, args ...any) error {
	return x.d.fault(where, format, args...)
}

func (x *xgboost) checkKind() error {
	const versions = "1.0 to 3.4 are known, and what another means cannot be guessed"
	switch {
	case len(x.version) != 3:
		return x.amiss("version", "is missing, or not of three numbers; %s", versions)
	case x.version[0] < 1 || x.version[0] > 3:
		return x.amiss("version", "is %s; %s", strings.Join(digits(x.version), "."), versions)
	case x.booster == "gblinear" || x.linear:
		return x.amiss("learner/gradient_booster", "is a gblinear model: it has no trees, and is not scored here; train with booster=gbtree, or write the sum of weights as an expr feature")
	case x.booster != "gbtree" && x.booster != "dart":
		return x.amiss("learner/gradient_booster/name", "is %s; gbtree and dart are known", quote([]byte(x.booster)))
	case x.params == nil:
		return x.amiss("learner/learner_model_param", "is missing")
	case x.attributes == nil:
		x.attributes = map[string]string{}
	}
	return nil
}

func (x *xgboost) checkTrees() error {
	n := len(x.f.roots)
	switch {
	case !x.hasTrees || n == 0:
		return x.amiss("learner/gradient_booster/model/trees", "the model has no trees")
	case x.declared != strconv.Itoa(n):
		return x.amiss("learner/gradient_booster/model/gbtree_model_param/num_trees", "is %s, but there are %d trees", quote([]byte(x.declared)), n)
	case len(x.group) != n:
		return x.amiss("learner/gradient_booster/model/tree_info", "has %d values for %d trees", len(x.group), n)
	case x.indptr == nil:
		return nil
	}
	if len(x.indptr) == 0 || x.indptr[0] != 0 || int(x.indptr[len(x.indptr)-1]) != n || !slices.IsSorted(x.indptr) {
		return x.amiss("learner/gradient_booster/model/iteration_indptr", "does not go up from 0 to the %d trees", n)
	}
	return nil
}

// param reads one of learner_model_param's whole numbers; missing is what an absent one means.
func (x *xgboost) param(key string, missing, most int) (int, error) {
	text, given := x.params[key]
	if !given {
		if missing < 0 {
			return 0, x.amiss("learner/learner_model_param/"+key, "is missing")
		}
		return missing, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > most {
		return 0, x.amiss("learner/learner_model_param/"+key, "is %s, and should be a number from 0 to %d", quote([]byte(text)), most)
	}
	return v, nil
}

// checkOutputs finds how many scores a row has, and holds the trees against it.
func (x *xgboost) checkOutputs() error {
	for key := range x.params {
		switch key {
		case "base_score", "num_class", "num_feature", "num_target", "boost_from_average":
		default:
			return x.amiss("learner/learner_model_param/"+short(key), "is not known in XGBoost models 1.0 to 3.4")
		}
	}
	most := max(len(x.f.roots), x.f.vector)
	classes, err := x.param("num_class", -1, most)
	if err != nil {
		return err
	}
	targets, err := x.param("num_target", 1, most)
	if err != nil {
		return err
	}
	if classes > 1 && targets > 1 {
		return x.amiss("learner/learner_model_param", "has %d classes and %d targets, which XGBoost does not score", classes, targets)
	}
	k := max(classes, targets, 1)
	x.f.outputs, x.info.Outputs = k, k
	if x.f.vector > 0 && x.f.vector != k {
		return x.amiss("learner/gradient_booster/model/trees", "their leaves have %d values, but the model has %d outputs", x.f.vector, k)
	}
	if x.f.vector > 0 {
		return nil
	}
	for t, g := range x.group {
		if g < 0 || int(g) >= k {
			return x.amiss(fmt.Sprintf("learner/gradient_booster/model/tree_info/%d", t), "is %d, and the model has %d outputs", g, k)
		}
	}
	x.f.output = x.group
	return nil
}

// checkFeatures gives every feature its name, and holds the splits against them.
func (x *xgboost) checkFeatures() error {
	most := maxUnnamed
	if len(x.names) > 0 {
		most = len(x.names)
	}
	n, err := x.param("num_feature", -1, most)
	if err != nil {
		return err
	}
	switch {
	case n == 0:
		return x.amiss("learner/learner_model_param/num_feature", "is 0")
	case len(x.names) > 0 && len(x.names) != n:
		return x.amiss("learner/feature_names", "has %d names, but num_feature is %d", len(x.names), n)
	case len(x.types) > 0 && len(x.types) != n:
		return x.amiss("learner/feature_types", "has %d types, but num_feature is %d", len(x.types), n)
	}
	if int(x.highest) >= n {
		for t, f := range x.byTree {
			if int(f) >= n {
				return x.amiss(fmt.Sprintf("learner/gradient_booster/model/trees/%d/split_indices", t), "there is a split on feature %d, and the model has %d", f, n)
			}
		}
	}
	at := make(map[string]int, n)
	for i, name := range x.names {
		if first, twice := at[name]; twice {
			return x.amiss("learner/feature_names", "%s is both feature %d and feature %d", quote([]byte(name)), first, i)
		}
		at[name] = i
	}
	x.info.Inputs = x.names
	if len(x.names) == 0 {
		x.info.Inputs = make([]string, n)
		for i := range x.info.Inputs {
			x.info.Inputs[i] = placeName(i)
		}
	}
	return nil
}

// weigh multiplies each tree's leaves by its weight of dart, as XGBoost does with each leaf that it adds.
func (x *xgboost) weigh() error {
	const where = "learner/gradient_booster/weight_drop"
	if x.booster == "dart" && !x.weighted {
		return x.amiss(where, "is missing")
	}
	if len(x.weights) == 0 {
		return nil
	}
	if len(x.weights) != len(x.f.roots) {
		return x.amiss(where, "has %d weights for %d trees", len(x.weights), len(x.f.roots))
	}
	for t, w := range x.weights {
		from, to := x.span(t)
		for i := from; i < to; i++ {
			v := (0 + float32(x.f.leaves[i])) * w
			if !(math.Abs(float64(v)) <= math.MaxFloat32) {
				return x.amiss(fmt.Sprintf("%s/%d", where, t), "is %v, which makes a leaf of tree %d no finite number", w, t)
			}
			x.f.leaves[i] = float64(v)
		}
	}
	return nil
}

// span returns which of forest.leaves are tree t's.
func (x *xgboost) span(t int) (from, to int) {
	to = len(x.f.leaves)
	if t+1 < len(x.starts) {
		to = x.starts[t+1].leaves
	}
	return x.starts[t].leaves, to
}

// keepBest drops the trees after the best round.
func (x *xgboost) keepBest() error {
	const where = "learner/attributes/best_iteration"
	text, given := x.attributes["best_iteration"]
	if !given {
		return fmt.Errorf("%w: %w", x.amiss(where, "is missing"), scorer.ErrNoBestRound)
	}
	round, err := strconv.Atoi(text)
	if err != nil || round < 0 || round >= len(x.f.roots) {
		return x.amiss(where, "is %s, and should be a round of the model", quote([]byte(text)))
	}
	end, within := 0, round+1 < len(x.indptr)
	if within {
		end = int(x.indptr[round+1])
	}
	if x.indptr == nil {
		per, err := x.perRound(round)
		if err != nil {
			return err
		}
		end = (round + 1) * per * x.f.outputs
		within = end <= len(x.f.roots)
	}
	if !within {
		return x.amiss(where, "is %d, which is beyond the model's %d trees", round, len(x.f.roots))
	}
	if end == 0 {
		return x.amiss(where, "is %d, and up to it there are no trees", round)
	}
	if end < len(x.starts) {
		x.drop(end)
	}
	return nil
}

// perRound returns how many trees an output has in each round, of a file that does not list its rounds. Up to 1.5 only the limit that the best round makes
// tells it, where there is one.
func (x *xgboost) perRound(best int) (int, error) {
	where, text, rounds := "learner/gradient_booster/model/gbtree_model_param/num_parallel_tree", x.parallel, 1
	if text == "" {
		where, text, rounds = "learner/attributes/best_ntree_limit", x.attributes["best_ntree_limit"], best+1
	}
	if text == "" {
		return 0, x.amiss("learner/attributes/best_iteration", "cannot be told in trees, since the file was saved by an old XGBoost: load it in a newer one and save it again")
	}
	trees, err := strconv.Atoi(text)
	if err != nil || trees < 1 || trees > len(x.f.roots) || trees%rounds != 0 {
		return 0, x.amiss(where, "is %s, which does not fit the %d trees", quote([]byte(text)), len(x.f.roots))
	}
	return trees / rounds, nil
}

// drop keeps the first trees alone.
func (x *xgboost) drop(keep int) {
	s := x.starts[keep]
	leaves := s.leaves / max(x.f.vector, 1)
	x.f.roots, x.starts = x.f.roots[:keep], x.starts[:keep]
	if x.f.output != nil {
		x.f.output = x.f.output[:keep]
	}
	x.f.nodes, x.f.leaves, x.f.sets, x.f.bits = x.f.nodes[:s.nodes], x.f.leaves[:s.leaves], x.f.sets[:s.sets], x.f.bits[:s.bits]
	x.cover.nodes, x.cover.leaves = x.cover.nodes[:s.nodes], x.cover.leaves[:leaves]
}

// finishInfo counts what the forest has.
func (x *xgboost) finishInfo() {
	i := &x.info
	i.Trees, i.Leaves, i.Categorical = len(x.f.roots), x.f.leafCount(), len(x.f.sets)
	used := make([]bool, len(i.Inputs))
	for _, n := range x.f.nodes {
		used[n.feature] = true
	}
	for f, is := range used {
		if !is {
			i.UnusedFeatures = append(i.UnusedFeatures, i.Inputs[f])
		}
	}
	for t := range x.starts {
		from, to := x.span(t)
		i.LargestTree = max(i.LargestTree, (to-from)/max(x.f.vector, 1))
	}
}
