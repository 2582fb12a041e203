//go:build unix

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// apiCallers are of the JSON API, each with an order and a customer of his own. How long each waited is kept apart for those who called beside something.
type apiCallers struct {
	beside atomic.Bool // what may slow them down is under way

	mu     sync.Mutex
	waited map[bool][]time.Duration // :: beside → how long callers waited who had a decision; guarded by mu
	other  map[bool]int             // :: beside → callers who had none; guarded by mu
}

// call has so many call a second while orders are written, and tells the oracle what they had.
func (all *apiCallers) call(ctx context.Context, c *campaign, rate int) {
	all.waited, all.other = map[bool][]time.Duration{}, map[bool]int{}
	var out sync.WaitGroup
	defer out.Wait()
	for i := 0; c.writing(); i++ {
		time.Sleep(time.Second / time.Duration(rate))
		out.Go(func() {
			id, beside, began := fmt.Sprint("call-", i), all.beside.Load(), time.Now()
			body := fmt.Sprintf(`{"order_id":%q,"occurred_at":"2025-01-01T10:%02d:%02dZ","customer_id":"caller-%d","terminal_id":"caller-%d","amount":%d}`, id, i/60%60, i%60, i, i, i%300)
			code, text := c.api.call(ctx, http.MethodPost, "/v1/decisions", body, nil)
			if all.beside.Load() == beside {
				all.note(beside, code, time.Since(began))
			}
			if code == http.StatusOK {
				c.oracle.Told(id, text)
			}
		})
	}
}

// note keeps what a caller had.
func (all *apiCallers) note(beside bool, code int, took time.Duration) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if code != http.StatusOK {
		all.other[beside]++
		return
	}
	all.waited[beside] = append(all.waited[beside], took)
}

// tell logs how long callers waited.
func (all *apiCallers) tell(t *testing.T, beside string) {
	t.Helper()
	all.mu.Lock()
	defer all.mu.Unlock()
	for of, name := range map[bool]string{false: "without", true: "beside"} {
		waited := slices.Sorted(slices.Values(all.waited[of]))
		if len(waited) == 0 {
			continue
		}
		at := func(q float64) time.Duration {
			return waited[int(q*float64(len(waited)-1))].Round(100 * time.Microsecond)
		}
		t.Logf("callers %s %s: %d with a decision, p50=%s p99=%s max=%s; %d without one", name, beside, len(waited), at(0.5), at(0.99), at(1), all.other[of])
	}
}
