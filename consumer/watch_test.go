package consumer_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// polls is a transport that gives what it is told, poll by poll.
type polls struct {
	poll    func(n int) (*consumer.Batch, error)
	publish func(n int) error

	polled, published int
}

func (p *polls) Poll(context.Context) (*consumer.Batch, error) {
	p.polled++
	return p.poll(p.polled)
}

func (p *polls) Publish(_ context.Context, messages []consumer.Message) error {
	if len(messages) == 0 { // after a poll without records
		return nil
	}
	p.published++
	return p.publish(p.published)
}

func (p *polls) Commit(context.Context, *consumer.Batch) error { return nil }

// watched runs a worker over a transport, and calls look each minute until it ends.
func watched(t *testing.T, p *polls, look func(minute int, live error)) {
	t.Helper()
	set, err := preprocess.Parse("s.yaml", []byte("name: s\nversion: 1\nevent: {id: order_id, time: occurred_at}\nfeatures:\n  amount: {value: amount}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{MaxBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New(memstore.Config{})
	w, err := consumer.New(consumer.Config{
		Transport: p, Orders: codec, Binding: set.Binding(), Extractor: preprocess.NewExtractor(set, store, 0), Store: store, Ledger: consumer.NewMemLedger(0), Lane: "sync",
	})
	if err != nil {
		t.Fatal(err)
	}
	watch := &consumer.Watch{After: 5 * time.Minute}
	watch.Add(w)
	if err := watch.Live(); err != nil {
		t.Errorf("before it runs: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for minute := 1; ; minute++ {
		select {
		case <-ended:
			return
		case <-time.After(time.Minute):
			look(minute, watch.Live())
		}
	}
}

// broken is a batch whose one record becomes a dead letter, so that there is something to publish.
func broken() (*consumer.Batch, error) {
	return &consumer.Batch{Records: []consumer.Record{{Value: []byte("{")}}}, nil
}

func TestALaneWithoutOrdersOrInAnOutageIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := 0
		watched(t, &polls{
			poll: func(n int) (*consumer.Batch, error) {
				switch {
				case n < 100:
					time.Sleep(10 * time.Second) // virtual: nothing came
					return &consumer.Batch{}, nil
				case n == 100:
					return broken()
				default:
					return nil, io.EOF
				}
			},
			publish: func(n int) error {
				if away = n; n < 200 {
					return errors.New("the broker is away")
				}
				return nil
			},
		}, func(minute int, live error) {
			if live != nil {
				t.Errorf("after %d minutes: %v", minute, live)
			}
		})
		if away != 200 {
			t.Errorf("%d tries", away)
		}
	})
}

func TestALaneThatHangsIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := 0
		watched(t, &polls{
			poll: func(n int) (*consumer.Batch, error) {
				if n > 1 {
					return nil, io.EOF
				}
				return broken()
			},
			publish: func(int) error {
				time.Sleep(20 * time.Minute) // virtual, and whatever its context says
				return nil
			},
		}, func(minute int, live error) {
			if dead := live != nil; dead != (minute > 5) && minute < 20 {
				t.Errorf("after %d minutes: %v", minute, live)
			}
			if live != nil {
				found++
				if !strings.Contains(live.Error(), "lane sync has made no progress for") {
					t.Errorf("it says %v", live)
				}
			}
		})
		if found == 0 {
			t.Error("nobody saw it")
		}
	})
}
