package backtest

import (
	"maps"
	"slices"
	"time"
)

const (
	microsOfWeek = 7 * microsOfDay
	smallWeek    = 1000 // orders; of two samples as large from one distribution the index in ten bins is near 9 · 2/1000 = 0.02
	maxWeeks     = 1040 // twenty years; orders of further weeks are in no drift
)

// drifts are the sketches of all weeks.
type drifts struct {
	anchor   int64 // a moment at which a week begins, microseconds
	anchored bool
	chosen   bool            // the base is the week that begins there, else the first
	weeks    map[int64]*week // :: weeks since anchor → that week
	last     *week           // the week of the latest row
	number   int64           // and its key
	features int
}

// week is what is kept of one week.
type week struct {
	orders   int
	vectors  int // rows with a vector
	features []sketch
	scores   []sketch
}

func newDrifts(cfg *Config) drifts {
	d := drifts{weeks: make(map[int64]*week), features: len(cfg.Features)}
	switch {
	case !cfg.Base.IsZero():
		d.anchor, d.anchored, d.chosen = dayOf(cfg.Base.UnixMicro())*microsOfDay, true, true
	case !cfg.Since.IsZero():
		d.anchor, d.anchored = dayOf(cfg.Since.UnixMicro())*microsOfDay, true
	}
	return d
}

func (d *drifts) add(r *Row) {
	if !d.anchored {
		d.anchor, d.anchored = dayOf(r.At)*microsOfDay, true
	}
	number := (r.At - d.anchor) / microsOfWeek
	if (r.At-d.anchor)%microsOfWeek < 0 {
		number--
	}
	if d.last == nil || number != d.number {
		w := d.weeks[number]
		if w == nil && len(d.weeks) == maxWeeks {
			return
		}
		if w == nil {
			w = &week{features: make([]sketch, d.features), scores: make([]sketch, len(r.Scores))}
			d.weeks[number] = w
		}
		d.last, d.number = w, number
	}
	w := d.last
	w.orders++
	for i, x := range r.Scores {
		w.scores[i].add(x)
	}
	if r.Vector == nil {
		return
	}
	w.vectors++
	for i, x := range r.Vector {
		w.features[i].add(x)
	}
}

// report returns the drift of all weeks.
func (d *drifts) report(cfg *Config) Drift {
	numbers := slices.Sorted(maps.Keys(d.weeks))
	told := Drift{Base: -1, Weeks: make([]Week, 0, len(numbers)), Features: make([]FeatureDrift, 0, d.features), Scores: make([]FeatureDrift, 0, len(cfg.Candidates))}
	weeks := make([]*week, 0, len(numbers))
	for i, number := range numbers {
		w := d.weeks[number]
		weeks = append(weeks, w)
		told.Weeks = append(told.Weeks, Week{Start: date(d.anchor + number*microsOfWeek), Orders: w.orders, Small: w.orders < smallWeek})
		if d.chosen && number == 0 {
			told.Base = i
		}
	}
	if !d.chosen && len(weeks) > 0 {
		told.Base = 0
	}
	for i, name := range cfg.Features {
		told.Features = append(told.Features, drifted(name, weeks, told, func(w *week) *sketch { return &w.features[i] }))
	}
	for i := range cfg.Candidates {
		told.Scores = append(told.Scores, drifted(cfg.Candidates[i].Name, weeks, told, func(w *week) *sketch { return &w.scores[i] }))
	}
	return told
}

func drifted(name string, weeks []*week, of Drift, sketched func(*week) *sketch) FeatureDrift {
	f := FeatureDrift{Name: name, PSI: make([]Number, len(weeks)), Missing: make([]Number, len(weeks)), Max: missing()}
	for i, w := range weeks {
		s := sketched(w)
		f.Missing[i], f.PSI[i] = ratio(float64(s.missing), float64(s.missing+s.n)), missing()
		if of.Base < 0 {
			continue
		}
		f.PSI[i] = stability(sketched(weeks[of.Base]), s)
		if i != of.Base && !of.Weeks[i].Small && !of.Weeks[of.Base].Small {
			f.Max = larger(f.Max, f.PSI[i])
		}
	}
	return f
}

// larger returns the larger of two figures, either of which may be missing.
func larger(a, b Number) Number {
	if a.Missing() || b > a {
		return b
	}
	return a
}

// date returns a UTC day.
func date(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.DateOnly) }

// mean returns the mean, missing of nothing.
func mean(all []float64) Number {
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return ratio(sum, float64(len(all)))
}
