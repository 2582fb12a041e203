package memstore

import (
	"context"
	"slices"

	"verdict/preprocess"
)

var _ preprocess.Looker = (*Store)(nil)

// Look is preprocess.Looker's.
func (s *Store) Look(ctx context.Context, v preprocess.Visit, see func(*preprocess.Found)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := preprocess.Found{First: v.Arrival, Content: v.Content, Views: make([]preprocess.View, len(v.Asks))}
	ref := &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}
	for j := range v.Asks {
		ask, view := &v.Asks[j], &found.Views[j]
		e := s.entities[ask.Key] // not by way of entity, which makes it younger
		if ask.Marks {
			view.Marks = s.marksFor(e, &v, ask)
			continue
		}
		own := preprocess.Point{Ref: ref, At: v.At, Value: ask.Value}
		if ask.Column == "*" {
			own.Value = 0
		}
		s.lookInto(e, ask, own, view)
	}
	see(&found)
	return nil
}

// lookInto shows a column without what it has of the order, and with the order's own point.
func (s *Store) lookInto(e *entity, ask *preprocess.Ask, own preprocess.Point, view *preprocess.View) {
	var points []preprocess.Point
	adds := ask.Adds == preprocess.AddNow && ask.From < own.At && own.At <= ask.To
	if c := e.known(ask); c != nil && c.merged != nil {
		points = c.merged.Between(ask.From, ask.To)
		view.Cells, view.Sightings = c.merged.Cells, c.merged.Sightings
		isPoint := slices.ContainsFunc(c.merged.Points(), func(p preprocess.Point) bool { return p.ID == own.ID })
		if o := s.orders.byID[own.ID]; o != nil && !isPoint && c.merged.Holds(o.at) {
			adds = false
		}
	} else if c != nil {
		points = c.exact.Between(ask.From, ask.To)
	}
	view.Points = slices.DeleteFunc(slices.Clone(points), func(p preprocess.Point) bool { return p.ID == own.ID })
	if adds {
		at := 0
		for at < len(view.Points) && view.Points[at].Before(&own) {
			at++
		}
		view.Points = slices.Insert(view.Points, at, own)
	}
}

// known returns the column that is asked for; nil when there is none, or no entity.
func (e *entity) known(ask *preprocess.Ask) *column {
	if e == nil {
		return nil
	}
	return e.column(ask, false)
}

// marksFor returns the marks asked for, with those of a label that waits for the order.
func (s *Store) marksFor(e *entity, v *preprocess.Visit, ask *preprocess.Ask) []preprocess.Mark {
	var marks []preprocess.Mark
	if e != nil {
		marks = slices.Clone(e.marks)
	}
	if w := s.waiting[v.ID]; w != nil && w.fraud && slices.Contains(v.Labelled, ask.Key) {
		for _, version := range w.all {
			m := preprocess.Mark{At: v.At, ID: v.ID, Known: version.known, Fraud: version.fraud}
			if at, known := slices.BinarySearchFunc(marks, m, preprocess.CompareMarks); !known {
				marks = slices.Insert(marks, at, m)
			}
		}
	}
	from := preprocess.MarkAfter(marks, ask.From)
	return marks[from:max(from, preprocess.MarkAfter(marks, ask.To))]
}
