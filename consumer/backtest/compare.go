package backtest

import (
	"math"
	"slices"
)

// decidedBy returns a side's columns.
func (b *builder) decidedBy(of int) *decided {
	if of == live {
		return &b.c.live
	}
	return &b.c.candidates[of]
}

// sampleBy returns a side's sample and its replicates.
func (b *builder) sampleBy(of int) (*sample, []replicate) {
	if of == live {
		return b.live, b.drawn[len(b.samples)]
	}
	return b.samples[of], b.drawn[of]
}

// nameOf returns a side's name.
func (b *builder) nameOf(of int) string {
	if of == live {
		return "live"
	}
	return b.c.cfg.Candidates[of].Name
}

// compare holds one side against the other.
func (b *builder) compare(p *pair) Comparison {
	m := Comparison{From: b.nameOf(p.from), To: b.nameOf(p.to), ByAmount: examples(p.byAmount), ByScore: examples(p.byMove), Matrix: []Flip{}, AtK: []GainAtK{}}
	b.flips(&m, b.decidedBy(p.from), b.decidedBy(p.to))
	b.moves(&m, b.decidedBy(p.from).score, b.decidedBy(p.to).score)
	b.gains(&m, p)
	return m
}

// flips fills in who got another action.
func (b *builder) flips(m *Comparison, from, to *decided) {
	var cells [actions][actions]Flip
	var flipped float64
	for row := range b.c.at {
		x, y := from.action[row], to.action[row]
		if x == NoAction || y == NoAction {
			continue
		}
		amount := b.c.amount[row]
		if amount != amount {
			amount = 0
		}
		fraud := b.c.label[row] == Fraud
		m.Compared++
		cell := &cells[x][y]
		cell.Orders++
		cell.Amount += Number(amount)
		if b.counts[row] && fraud {
			cell.Frauds++
			cell.FraudAmount += Number(amount)
		}
		if x == y {
			continue
		}
		m.Flips++
		flipped += amount
		if b.counts[row] {
			m.worth(x, y, fraud, Number(amount))
		}
	}
	m.FlipsPart = ratio(float64(m.Flips), float64(m.Compared))
	for x := range cells {
		for y := range cells[x] {
			cell := cells[x][y]
			if cell.Orders == 0 {
				continue
			}
			cell.From, cell.To = Action(x).String(), Action(y).String()
			cell.Amount, cell.FraudAmount = known(float64(cell.Amount), b.money), known(float64(cell.FraudAmount), b.money)
			m.Matrix = append(m.Matrix, cell)
		}
	}
	m.Amount = known(flipped, b.money && m.Compared > 0)
	m.Worth = known(float64(m.Caught.Amount-m.Missed.Amount-m.Blocked.Amount+m.Passed.Amount), b.money && m.Compared > 0)
	for _, part := range []*Money{&m.Caught, &m.Missed, &m.Blocked, &m.Passed} {
		part.Amount = known(float64(part.Amount), b.money)
	}
}

// worth adds an order that got another action to what the change is worth.
func (m *Comparison) worth(from, to Action, fraud bool, amount Number) {
	add := func(to *Money) {
		to.Orders++
		to.Amount += amount
	}
	switch {
	case fraud && from == Approve:
		add(&m.Caught)
	case fraud && to == Approve:
		add(&m.Missed)
	case !fraud && to == Reject:
		add(&m.Blocked)
	case !fraud && from == Reject:
		add(&m.Passed)
	}
}

// moves fills in how scores moved, over all orders with both.
func (b *builder) moves(m *Comparison, from, to []float64) {
	var n, x, y, xx, yy, xy, off float64 // means and sums of squares around them (Welford), so that close scores keep their digits
	for row := range from {
		p, q := from[row], to[row]
		if d := q - p; d != d {
			continue
		}
		n++
		dp, dq := p-x, q-y
		x += dp / n
		y += dq / n
		xx += dp * (p - x)
		yy += dq * (q - y)
		xy += dp * (q - y)
		off += math.Abs(q - p)
	}
	m.MeanChange, m.MeanAbsChange, m.Correlation = missing(), ratio(off, n), ratio(xy, math.Sqrt(xx*yy))
	if n > 0 {
		m.MeanChange = Number(y - x)
	}
}

// gains fills in what the figures gain, over the orders with both scores.
func (b *builder) gains(m *Comparison, p *pair) {
	cfg := &b.c.cfg
	from, before := b.sampleBy(p.from)
	to, after := b.sampleBy(p.to)
	if !b.same(from, to) {
		x, y := b.decidedBy(p.from).score, b.decidedBy(p.to).score
		both := func(row uint32) bool { return x[row] == x[row] && y[row] == y[row] }
		from, to = from.part(b.c, &b.of, both), to.part(b.c, &b.of, both)
		from.byDay(b.c, &b.of)
		to.byDay(b.c, &b.of)
		drawn := resample([]*sample{from, to}, &b.of, cfg)
		before, after = drawn[0], drawn[1]
	}
	weights, left := ones(len(b.of.keys)), make([]uint8, len(b.of.keys))
	x, y := from.measure(cfg, weights, left), to.measure(cfg, weights, left)
	gain := func(figure func(*replicate) float64) Gain {
		differences := make([]float64, 0, len(before))
		for i := range before {
			if d := figure(&after[i]) - figure(&before[i]); d == d {
				differences = append(differences, d)
			}
		}
		p, q := figure(&x), figure(&y)
		return Gain{From: Number(p), To: Number(q), Gain: Number(q - p), Interval: intervalOf(differences, len(before))}
	}
	m.Orders = len(from.rows)
	m.AUC, m.AP = gain(func(r *replicate) float64 { return r.area }), gain(func(r *replicate) float64 { return r.average })
	m.Recall = gain(func(r *replicate) float64 { return r.recall })
	for i, k := range cfg.TopK {
		m.AtK = append(m.AtK, GainAtK{
			K: k, Precision: gain(func(r *replicate) float64 { return r.atK[i] }), Card: gain(func(r *replicate) float64 { return r.cardAtK[i] }),
		})
	}
}

// same says whether two samples have the same rows.
func (b *builder) same(x, y *sample) bool {
	if len(x.rows) != len(y.rows) {
		return false
	}
	if len(x.rows) == len(b.of.rows) {
		return true
	}
	return slices.Equal(slices.Sorted(slices.Values(x.rows)), slices.Sorted(slices.Values(y.rows)))
}
