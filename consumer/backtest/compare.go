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
	from, to := b.sides[p.from], b.sides[p.to]
	m.Orders = from.figures.Orders
	if x, y := b.decidedBy(p.from).score, b.decidedBy(p.to).score; !b.same(x, y) {
		from, to = b.both(x, y), b.both(y, x)
		m.Orders = from.figures.Orders
	}
	gain := func(figure func(*replicate) float64) Gain {
		differences := make([]float64, 0, len(from.drawn))
		for i := range from.drawn {
			if d := figure(&to.drawn[i]) - figure(&from.drawn[i]); d == d {
				differences = append(differences, d)
			}
		}
		p, q := figure(&from.whole), figure(&to.whole)
		return Gain{From: Number(p), To: Number(q), Gain: Number(q - p), Interval: intervalOf(differences, len(from.drawn))}
	}
	m.AUC, m.AP = gain(func(r *replicate) float64 { return r.area }), gain(func(r *replicate) float64 { return r.average })
	m.Recall = gain(func(r *replicate) float64 { return r.recall })
	for i, k := range cfg.TopK {
		m.AtK = append(m.AtK, GainAtK{
			K: k, Precision: gain(func(r *replicate) float64 { return r.atK[i] }), Card: gain(func(r *replicate) float64 { return r.cardAtK[i] }),
		})
	}
}

// same says whether two columns of scores have the same rows that count.
func (b *builder) same(x, y []float64) bool {
	return !slices.ContainsFunc(b.of.rows, func(row uint32) bool { return math.IsNaN(x[row]) != math.IsNaN(y[row]) })
}

// both measures a score over the rows that have another one too.
func (b *builder) both(score, other []float64) *side {
	rows := slices.DeleteFunc(slices.Clone(b.of.rows), func(row uint32) bool { return math.IsNaN(other[row]) })
	s := b.c.sampleOf(rows, &b.of, score)
	s.byDay(b.c, &b.of)
	return &side{figures: Figures{Orders: len(s.rows)}, drawn: s.resample(&b.of, &b.c.cfg, nil, nil), whole: s.whole(&b.of, &b.c.cfg)}
}
