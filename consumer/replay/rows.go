package replay

import (
	"fmt"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// rows are feature vectors on their way to a file. They are copies: the extractor uses its own again.
type rows struct {
	ids    []schemas.OrderID
	times  []int64   // event times, microseconds since 1970
	values []float64 // one vector after the other
	width  int       // values a vector
}

// take copies the vectors of the orders from since on, in place of what was there; a repeat of an order has no second row. It returns how many rows it took.
func (r *rows) take(orders []preprocess.Arrived, extracted []preprocess.Extracted, since time.Time) int64 {
	r.ids, r.times, r.values = r.ids[:0], r.times[:0], r.values[:0]
	for i := range orders {
		if extracted[i].Repeat || orders[i].Order.At.Before(since) {
			continue
		}
		r.ids = append(r.ids, orders[i].Order.ID)
		r.times = append(r.times, orders[i].Order.At.UnixMicro())
		r.width = len(extracted[i].Vector.Values)
		r.values = append(r.values, extracted[i].Vector.Values...)
	}
	return int64(len(r.ids))
}

// vector returns the values of the row at place i.
func (r *rows) vector(i int) []float64 { return r.values[i*r.width : (i+1)*r.width] }

// rowWriter writes rows to a file of one format. One goroutine uses it.
type rowWriter interface {
	write(*rows) error
	close() error // after the last row
}

// free says whether no feature has the name of a column that a file has already.
func free(layout *schemas.Layout, taken []string) error {
	for _, name := range taken {
		if _, clash := layout.Index(name); clash {
			return fmt.Errorf("%w the file: it has a column %q already", ErrFeatures, name)
		}
	}
	return nil
}
