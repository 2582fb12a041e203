package backtest

import (
	"cmp"
	"slices"
)

// maxSegments is how many values of a field are told one by one.
const maxSegments = 20

// partition is the rows by the values of a segment's field.
type partition struct {
	values []SegmentValue
	rows   [][]uint32 // of each value, those that count
	place  []int      // :: value's number → its place in values
	column *column
	others int // the place of values that are not told one by one
}

// at returns the place of a row's value.
func (p *partition) at(row uint32) int {
	if n := p.column.row[row]; n != restValue {
		return p.place[n]
	}
	return p.others
}

func (b *builder) partition(of *column) partition {
	told, rest := b.commonest(of)
	p := partition{place: make([]int, len(of.values)), column: of, others: len(told), values: make([]SegmentValue, len(told), len(told)+1)}
	for i := range p.place {
		p.place[i] = p.others
	}
	for i, n := range told {
		p.place[n], p.values[i].Value = i, of.values[n]
	}
	if rest {
		p.values = append(p.values, SegmentValue{Rest: true})
	}
	p.rows = make([][]uint32, len(p.values))
	for _, row := range b.of.rows {
		i := p.at(row)
		p.rows[i] = append(p.rows[i], row)
	}
	for i := range p.values {
		b.totalsOf(&p.values[i], p.rows[i])
	}
	return p
}

// segments breaks all down by the values of each segment's field.
func (b *builder) segments() []Segment {
	all := make([]Segment, 0, len(b.fields))
	for i := range b.fields {
		p := &b.fields[i]
		for j := range p.values {
			v := &p.values[j]
			for candidate := range b.c.candidates {
				v.Candidates = append(v.Candidates, b.sides[candidate].segments[i][j])
			}
			if b.c.cfg.Live {
				v.Live = &b.sides[live].segments[i][j]
			}
		}
		b.segmentFlips(p)
		all = append(all, Segment{Field: b.c.cfg.Segments[i], Values: p.values})
	}
	return all
}

// commonest returns the numbers of the values that most counted orders have, and whether there are others.
func (b *builder) commonest(of *column) (numbers []uint32, rest bool) {
	orders := make([]int, len(of.values))
	for row, n := range of.row {
		switch {
		case n == restValue:
			rest = true
		case b.counts[row]:
			orders[n]++
		}
	}
	for n := range orders {
		numbers = append(numbers, uint32(n))
	}
	slices.SortFunc(numbers, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(orders[y], orders[x]), cmp.Compare(of.values[x], of.values[y]))
	})
	if len(numbers) > maxSegments {
		numbers, rest = numbers[:maxSegments], true
	}
	return numbers, rest
}

func (b *builder) totalsOf(v *SegmentValue, rows []uint32) {
	var sum money
	for _, row := range rows {
		amount := b.c.amount[row]
		if amount != amount {
			amount = 0
		}
		sum.amount += amount
		if b.c.label[row] == Fraud {
			v.Frauds++
			sum.fraud += amount
		}
	}
	v.Orders, v.Amount, v.FraudAmount = len(rows), known(sum.amount, b.money), known(sum.fraud, b.money)
	v.BaseRate = ratio(float64(v.Frauds), float64(v.Orders))
	v.Candidates, v.Flips = []SegmentFigures{}, []SegmentFlips{}
}

// bySegment returns a sample's figures in each segment.
func (b *builder) bySegment(s *sample, of *decided, by *partition, inUse []*float64) []SegmentFigures {
	parts := make([]*sample, len(by.rows))
	for i := range parts {
		parts[i] = &sample{}
	}
	for i, row := range s.rows {
		p := parts[by.at(row)]
		p.rows, p.score = append(p.rows, row), append(p.score, s.score[i])
	}
	reviewed := s.reviewed(b.c.cfg.Budget, len(b.c.at))
	told := make([]SegmentFigures, len(parts))
	for i, p := range parts {
		p.marks = make([]uint32, len(p.rows))
		p.mark(b.c, &b.of)
		f := &told[i]
		area, average, _ := p.ranking().rank(nil)
		f.Orders, f.AUC, f.AveragePrecision, f.Brier = len(p.rows), Number(area), Number(average), p.calibrate().brier
		for j, row := range p.rows {
			if reviewed[row] {
				f.Reviewed++
				f.Found += int(p.marks[j] & markFraud)
			}
		}
		f.Precision, f.Recall = ratio(float64(f.Found), float64(f.Reviewed)), ratio(float64(f.Found), float64(p.frauds))
		tally := b.tally(of, by.rows[i])
		f.Actions, f.Blocked = tally.told(b.money), tally.blocked(b.money)
		f.Caught, f.CaughtPart = tally.caught(b.money)
		f.Thresholds = thresholds(p.steps(b.c), maxSegmentPoints, b.money, inUse...)
	}
	return told
}

// segmentFlips counts flips in each segment, over all orders as in a comparison.
func (b *builder) segmentFlips(p *partition) {
	for i := range b.c.pairs {
		from, to := b.decidedBy(b.c.pairs[i].from), b.decidedBy(b.c.pairs[i].to)
		flips := make([]SegmentFlips, len(p.values))
		for row := range b.c.at {
			x, y := from.action[row], to.action[row]
			if x == NoAction || y == NoAction {
				continue
			}
			f := &flips[p.at(uint32(row))]
			f.Compared++
			if x != y {
				f.Flips++
			}
		}
		for j, f := range flips {
			f.Part = ratio(float64(f.Flips), float64(f.Compared))
			p.values[j].Flips = append(p.values[j].Flips, f)
		}
	}
}
