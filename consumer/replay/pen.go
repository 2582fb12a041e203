package replay

import "sync"

// pen writes rows on a goroutine of its own, so that formatting them does not hold up the step.
type pen struct {
	to   rowWriter
	full chan *rows
	free sync.Pool // of *rows
	done chan struct{}
	mu   sync.Mutex
	err  error // guarded by mu: the first failure; after it rows are dropped
}

// newPen starts to write to a file; nil has nothing written.
func newPen(to rowWriter) *pen {
	p := &pen{to: to, full: make(chan *rows, 4), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *pen) run() {
	defer close(p.done)
	for r := range p.full {
		if p.failed() == nil {
			p.fail(p.to.write(r))
		}
		p.free.Put(r)
	}
}

// blank returns rows to be filled and written.
func (p *pen) blank() *rows {
	r, ok := p.free.Get().(*rows)
	if !ok {
		return new(rows)
	}
	r.ids, r.times, r.values = r.ids[:0], r.times[:0], r.values[:0]
	return r
}

// write hands rows over; they are no longer the caller's.
func (p *pen) write(r *rows) { p.full <- r }

func (p *pen) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *pen) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// close waits until all rows are written and ends the file.
func (p *pen) close() error {
	close(p.full)
	<-p.done
	if err := p.failed(); err != nil || p.to == nil {
		return err
	}
	return p.to.close()
}
