package memstore

import (
	"slices"
	"strings"

	"verdict/preprocess"
	"verdict/schemas"
)

// order is the visit that holds an id.
type order struct {
	*preprocess.Ref // shared with its points, which may outlive it

	at       int64
	content  uint64
	seen     int64     // the newest event time of all when it came
	labelled []string  // keys of the entities under which its labels are kept
	labels   *versions // nil without
}

// orders holds the ids and forgets them in the order in which they came.
type orders struct {
	byID  map[schemas.OrderID]*order
	slabs [][]order // all orders, in the order of coming; the first ones of slabs[0] may be gone
	gone  int       // how many of slabs[0]
	refs  []preprocess.Ref
	ids   strings.Builder // copies of ids, so that an id does not keep the whole order alive that it was cut out of
	keys  []string        // room for labelled
}

// Sizes of what is allocated at once: enough that no allocation shows beside the work on so many orders.
const (
	slabOrders = 512
	slabBytes  = 16 << 10
	slabKeys   = 512
)

// hold returns the order that holds the visit's id, and whether that is this visit, now.
func (s *orders) hold(v *preprocess.Visit, newest int64) (o *order, first bool) {
	if o := s.byID[v.ID]; o != nil {
		return o, false
	}
	last := len(s.slabs) - 1
	if last < 0 || len(s.slabs[last]) == cap(s.slabs[last]) {
		s.slabs = append(s.slabs, make([]order, 0, slabOrders))
		last++
	}
	if len(s.refs) == cap(s.refs) {
		s.refs = make([]preprocess.Ref, 0, slabOrders)
	}
	s.refs = append(s.refs, preprocess.Ref{ID: s.copyID(v.ID), Arrival: v.Arrival})
	s.slabs[last] = append(s.slabs[last], order{Ref: &s.refs[len(s.refs)-1], at: v.At, content: v.Content, seen: newest})
	o = &s.slabs[last][len(s.slabs[last])-1]
	s.byID[o.ID] = o
	return o, true
}

// copyID copies into a block. The block is never grown, so strings that lie in it stay where they are.
func (s *orders) copyID(id schemas.OrderID) schemas.OrderID {
	if s.ids.Cap()-s.ids.Len() < len(id) {
		s.ids = strings.Builder{}
		s.ids.Grow(max(slabBytes, len(id)))
	}
	at := s.ids.Len()
	s.ids.WriteString(string(id))
	return schemas.OrderID(s.ids.String()[at:])
}

// expire forgets the orders that came when time was older than keep before newest.
func (s *orders) expire(newest, keep int64) {
	for len(s.slabs) > 0 {
		slab := s.slabs[0]
		if s.gone == len(slab) {
			if len(slab) < cap(slab) {
				return
			}
			s.slabs[0] = nil
			s.slabs, s.gone = s.slabs[1:], 0
			continue
		}
		o := &slab[s.gone]
		if newest-o.seen <= keep {
			return
		}
		delete(s.byID, o.ID)
		*o = order{}
		s.gone++
	}
}

// versions are all that was said of one order.
type versions struct {
	all   []version
	fraud bool  // one of them says so
	until int64 // when waiting: the event time at which they came, or the latest at which they were known
}

type version struct {
	known int64 // microseconds
	fraud bool
}

func (vs *versions) add(v version) {
	vs.fraud = vs.fraud || v.fraud
	if !slices.Contains(vs.all, v) {
		vs.all = append(vs.all, v)
	}
}

// learn keeps a label with its order, or lets it wait for the order.
func (s *Store) learn(l *schemas.Label) {
	v := version{known: l.KnownAt.UnixMicro(), fraud: l.Fraud}
	if o := s.orders.byID[l.ID]; o != nil {
		if o.labels == nil {
			o.labels = new(versions)
		}
		o.labels.add(v)
		s.mark(o)
		return
	}
	w := s.waiting[l.ID]
	if w == nil {
		s.dropWaiting()
		w = new(versions)
		s.waiting[schemas.OrderID(strings.Clone(string(l.ID)))] = w
	}
	w.add(v)
	w.until = max(w.until, s.newest, v.known)
}

// label keeps the entities of an order's labels, and hands over what waited for it. A later feature set may ask for more entities than the first did.
func (s *Store) label(o *order, v *preprocess.Visit, first bool) {
	if first && len(s.waiting) > 0 {
		if w := s.waiting[o.ID]; w != nil {
			o.labels = w
			delete(s.waiting, o.ID)
		}
	}
	more := false
	for _, key := range v.Labelled {
		if !slices.Contains(o.labelled, key) {
			o.labelled = s.orders.withKey(o.labelled, s.keyOf(v, key))
			more = true
		}
	}
	if more {
		s.mark(o)
	}
}

// withKey appends a key in a block shared by many orders.
func (s *orders) withKey(keys []string, key string) []string {
	n := len(keys) + 1
	if cap(s.keys)-len(s.keys) < n {
		s.keys = make([]string, 0, max(slabKeys, n))
	}
	at := len(s.keys)
	s.keys = append(append(s.keys, keys...), key)
	return s.keys[at : at+n : at+n]
}

// mark puts an order's labels under its entities, once one of them says fraud: until then they say what is said of every order. All versions are put
// there at that point, since an earlier "not fraud" may be the later one by Known.
func (s *Store) mark(o *order) {
	if o.labels == nil || !o.labels.fraud {
		return
	}
	for _, key := range o.labelled {
		e := s.entity(key, true)
		for _, v := range o.labels.all {
			e.mark(preprocess.Mark{At: o.at, ID: o.ID, Known: v.known, Fraud: v.fraud})
		}
	}
}

// minPatience is how many labels may wait before it is worth looking for those that wait in vain.
const minPatience = 1 << 12

// dropWaiting forgets labels whose order did not come while it could have been of use, each time that twice as many wait as were left the last time.
func (s *Store) dropWaiting() {
	if len(s.waiting) < s.patience {
		return
	}
	for id, w := range s.waiting {
		if s.newest-w.until > s.keep {
			delete(s.waiting, id)
		}
	}
	s.patience = max(minPatience, 2*len(s.waiting))
}
