package storetest

import (
	"cmp"
	"slices"

	"verdict/preprocess"
	"verdict/schemas"
)

// model is the contract once more, by brute force: it keeps everything and looks at all of it.
type model struct {
	held   map[schemas.OrderID]*preprocess.Visit // :: id → the visit that holds it
	marked map[schemas.OrderID][]string          // :: id → the entities under which its labels are kept
	points []modelPoint
	labels []schemas.Label
}

type modelPoint struct {
	preprocess.Point

	key, column string
}

func newModel() *model {
	return &model{held: make(map[schemas.OrderID]*preprocess.Visit), marked: make(map[schemas.OrderID][]string)}
}

func (m *model) exchange(visits []preprocess.Visit) []preprocess.Found {
	out := make([]preprocess.Found, len(visits))
	for i := range visits {
		out[i] = m.visit(&visits[i])
	}
	return out
}

func (m *model) visit(v *preprocess.Visit) preprocess.Found {
	again := m.held[v.ID] != nil
	if !again {
		m.held[v.ID] = v
	}
	holder := m.held[v.ID]
	if holder.Arrival == v.Arrival {
		m.marked[v.ID] = append(m.marked[v.ID], v.Labelled...)
	}
	found := preprocess.Found{First: holder.Arrival, Content: holder.Content, Again: again, Views: make([]preprocess.View, len(v.Asks))}
	for i, a := range v.Asks {
		if a.Marks {
			found.Views[i].Marks = m.marks(a)
			continue
		}
		if holder.Arrival == v.Arrival && a.Adds == preprocess.AddNow {
			m.add(a, v)
		}
		found.Views[i].Points = m.pointsOf(a)
	}
	for _, a := range v.Asks {
		if holder.Arrival == v.Arrival && a.Adds == preprocess.AddSeen && !a.Marks {
			m.add(a, v)
		}
	}
	return found
}

func (m *model) add(a preprocess.Ask, v *preprocess.Visit) {
	for _, p := range m.points {
		if p.ID == v.ID && p.key == a.Key && p.column == a.Column {
			return
		}
	}
	value := a.Value
	if a.Column == "*" {
		value = 0
	}
	m.points = append(m.points, modelPoint{preprocess.Point{At: v.At, Value: value, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}, a.Key, a.Column})
}

func (m *model) pointsOf(a preprocess.Ask) []preprocess.Point {
	var out []preprocess.Point
	for _, p := range m.points {
		if p.key == a.Key && p.column == a.Column && p.At > a.From && p.At <= a.To {
			out = append(out, p.Point)
		}
	}
	slices.SortFunc(out, func(a, b preprocess.Point) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (m *model) marks(a preprocess.Ask) []preprocess.Mark {
	var out []preprocess.Mark
	for _, l := range m.labels {
		if slices.Contains(m.marked[l.ID], a.Key) && m.everFraud(l.ID) {
			if at := m.held[l.ID].At; at > a.From && at <= a.To {
				out = append(out, preprocess.Mark{At: at, ID: l.ID, Known: l.KnownAt.UnixMicro(), Fraud: l.Fraud})
			}
		}
	}
	slices.SortFunc(out, func(a, b preprocess.Mark) int {
		fraud := 0
		if a.Fraud != b.Fraud && b.Fraud {
			fraud = -1
		} else if a.Fraud != b.Fraud {
			fraud = 1
		}
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Known, b.Known), fraud)
	})
	return slices.Compact(out)
}

func (m *model) everFraud(id schemas.OrderID) bool {
	return slices.ContainsFunc(m.labels, func(l schemas.Label) bool { return l.ID == id && l.Fraud })
}

// withoutInnocent drops marks of orders never marked fraud, which a store may keep or not.
func withoutInnocent(found []preprocess.Found) []preprocess.Found {
	for i := range found {
		for j := range found[i].Views {
			view := &found[i].Views[j]
			fraud := make(map[schemas.OrderID]bool)
			for _, mk := range view.Marks {
				fraud[mk.ID] = fraud[mk.ID] || mk.Fraud
			}
			view.Marks = slices.DeleteFunc(slices.Clone(view.Marks), func(mk preprocess.Mark) bool { return !fraud[mk.ID] })
		}
	}
	return found
}
