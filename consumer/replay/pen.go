package replay

import "sync"

// pen writes something step by step on a goroutine of its own, so that formatting it does not hold up the next step.
type pen[T any] struct {
	write func(*T) error
	full  chan *T
	free  sync.Pool // of *T
	done  chan struct{}
	mu    sync.Mutex
	err   error // guarded by mu: the first failure; after it nothing is written
}

// newPen starts to write what it is handed by write.
func newPen[T any](write func(*T) error) *pen[T] {
	p := &pen[T]{write: write, full: make(chan *T, 4), done: make(chan struct{})}
	p.free.New = func() any { return new(T) }
	go p.run()
	return p
}

func (p *pen[T]) run() {
	defer close(p.done)
	for one := range p.full {
		if p.failed() == nil {
			p.fail(p.write(one))
		}
		p.free.Put(one)
	}
}

// blank returns one to be filled and handed over. It may have been used before.
func (p *pen[T]) blank() *T {
	return p.free.Get().(*T) //nolint:forcetypeassert // nothing else is put there
}

// hand has one written; it is no longer the caller's.
func (p *pen[T]) hand(one *T) { p.full <- one }

func (p *pen[T]) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *pen[T]) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// close waits until all is written.
func (p *pen[T]) close() error {
	close(p.full)
	<-p.done
	return p.failed()
}
