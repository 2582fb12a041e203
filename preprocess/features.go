package preprocess

import (
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// FeatureSet is one version of the preprocessing: what is computed of each order, in which order. It is read from a file (Load) and never changed.
type FeatureSet struct {
	layout   *schemas.Layout
	binding  schemas.Binding
	groups   []group   // the entities, those of the same fields as one
	entities []entity  // as the file names them
	features []feature // in the order of the layout
	fields   []schemas.FieldUse
	keep     int64 // microseconds
}

// Layout returns the names of the features in the vector's order.
func (f *FeatureSet) Layout() *schemas.Layout { return f.layout }

// Binding returns where the id and the time of an order lie.
func (f *FeatureSet) Binding() schemas.Binding { return f.binding }

// Version returns the set's name and version, and the hash of what it computes: comments, spacing, quoting and the order of keys have no part in it.
func (f *FeatureSet) Version() schemas.Version { return f.layout.Features }

// Fields returns every field of the order that the set names, in the order of its lines.
func (f *FeatureSet) Fields() []schemas.FieldUse { return f.fields }

// Keep returns how far back, at most, a feature looks: the longest window with its delay.
func (f *FeatureSet) Keep() time.Duration { return time.Duration(f.keep) * time.Microsecond }

// feature is how one value of the vector comes about. Exactly one of value, expr and window is set.
type feature struct {
	name     string
	value    *reading
	expr     *expr.Program
	window   *window
	history  bool    // needs the store: a window, or an expr over such a feature
	fallback float64 // what default gives in place of missing; NaN without one
}

// reading is how a field is made a number.
type reading struct {
	path   schemas.Path
	codes  map[string]float64 // encode map: the string's number
	other  float64            // encode map: of every other string; NaN is missing
	hash   uint64             // encode hash: how many buckets; 0 is none
	coding string             // canonical text of the encoding
}

// aggregate says what a window's orders are made into.
type aggregate uint8

// The aggregates.
const (
	count aggregate = iota + 1
	sum
	mean
	minimum
	maximum
	stddev
	distinct
	last
	sinceLast
	sinceFirst
	decayedSum
	decayedCount
	frauds
	fraudRate
	lastFraud
)

// ofLabels says whether the aggregate is over labels.
func (a aggregate) ofLabels() bool { return a == frauds || a == fraudRate || a == lastFraud }

// ofOrders says whether the aggregate needs of its orders only that they were.
func (a aggregate) ofOrders() bool {
	return a == count || a == sinceLast || a == sinceFirst || a == decayedCount || a.ofLabels()
}

// window is a feature over the points of an entity's orders.
type window struct {
	what       aggregate
	group      int   // which of FeatureSet.groups
	ask        int   // which of the group's columns
	codes      int   // which of the group's columns tells of each order for which label it counts (see column.coded); -1: all count
	width      int64 // microseconds
	delay      int64 // microseconds
	halfLife   int64 // microseconds, of the decayed ones
	resolution int64 // microseconds; 0 is exact
	others     bool  // exclude_current: without the order itself
}

// marks says whether the window asks for labels.
func (w *window) marks() bool { return w.what.ofLabels() || w.codes >= 0 }

// group is an entity as the store knows it: the fields that make its key.
type group struct {
	paths   []schemas.Path
	prefix  string // of its keys
	columns []column
	marks   *span // of the entity's labels; nil when no feature wants them
}

// span is what the windows over one column take up, before an order's time: (t-back, t-near]. In microseconds.
type span struct{ back, near int64 }

// column is what is kept of each order per entity.
type column struct {
	span
	name  string
	from  origin
	path  schemas.Path  // fromField, fromDigest
	place int           // fromFeature: in the vector
	where *expr.Program // which orders are kept; nil: all
	coded bool          // where asks for the label: an order is kept if it counts with any, and the value of fromNothing is for which
	merge *Merging      // nil is exact
	later bool          // known only when the order's features are
}

// origin is where the value of a column comes from.
type origin uint8

const (
	fromNothing origin = iota // the order alone
	fromField
	fromFeature
	fromDigest // of a field of any kind: only whether it is the same matters
)

// For which label an order counts, as coded columns keep it.
const (
	ifFraud   = 1
	ifGenuine = 2
)

// widen makes the span take up (t-delay-width, t-delay] too.
func (s *span) widen(width, delay int64) {
	s.back, s.near = max(s.back, width+delay), min(s.near, delay)
}
