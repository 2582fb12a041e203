package scorer

import (
	"math"
	"slices"

	"go.yaml.in/yaml/v3"
)

// calibration maps scores to calibrated ones. The zero calibration leaves them.
type calibration struct {
	sigmoid bool
	a, b    float64
	x, y    []float64 // isotonic
}

func (d *bundleReader) calibration(n *yaml.Node) calibration {
	found := d.Only(n, "calibration", "sigmoid", "isotonic")
	if (found["sigmoid"] == nil) == (found["isotonic"] == nil) {
		d.Fault(n, "calibration: either sigmoid: [a, b] or isotonic: [[x, y], …] is wanted")
		return calibration{}
	}
	if at := found["sigmoid"]; at != nil {
		v := d.pair(at, "sigmoid")
		return calibration{sigmoid: true, a: v[0], b: v[1]}
	}
	var c calibration
	for _, item := range d.Items(found["isotonic"], "isotonic") {
		v := d.pair(item, "isotonic")
		if last := len(c.x) - 1; last >= 0 && (v[0] <= c.x[last] || v[1] < c.y[last]) {
			d.Fault(item, "isotonic: [%v, %v] after [%v, %v]: x must rise and y must not fall", v[0], v[1], c.x[last], c.y[last])
		}
		if v[1] < 0 || v[1] > 1 {
			d.Fault(item, "isotonic: %v lies outside of 0 to 1: a calibrated score is a probability", v[1])
		}
		c.x, c.y = append(c.x, v[0]), append(c.y, v[1])
	}
	if len(c.x) == 0 {
		d.Fault(found["isotonic"], "isotonic: there are no points")
	}
	return c
}

// pair returns the two numbers of a list of two.
func (d *bundleReader) pair(n *yaml.Node, what string) [2]float64 {
	items := d.Items(n, what)
	if len(items) != 2 {
		d.Fault(n, "%s: two numbers are wanted, not %d", what, len(items))
		return [2]float64{}
	}
	x, _ := d.Number(items[0], what)
	y, _ := d.Number(items[1], what)
	return [2]float64{x, y}
}

// there says whether there is a calibration.
func (c *calibration) there() bool { return c.sigmoid || c.x != nil }

// apply maps the scores in place. NaN stays NaN.
func (c *calibration) apply(scores []float64) {
	switch {
	case c.sigmoid:
		for i, s := range scores {
			scores[i] = 1 / (1 + math.Exp(c.a*s+c.b))
		}
	case c.x != nil:
		for i, s := range scores {
			scores[i] = c.interpolate(s)
		}
	}
}

// interpolate follows the line between the points around s; beyond them it is level, as scikit-learn's IsotonicRegression clips.
func (c *calibration) interpolate(s float64) float64 {
	if s != s {
		return s
	}
	at, exact := slices.BinarySearch(c.x, s)
	switch {
	case exact:
		return c.y[at]
	case at == 0:
		return c.y[0]
	case at == len(c.x):
		return c.y[at-1]
	}
	part := (s - c.x[at-1]) / (c.x[at] - c.x[at-1])
	return c.y[at-1] + part*(c.y[at]-c.y[at-1])
}
