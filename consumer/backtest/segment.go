package backtest

import (
	"cmp"
	"slices"
)

// maxSegments is how many values of a field are told one by one.
const maxSegments = 20

// segments breaks all down by the values of each segment's field.
func (b *builder) segments() []Segment {
	all := make([]Segment, 0, len(b.c.segments))
	for i := range b.c.segments {
		all = append(all, b.segment(b.c.cfg.Segments[i], &b.c.segments[i]))
	}
	return all
}

func (b *builder) segment(field string, of *column) Segment {
	told, rest := b.commonest(of)
	place := make([]int, len(of.values)) // :: value's number → its place among those told
	for i := range place {
		place[i] = len(told)
	}
	for i, n := range told {
		place[n] = i
	}
	at := func(row uint32) int {
		if n := of.row[row]; n != restValue {
			return place[n]
		}
		return len(told)
	}
	values := make([]SegmentValue, len(told), len(told)+1)
	for i, n := range told {
		values[i].Value = of.values[n]
	}
	if rest {
		values = append(values, SegmentValue{Rest: true})
	}
	rows := make([][]uint32, len(values))
	for _, row := range b.of.rows {
		rows[at(row)] = append(rows[at(row)], row)
	}
	for i := range values {
		b.totalsOf(&values[i], rows[i])
	}
	for i := range b.samples {
		for j, f := range b.bySegment(b.samples[i], &b.c.candidates[i], rows, at) {
			values[j].Candidates = append(values[j].Candidates, f)
		}
	}
	if b.c.cfg.Live {
		for j, f := range b.bySegment(b.live, &b.c.live, rows, at) {
			values[j].Live = &f
		}
	}
	b.segmentFlips(values, at)
	return Segment{Field: field, Values: values}
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
func (b *builder) bySegment(s *sample, of *decided, rows [][]uint32, at func(uint32) int) []SegmentFigures {
	parts := make([]*sample, len(rows))
	for i := range parts {
		parts[i] = &sample{}
	}
	for i, row := range s.rows {
		p := parts[at(row)]
		p.rows, p.score = append(p.rows, row), append(p.score, s.score[i])
	}
	reviewed := s.reviewed(b.c.cfg.Budget, len(b.c.at))
	told := make([]SegmentFigures, len(rows))
	for i, p := range parts {
		p.marks = make([]uint32, len(p.rows))
		p.mark(b.c, &b.of)
		f := &told[i]
		area, average := p.rank(nil)
		f.Orders, f.AUC, f.AveragePrecision, f.Brier = len(p.rows), Number(area), Number(average), p.calibrate().brier
		for j, row := range p.rows {
			if reviewed[row] {
				f.Reviewed++
				f.Found += int(p.marks[j] & markFraud)
			}
		}
		f.Precision, f.Recall = ratio(float64(f.Found), float64(f.Reviewed)), ratio(float64(f.Found), float64(p.frauds))
		tally := b.tally(of, rows[i])
		f.Actions, f.Blocked = tally.told(b.money), tally.blocked(b.money)
		f.Caught, f.CaughtPart = tally.caught(b.money)
		f.Thresholds = thresholds(p.steps(b.c), maxSegmentPoints, b.money)
	}
	return told
}

// segmentFlips counts flips in each segment, over all orders as in a comparison.
func (b *builder) segmentFlips(values []SegmentValue, at func(uint32) int) {
	for i := range b.c.pairs {
		from, to := b.decidedBy(b.c.pairs[i].from), b.decidedBy(b.c.pairs[i].to)
		flips := make([]SegmentFlips, len(values))
		for row := range b.c.at {
			x, y := from.action[row], to.action[row]
			if x == NoAction || y == NoAction {
				continue
			}
			f := &flips[at(uint32(row))]
			f.Compared++
			if x != y {
				f.Flips++
			}
		}
		for j, f := range flips {
			f.Part = ratio(float64(f.Flips), float64(f.Compared))
			values[j].Flips = append(values[j].Flips, f)
		}
	}
}
