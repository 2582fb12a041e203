package backtest

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// builder makes a report of a collector's rows. Only one side's sample is there at a time: it takes more room than the columns.
type builder struct {
	c      *Collector
	of     counted
	counts []bool // one a row: whether it counts
	money  bool   // rows have amounts
	totals money
	fields []partition   // of segments
	sides  map[int]*side // :: place of a candidate, or live
}

// money are the sums over the orders that count.
type money struct{ amount, fraud float64 }

// side is what is known of one candidate, or of what was decided live.
type side struct {
	figures  Figures
	segments [][]SegmentFigures // for each of Config.Segments, of each of its values
	drawn    []replicate
	whole    replicate
}

// Report makes the report of the rows so far. It may be asked more than once, and rows may be added in between. It takes the machine's cores for the bootstrap.
func (c *Collector) Report() (*Report, error) {
	b := &builder{c: c, of: c.count(), money: c.cfg.Amount != "", sides: make(map[int]*side)}
	b.counts = make([]bool, len(c.at))
	for _, row := range b.of.rows {
		b.counts[row] = true
		if amount := c.amount[row]; amount == amount {
			b.totals.amount += amount
			if c.label[row] == Fraud {
				b.totals.fraud += amount
			}
		}
	}
	for i := range c.segments {
		b.fields = append(b.fields, b.partition(&c.segments[i]))
	}
	r := &Report{Format: FormatVersion, Period: b.period(), Method: b.method(), Candidates: make([]Figures, 0, len(c.candidates)), Drift: c.drift.report(&c.cfg)}
	for i := range c.candidates {
		b.sides[i] = b.side(&c.candidates[i], c.cfg.Candidates[i].Review, c.cfg.Candidates[i].Reject)
		r.Candidates = append(r.Candidates, b.candidate(i))
	}
	if c.cfg.Live {
		b.sides[live] = b.side(&c.live)
		f := b.sides[live].figures
		f.Name, f.Importance = "live", []Importance{}
		r.Live = &f
	}
	r.Comparisons = make([]Comparison, 0, len(c.pairs))
	for i := range c.pairs {
		r.Comparisons = append(r.Comparisons, b.compare(&c.pairs[i]))
	}
	r.Segments = b.segments()
	r.Headline = headline(r)
	return r, nil
}

// side makes what is told of one side, whose policy has those thresholds.
func (b *builder) side(of *decided, inUse ...*float64) *side {
	s := b.sample(of.score)
	steps := s.steps(b.c)
	roc, pr := curves(steps)
	rates, recalls := placesOf(roc), placesOf(pr)
	made := &side{drawn: s.resample(&b.of, &b.c.cfg, rates, recalls), whole: s.whole(&b.of, &b.c.cfg)}
	made.figures = b.figures(s, of, made, steps, inUse)
	made.figures.ROC, made.figures.ROCBand = roc, bandOf(made.drawn, rates, func(r *replicate) []float64 { return r.roc })
	made.figures.PR, made.figures.PRBand = pr, bandOf(made.drawn, recalls, func(r *replicate) []float64 { return r.pr })
	for i := range b.fields {
		made.segments = append(made.segments, b.bySegment(s, of, &b.fields[i], inUse))
	}
	return made
}

func (b *builder) sample(score []float64) *sample {
	s := b.c.sampleOf(b.of.rows, &b.of, score)
	s.byDay(b.c, &b.of)
	return s
}

func (b *builder) period() Period {
	c := b.c
	p := Period{
		MatureDays: Number(c.cfg.Mature.Hours() / 24), Orders: len(c.at), Immature: b.of.immature, ImmaturePart: ratio(float64(b.of.immature), float64(len(c.at))),
		KnownCustomer: b.of.known, Counted: len(b.of.rows), Amount: known(b.totals.amount, b.money), FraudAmount: known(b.totals.fraud, b.money),
	}
	days, seen := make(map[int64]bool), make([]bool, len(b.of.keys))
	for _, row := range b.of.rows {
		switch c.label[row] {
		case Fraud:
			p.Frauds++
			p.Labelled++
		case Honest:
			p.Labelled++
		case NoLabel:
		}
		days[dayOf(c.at[row])] = true
		if n := b.of.cluster[row]; c.customers && !seen[n] {
			seen[n] = true
			p.Customers++
		}
	}
	p.BaseRate, p.LabelledPart, p.Days = ratio(float64(p.Frauds), float64(p.Counted)), ratio(float64(p.Labelled), float64(p.Counted)), len(days)
	if len(c.at) > 0 {
		p.First, p.Last, p.Known = moment(slices.Min(c.at)), moment(slices.Max(c.at)), moment(c.end())
	}
	return p
}

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func (b *builder) method() Method {
	cfg := &b.c.cfg
	m := Method{
		TopK: cfg.TopK, Budget: cfg.Budget, Bootstrap: cfg.Bootstrap, Seed: cfg.Seed, Cluster: "order", Coverage: coverage, Amount: cfg.Amount, KnownCustomer: cfg.Known != nil,
	}
	if b.c.customers {
		m.Customer, m.Cluster = cfg.Customer, cfg.Customer
	}
	return m
}

// candidate returns the figures of one candidate.
func (b *builder) candidate(i int) Figures {
	of := &b.c.cfg.Candidates[i]
	f := b.sides[i].figures
	f.Name, f.Model, f.Features, f.Policy, f.Review, f.Reject = of.Name, of.Model, of.Features, of.Policy, of.Review, of.Reject
	f.Importance, f.Explained = b.c.importance[i].told(of.Inputs), b.c.importance[i].n
	return f
}

