package replay

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
)

// mergeRun is how many records of a merge are handed on at a time.
const mergeRun = 1000

// merge reads several parts (files, partitions of topics) as one, by the event times of their orders; of one time those of the part of the lower number come
// first. Within a part nothing changes its place. What a part takes is what its source reads ahead, so memory is bounded by the number that is open.
type merge struct {
	heads   parts             // whose next record is known, as a heap by that record
	hungry  []*part           // open, whose next record is yet to be read
	waiting []*part           // to be opened when the merge has come to their first record, the first of them at the end
	begin   func(*part) error // opens one that waited
	ended   func(*part)       // is told of one that is read to its end
}

// part is one of what is merged.
type part struct {
	number int32
	at     int64   // event time of its next record
	source *source // nil: it waits
	items  []item  // its next records
}

// before says whether the next record of p comes before that of q.
func (p *part) before(q *part) bool { return p.at < q.at || p.at == q.at && p.number < q.number }

// parts are a heap by their next records.
type parts []*part

func (p *parts) Len() int           { return len(*p) }
func (p *parts) Swap(i, j int)      { (*p)[i], (*p)[j] = (*p)[j], (*p)[i] }
func (p *parts) Less(i, j int) bool { return (*p)[i].before((*p)[j]) }

// Push adds a part.
func (p *parts) Push(x any) { *p = append(*p, x.(*part)) } //nolint:forcetypeassert // nothing else is pushed

// Pop takes the last part.
func (p *parts) Pop() any {
	last := len(*p) - 1
	one := (*p)[last]
	*p = (*p)[:last]
	return one
}

// time returns the event time by which an item is merged; what is no order goes before all others of its part's next.
func (it *item) time() int64 {
	if it.bad != nil {
		return math.MinInt64
	}
	return it.at.UnixMicro()
}

// next merges the next records.
func (m *merge) next(ctx context.Context) ([]item, error) {
	out := make([]item, 0, mergeRun)
	for len(out) < mergeRun {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		if len(m.heads) == 0 {
			break
		}
		out = m.take(out)
	}
	if len(out) == 0 {
		return nil, io.EOF
	}
	return out, nil
}

// fill waits until the next record of each part is known, or that it has none, and opens those that the merge has come to. What is known when ctx ends stays so.
func (m *merge) fill(ctx context.Context) error {
	for {
		for last, p := range slices.Backward(m.hungry) {
			items, err := p.source.next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				m.ended(p)
				p.source.close()
			case err != nil:
				return err
			default:
				p.items, p.at = items, items[0].time()
				heap.Push(&m.heads, p)
			}
			m.hungry = m.hungry[:last]
		}
		w := m.first()
		if w == nil || len(m.heads) > 0 && m.heads[0].before(w) {
			return nil
		}
		if err := m.begin(w); err != nil {
			return err
		}
		m.waiting, m.hungry = m.waiting[:len(m.waiting)-1], append(m.hungry, w)
	}
}

// first returns the first of the parts that wait, nil if none does.
func (m *merge) first() *part {
	if len(m.waiting) == 0 {
		return nil
	}
	return m.waiting[len(m.waiting)-1]
}

// take moves records of the part whose next is the first to out: as many as lie before the next of every other part.
func (m *merge) take(out []item) []item {
	p, rival := m.heads[0], m.first()
	for i := 1; i < min(len(m.heads), 3); i++ { // the second of a heap is one of these
		if rival == nil || m.heads[i].before(rival) {
			rival = m.heads[i]
		}
	}
	n := 1
	for ; n < len(p.items); n++ {
		if p.at = p.items[n].time(); len(out)+n == mergeRun || rival != nil && rival.before(p) {
			break
		}
	}
	for i := range n {
		p.items[i].file = p.number
	}
	out = append(out, p.items[:n]...)
	if p.items = p.items[n:]; len(p.items) > 0 {
		heap.Fix(&m.heads, 0)
		return out
	}
	heap.Pop(&m.heads)
	m.hungry = append(m.hungry, p)
	return out
}

// reading returns the parts that are open.
func (m *merge) reading() iter.Seq[*part] {
	return func(yield func(*part) bool) {
		for _, open := range [][]*part{m.heads, m.hungry} {
			for _, p := range open {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// close closes the parts that are open.
func (m *merge) close() {
	for p := range m.reading() {
		p.source.close()
	}
}
