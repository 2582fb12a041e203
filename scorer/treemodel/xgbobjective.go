package treemodel

import (
	"math"
	"strconv"
	"strings"
)

// xgbObjective is what an objective does to base_score when a model is loaded, and to the sums when it predicts.
type xgbObjective struct {
	link    func(base float32) float32 // base_score to the margin that sums begin with; nil leaves it
	name    string                     // of convert
	convert func(t *transform, out []float64)
}

// xgbObjectives are those of XGBoost 1.0 to 3.4. base_score is kept in the file as it was given or estimated, before the link, in all of these versions.
func xgbObjectives() map[string]xgbObjective {
	same := xgbObjective{name: "identity", convert: identity}
	logistic := xgbObjective{link: logit, name: "sigmoid", convert: sigmoids32}
	exp := xgbObjective{link: logf, name: "exp", convert: exps32}
	return map[string]xgbObjective{
		"reg:squarederror": same, "reg:linear": same, "reg:squaredlogerror": same, "reg:pseudohubererror": same, "reg:absoluteerror": same,
		"reg:quantileerror": same, "reg:expectileerror": same,
		"reg:logistic": logistic, "binary:logistic": logistic,
		"binary:logitraw": same,
		"binary:hinge":    {name: "above 0", convert: above0},
		"count:poisson":   exp, "reg:gamma": exp, "reg:tweedie": exp, "survival:cox": exp, "survival:aft": exp,
		"rank:pairwise": same, "rank:ndcg": same, "rank:map": same,
		"multi:softprob": {name: "softmax", convert: softmax32},
		"multi:softmax":  {name: LargestClass, convert: largest},
	}
}

// LargestClass is the transform of multi:softmax, which predicts a class and no probabilities. As there are as many outputs as classes, the one that is
// predicted is 1 and the others 0.
const LargestClass = "largest class"

// transform returns what is done to the sums, and what they begin with.
func (x *xgboost) transform() (transform, []float64, error) {
	const where = "learner/objective/name"
	o, known := xgbObjectives()[x.objective]
	old := x.version[0] == 1 && x.version[1] < 3
	switch {
	case !known:
		return transform{}, nil, x.amiss(where, "objective %s is not known here: what it does to base_score and to the sums cannot be told", quote([]byte(x.objective)))
	case strings.HasPrefix(x.objective, "multi:") && x.f.outputs < 2:
		return transform{}, nil, x.amiss(where, "%s with num_class %s", x.objective, x.params["num_class"])
	case x.objective == "binary:logitraw" && old:
		return transform{}, nil, x.amiss(where, "binary:logitraw of XGBoost before 1.3 took base_score through the logit, and newer ones score the file differently: train it anew")
	case x.objective == "reg:expectileerror" && x.f.outputs > 1:
		return transform{}, nil, x.amiss(where, "reg:expectileerror with more than one expectile_alpha is not scored here: train a model for each")
	case x.objective == "reg:quantileerror" && (x.version[0] > 3 || x.version[0] == 3 && x.version[1] >= quantilesSorted):
		o.name, o.convert = "sorted", sorted
	}
	base, err := x.base(o.link)
	return transform{name: o.name, convert: o.convert}, base, err
}

// quantilesSorted is the minor version 3 since which the predictions of several quantiles are sorted.
const quantilesSorted = 4

// base reads base_score: a number, up to 3.0, and since then a list with one number or with one an output.
func (x *xgboost) base(link func(float32) float32) ([]float64, error) {
	const where = "learner/learner_model_param/base_score"
	text, given := x.params["base_score"]
	if !given {
		return nil, x.amiss(where, "is missing")
	}
	inner := strings.TrimSpace(text)
	if n := len(inner); n >= 2 && (inner[0] == '[' && inner[n-1] == ']' || inner[0] == '(' && inner[n-1] == ')') {
		inner = inner[1 : n-1]
	}
	words := strings.Split(inner, ",")
	if len(words) != 1 && len(words) != x.f.outputs {
		return nil, x.amiss(where, "has %d values, and the model has %d outputs", len(words), x.f.outputs)
	}
	out := make([]float64, x.f.outputs)
	for i := range out {
		word := strings.TrimSpace(words[min(i, len(words)-1)])
		v, err := strconv.ParseFloat(word, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, x.amiss(where, "is %s, which is no number", quote([]byte(text)))
		}
		margin := float32(v)
		if link != nil {
			margin = link(margin)
		}
		if !finite32(margin) {
			return nil, x.amiss(where, "is %s, which %s has no margin for", quote([]byte(text)), x.objective)
		}
		out[i] = float64(margin)
	}
	return out, nil
}

// logit is XGBoost's, in float32.
func logit(p float32) float32 {
	if p < 0 || p > 1 {
		return float32(math.NaN())
	}
	p = min(max(p, 1e-6), 1-float32(1e-6))
	return -logf(1/p - 1)
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

// The transforms are done in float32, step by step as XGBoost does them; what is left of a difference is its C library's exp.

func sigmoids32(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = float64(1 / (exp32(min(-float32(x), 88.7)) + 1))
	}
}

func exps32(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = float64(exp32(float32(x)))
	}
}

func softmax32(_ *transform, out []float64) {
	top := out[0]
	for _, x := range out[1:] {
		top = max(top, x)
	}
	sum := 0.0
	for i, x := range out {
		out[i] = float64(exp32(float32(x) - float32(top)))
		sum += out[i]
	}
	for i := range out {
		out[i] = float64(float32(out[i]) / float32(sum))
	}
}

func above0(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = 0
		if x > 0 {
			out[i] = 1
		}
	}
}

// largest marks the first of the largest.
func largest(_ *transform, out []float64) {
	at := 0
	for i, x := range out {
		if x > out[at] {
			at = i
		}
	}
	clear(out)
	out[at] = 1
}

// sorted orders what XGBoost orders since 3.4: the quantiles of a row, so that they do not cross.
func sorted(_ *transform, out []float64) {
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j-1] > out[j]; j-- {
			out[j-1], out[j] = out[j], out[j-1]
		}
	}
}
