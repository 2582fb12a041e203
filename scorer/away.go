package scorer

import (
	"errors"

	"verdict/schemas"
)

// ErrAway says that what serves a model cannot be reached now, or cannot answer: a Loader's error that wraps it may be gone the next time.
var ErrAway = errors.New("its server is away")

// AwayError is the error of a bundle that is sound as far as its files go, but whose model's server is away.
type AwayError struct {
	Version schemas.Version // the bundle's, without a hash
	Err     error           // wraps ErrAway
}

// Error returns which model it is, and why it is not there.
func (a *AwayError) Error() string { return "model " + a.Version.String() + ": " + a.Err.Error() }

// Unwrap returns the cause.
func (a *AwayError) Unwrap() error { return a.Err }

// Away returns the challengers that are left out since their servers were away when they were loaded; whoever loads the files again tries them again.
func (s *Scorer) Away() []*AwayError {
	var all []*AwayError
	for _, r := range s.now.Load().away {
		all = append(all, r.away)
	}
	return all
}

// leaveAway counts the orders of one call that were for challengers which are away.
func (d *served) leaveAway(w *work, orders []schemas.Order, vectors []schemas.FeatureVector) {
	if d.leftOut == nil {
		return
	}
	for i := range d.away {
		r, n := &d.away[i], 0
		for place := range orders {
			if takes, err := r.takes(w, &orders[place]); takes && err == nil && vectors[place].Values != nil {
				n++
			}
		}
		if n > 0 {
			d.leftOut(r.away.Version, leftAway, n)
		}
	}
}
