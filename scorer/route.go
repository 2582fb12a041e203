package scorer

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// route says which orders a model is for: those that when matches and, of them, a share by entity.
type route struct {
	bundle *Bundle
	away   *AwayError    // of a challenger that could not be loaded now, in the place of bundle
	name   string        // of the model: shares of its versions are the same entities
	dir    string        // of the bundle, as the file names it
	line   int           // of the file
	when   *expr.Program // nil: all orders
	share  float64       // of the entities; 0: all
	entity string        // that is shared out
	keys   []schemas.Path
}

// takes says whether an order is for the route's model. An order that lacks the entity is in no share of it. Its error says that the route's condition could not be
// evaluated.
func (r *route) takes(w *work, order *schemas.Order) (bool, error) {
	if r.when != nil {
		w.in = expr.Input{Fields: order.Fields, At: order.At.UnixMicro()}
		if holds, err := r.when.Holds(&w.in); !holds || err != nil {
			return false, err
		}
	}
	if r.share == 0 {
		return true, nil
	}
	w.key = append(w.key[:0], r.name...)
	for _, path := range r.keys {
		part, ok := order.Fields.At(path).Key()
		if !ok {
			return false, nil
		}
		w.key = strconv.AppendInt(append(w.key, 0), int64(len(part)), 10)
		w.key = append(append(w.key, ':'), part...)
	}
	return fraction(xxhash.Sum64(w.key)) < r.share, nil
}

// fraction makes of a hash a number from 0 to below 1. An entity's is the same in every process and version of a model, so that whoever is in a share is in
// every larger one, and in the same one of the model's next version.
func fraction(hash uint64) float64 { return float64(hash>>11) / (1 << 53) }
