package await_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/sync/await"
)

var errAway = errors.New("away")

// want is the model of one caller: how its wait should have ended by now.
type want struct {
	wait    *await.Wait
	flight  *modelFlight
	left    bool
	ended   bool
	aborted bool
	body    string
}

type modelFlight struct {
	id      schemas.OrderID
	content uint64
	callers []*want
}

func (f *modelFlight) waiting() (n int) {
	for _, c := range f.callers {
		if !c.left {
			n++
		}
	}
	return n
}

// Any sequence of calls leaves each caller and the desk as a model without maps, correlation ids or locks has them.
func TestDeskBehavesAsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 6
		desk := await.New(await.Config{Max: most})
		inFlight := map[schemas.OrderID]*modelFlight{}
		var callers []*want
		var unmatched, mismatched uint64
		waiting := func() (n int) {
			for _, f := range inFlight {
				n += f.waiting()
			}
			return n
		}
		end := func(f *modelFlight, aborted bool, body string) {
			delete(inFlight, f.id)
			for _, c := range f.callers {
				c.ended, c.aborted, c.body = true, aborted, body
			}
		}
		live := func(c *want) bool { return inFlight[c.flight.id] == c.flight }
		pick := func(t *rapid.T) *want {
			if len(callers) == 0 {
				t.Skip("nobody came yet")
			}
			return rapid.SampledFrom(callers).Draw(t, "caller")
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				id := schemas.OrderID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "order"))
				content := rapid.Uint64Range(1, 2).Draw(t, "content")
				w, first, err := desk.Join(id, content)
				f := inFlight[id]
				switch {
				case f != nil && f.content != content:
					if !errors.Is(err, await.ErrConflict) {
						t.Fatalf("other content: %v", err)
					}
					return
				case waiting() == most:
					if !errors.Is(err, await.ErrFull) {
						t.Fatalf("full: %v", err)
					}
					return
				case err != nil || first != (f == nil):
					t.Fatalf("first %v, error %v", first, err)
				}
				if first {
					f = &modelFlight{id: id, content: content}
					inFlight[id] = f
				}
				c := &want{wait: w, flight: f}
				f.callers, callers = append(f.callers, c), append(callers, c)
			},
			"resolve": func(t *rapid.T) {
				c := pick(t)
				body := fmt.Sprint(c.flight.id, rapid.Byte().Draw(t, "body"))
				delivered := desk.Resolve(c.wait.Correlation(), await.Reply{OrderID: c.flight.id, Body: []byte(body)})
				if delivered != live(c) {
					t.Fatalf("delivered: %v", delivered)
				}
				if !delivered {
					unmatched++
					return
				}
				end(c.flight, false, body)
			},
			"resolve with another order": func(t *rapid.T) {
				c := pick(t)
				if desk.Resolve(c.wait.Correlation(), await.Reply{OrderID: c.flight.id + "x"}) {
					t.Fatal("delivered")
				}
				if live(c) {
					mismatched++
				} else {
					unmatched++
				}
			},
			"abort": func(t *rapid.T) {
				c := pick(t)
				desk.Abort(c.wait, errAway)
				if live(c) {
					end(c.flight, true, "")
				}
			},
			"leave": func(t *rapid.T) {
				c := pick(t)
				c.wait.Leave()
				if live(c) {
					c.left = true
					if c.flight.waiting() == 0 {
						delete(inFlight, c.flight.id)
					}
				}
			},
			"": func(t *rapid.T) {
				want := await.Stats{Waiting: waiting(), Orders: len(inFlight), Unmatched: unmatched, Mismatched: mismatched}
				if got := desk.Stats(); got != want {
					t.Fatalf("stats %+v, want %+v", got, want)
				}
				for _, c := range callers {
					check(t, c)
				}
			},
		})
	})
}

func check(t *rapid.T, c *want) {
	select {
	case <-c.wait.Done():
		if c.left {
			return // it concerns only who watches
		}
		if !c.ended {
			t.Fatalf("a wait for %s ended by itself", c.flight.id)
		}
		if aborted := c.wait.Err() != nil; aborted != c.aborted || string(c.wait.Reply().Body) != c.body {
			t.Fatalf("order %s: reply %q, error %v", c.flight.id, c.wait.Reply().Body, c.wait.Err())
		}
	default:
		if c.ended && !c.left {
			t.Fatalf("a wait for %s did not end", c.flight.id)
		}
	}
}