// figures returns what is said of a sample of scores, and of the actions beside them.
func (b *builder) figures(s *sample, of *decided, made *side, steps []step, inUse []*float64) Figures {
	cfg, drawn := &b.c.cfg, made.drawn
	cal := s.calibrate()
	f := Figures{
		Orders: len(s.rows), Unscored: len(b.of.rows) - len(s.rows), Frauds: s.frauds, FraudPart: ratio(float64(s.frauds), float64(len(s.rows))),
		AUC: Number(made.whole.area), AUCInterval: interval(drawn, func(r *replicate) float64 { return r.area }),
		AveragePrecision: Number(made.whole.average), APInterval: interval(drawn, func(r *replicate) float64 { return r.average }),
		Budget: b.atBudget(s, drawn), Brier: cal.brier, ECE: cal.ece, ECEQuantile: cal.eceQuantile, Calibration: cal.width, Quantiles: cal.quantile,
		Thresholds: thresholds(steps, maxPoints, b.money, inUse...), Scores: b.c.distribution(of.score, b.counts), Cost: missing(), ExpectedCost: missing(),
	}
	f.AtK, f.Days = b.byDay(s, cfg, drawn)
	tally := b.tally(of, b.of.rows)
	f.Actions, f.Blocked = tally.told(b.money), tally.blocked(b.money)
	f.Caught, f.CaughtPart = tally.caught(b.money)
	b.costs(&f, of)
	return f
}

func (b *builder) tally(of *decided, rows []uint32) *tally {
	var t tally
	for _, row := range rows {
		t.add(of.action[row], b.c.label[row] == Fraud, b.c.amount[row])
	}
	return &t
}

// costs sums the costs of the orders that have them.
func (b *builder) costs(f *Figures, of *decided) {
	if of.cost == nil {
		return
	}
	cost, expected := 0.0, 0.0
	for _, row := range b.of.rows {
		if x, y := of.cost[row], of.expected[row]; !math.IsNaN(x) && !math.IsNaN(y) {
			cost, expected = cost+x, expected+y
			f.CostOrders++
		}
	}
	if f.CostOrders > 0 {
		f.Cost, f.ExpectedCost = Number(cost), Number(expected)
	}
}

func (b *builder) atBudget(s *sample, drawn []replicate) AtBudget {
	k := b.c.cfg.Budget
	f := s.budget(k, nil)
	a := AtBudget{
		Reviews: k, Reviewed: f.taken, Found: f.frauds, Precision: ratio(float64(f.frauds), float64(f.taken)), Recall: ratio(float64(f.frauds), float64(s.frauds)),
		PrecisionInterval: interval(drawn, func(r *replicate) float64 { return r.precision }),
		RecallInterval:    interval(drawn, func(r *replicate) float64 { return r.recall }),
		Amount:            missing(), AmountPart: missing(),
	}
	if !b.money {
		return a
	}
	caught, all := 0.0, 0.0
	marked := s.reviewed(k, len(b.c.at))
	for i, row := range s.rows {
		if amount := b.c.amount[row]; s.marks[i]&markFraud != 0 && amount == amount {
			all += amount
			if marked[row] {
				caught += amount
			}
		}
	}
	a.Amount, a.AmountPart = Number(caught), ratio(caught, all)
	return a
}

// byDay returns the figures at k, and of each day.
func (b *builder) byDay(s *sample, cfg *Config, drawn []replicate) ([]AtK, []Day) {
	days := make([]Day, len(s.days))
	for i := range s.days {
		d := &s.days[i]
		f := d.top(cfg.Budget, nil, false)
		days[i] = Day{Day: date(d.day * microsOfDay), Orders: len(d.entries), Reviewed: f.taken, Found: f.frauds, Precision: []Number{}, Card: []Number{}}
		for _, entry := range d.entries {
			days[i].Frauds += int(entry & 1)
		}
	}
	for i, n := range s.fraudCards(cfg.TopK[0], len(b.of.keys)) {
		days[i].Cards = n
	}
	all := make([]AtK, 0, len(cfg.TopK))
	for i, k := range cfg.TopK {
		orders, cards := s.precisions(k, nil), s.cardPrecisions(k, ones(len(b.of.keys)))
		for day := range days {
			days[day].Precision = append(days[day].Precision, Number(orders[day]))
			if cards != nil {
				days[day].Card = append(days[day].Card, Number(cards[day]))
			}
		}
		at := AtK{K: k, Precision: mean(orders), Card: mean(cards), Perfect: mean(s.perfect(k, len(b.of.keys)))}
		at.Interval = interval(drawn, func(r *replicate) float64 { return r.atK[i] })
		if cards != nil {
			at.CardInterval = interval(drawn, func(r *replicate) float64 { return r.cardAtK[i] })
		}
		all = append(all, at)
	}
	return all, days
}

// told returns the importance of each input, the largest first.
func (s *shares) told(inputs []string) []Importance {
	all := make([]Importance, 0, len(inputs))
	if s.n == 0 {
		return all
	}
	sum := 0.0
	for _, x := range s.sum {
		sum += x
	}
	for i, name := range inputs {
		all = append(all, Importance{Feature: name, Mean: Number(s.sum[i] / float64(s.n)), Part: ratio(s.sum[i], sum)})
	}
	slices.SortStableFunc(all, func(a, b Importance) int { return cmp.Compare(b.Mean, a.Mean) })
	return all
}
