package kafka_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/consumer/kafka"
)

// A client whose broker is frozen does not look at its context. Probes go on all the same, each with its answer within a second, and none adds to what is under way.
func TestProbesEndWhateverTheClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asking, asked atomic.Int32
		thaw := make(chan struct{})
		p := kafka.NewProbe(func(context.Context) error {
			asked.Add(1)
			if asking.Add(1) > 1 {
				t.Error("two questions at a time")
			}
			defer asking.Add(-1)
			<-thaw
			return nil
		})
		for range 40 {
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					at := time.Now()
					if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no broker has answered for") {
						t.Errorf("it says %v", err)
					}
					if took := time.Since(at); took >= time.Second {
						t.Errorf("it took %v", took)
					}
				})
			}
			all.Wait()
			time.Sleep(time.Second) // virtual
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%d questions", n)
		}
		close(thaw)
		synctest.Wait()
		if err := p.Ready(t.Context()); err != nil {
			t.Errorf("after the thaw: %v", err)
		}
	})
}

func TestAProbeSaysWhatTheClientSays(t *testing.T) {
	away := errors.New("connection refused")
	if err := kafka.NewProbe(func(context.Context) error { return away }).Ready(t.Context()); !errors.Is(err, away) {
		t.Errorf("it says %v", err)
	}
}

func TestAProbeHeedsItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		at := time.Now()
		err := kafka.NewProbe(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }).Ready(ctx)
		if took := time.Since(at); err == nil || took != 100*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Minute) // virtual: the question ends too
	})
}
