package httpapi_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// Ten thousand callers go before their deadline. Each frees its place at once; a goroutine or a timer that went on would hold the bubble's clock or its end.
func TestCallersWhoGoFreeTheirPlacesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 10_000
		w := newWorld()
		w.scorer = silent
		w.desk = await.New(await.Config{Max: callers})
		w.cfg.Desk, w.cfg.MaxQueue = w.desk, time.Hour
		api := httpapi.New(w.cfg)
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				if answer := callContext(ctx, api, http.MethodPost, "/v1/decisions", orderJSON("o"+strconv.Itoa(i), 5), "Prefer: wait=10"); answer.Body.Len() > 0 {
					t.Errorf("it was answered: %d %s", answer.Code, answer.Body)
				}
			})
		}
		synctest.Wait()
		if s := w.desk.Stats(); s.Waiting != callers {
			t.Fatalf("%d wait", s.Waiting)
		}
		at := time.Now()
		leave()
		all.Wait()
		wantNobodyWaiting(t, w.desk)
		if took := time.Since(at); took != 0 {
			t.Errorf("it took %v", took)
		}
		if got := w.metric(t, "verdict_http_waits_total", "outcome=gone"); got != callers {
			t.Errorf("%v have gone", got)
		}
	})
}
