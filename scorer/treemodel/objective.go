package treemodel

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// transform is what LightGBM's objective does to raw scores when it predicts.
type transform struct {
	divisor float64 // the number of iterations when the model averages (rf), else 0
	name    string
	sigmoid float64
	convert func(t *transform, out []float64)
}

func (t *transform) apply(out []float64) {
	if t.divisor != 0 {
		for i := range out {
			out[i] /= t.divisor
		}
	}
	t.convert(t, out)
}

// parseObjective reads the header's objective line, such as "binary sigmoid:1". outputs is the number of trees an iteration.
func parseObjective(line string, outputs int) (transform, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return transform{name: "identity", convert: identity}, nil
	}
	name, t := words[0], transform{sigmoid: 1}
	params, err := objectiveParams(words[1:])
	if err != nil {
		return t, err
	}
	allowed := ""
	switch name {
	case "binary":
		t.name, t.convert, allowed = "sigmoid", sigmoids, "sigmoid"
	case "cross_entropy", "xentropy":
		t.name, t.convert = "sigmoid", sigmoids
	case "cross_entropy_lambda", "xentlambda":
		t.name, t.convert = "log1p(exp)", softplus
	case "multiclass", "softmax":
		t.name, t.convert, allowed = "softmax", softmax, "num_class"
	case "multiclassova":
		t.name, t.convert, allowed = "sigmoid of each class", sigmoids, "num_class sigmoid"
	case "poisson", "gamma", "tweedie":
		t.name, t.convert = "exp", exps
	case "regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape":
		t.name, t.convert, allowed = "identity", identity, "sqrt alpha"
		if _, squared := params["sqrt"]; squared {
			t.name, t.convert = "signed square", signedSquares
		}
	case "lambdarank", "rank_xendcg":
		t.name, t.convert = "identity", identity
	default:
		return t, fmt.Errorf("objective %q is not known here: its transform cannot be exact", name)
	}
	for key := range params {
		if !strings.Contains(" "+allowed+" ", " "+key+" ") {
			return t, fmt.Errorf("objective %s has the parameter %q, which is not known here", name, key)
		}
	}
	return t, t.take(name, params, outputs)
}

// take sets the transform's parameters from those of the objective.
func (t *transform) take(name string, params map[string]string, outputs int) error {
	if text, given := params["sigmoid"]; given {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("objective %s: sigmoid %q is not a number above 0", name, text)
		}
		t.sigmoid = v
	}
	classes := 1
	if strings.HasPrefix(name, "multiclass") || name == "softmax" {
		n, err := strconv.Atoi(params["num_class"])
		if err != nil {
			return fmt.Errorf("objective %s needs num_class", name)
		}
		classes = n
	}
	if classes != outputs {
		return fmt.Errorf("objective %s is of %d outputs, but num_tree_per_iteration is %d", name, classes, outputs)
	}
	return nil
}

func objectiveParams(words []string) (map[string]string, error) {
	params := make(map[string]string, len(words))
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		if _, twice := params[key]; twice {
			return nil, fmt.Errorf("objective parameter %q stands twice", key)
		}
		params[key] = value
	}
	return params, nil
}

func identity(*transform, []float64) {}

func sigmoids(t *transform, out []float64) {
	for i, x := range out {
		out[i] = 1 / (1 + math.Exp(-t.sigmoid*x))
	}
}

func softplus(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = math.Log1p(math.Exp(x))
	}
}

func exps(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = math.Exp(x)
	}
}

func signedSquares(_ *transform, out []float64) {
	for i, x := range out {
		out[i] = math.Copysign(x*x, x)
	}
}

// softmax subtracts the largest first, as LightGBM does.
func softmax(_ *transform, out []float64) {
	largest := out[0]
	for _, x := range out[1:] {
		largest = max(largest, x)
	}
	sum := 0.0
	for i, x := range out {
		out[i] = math.Exp(x - largest)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
}
