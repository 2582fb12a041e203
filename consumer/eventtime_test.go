package consumer_test

import (
	"strings"
	"testing"
	"time"

	"verdict/consumer"
	"verdict/schemas"
)

func TestAnOrderFarFromItsRecordsTimeIsADeadLetterAndCountsNowhere(t *testing.T) {
	const day = 24 * time.Hour
	at := time.Date(2026, 11, 1, 0, 1, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		limits   consumer.EventTimes
		recorded time.Time
		refused  string // the end of the dead letter's detail; "": the order is decided
	}{
		"at both limits":             {consumer.EventTimes{MaxAge: time.Nanosecond, MaxAhead: time.Nanosecond}, at, ""},
		"as far ahead as may be":     {consumer.EventTimes{MaxAhead: day}, at.Add(-day), ""},
		"further ahead":              {consumer.EventTimes{MaxAhead: day}, at.Add(-day - time.Millisecond), "lies more than 1d ahead of its record's time"},
		"as old as may be":           {consumer.EventTimes{MaxAge: 90 * time.Minute}, at.Add(90 * time.Minute), ""},
		"older":                      {consumer.EventTimes{MaxAge: 90 * time.Minute}, at.Add(90*time.Minute + time.Millisecond), "lies more than 1h30m before its record's time"},
		"older, in seconds":          {consumer.EventTimes{MaxAge: 10 * time.Second}, at.Add(time.Hour), "lies more than 10s before its record's time"},
		"old, and no limit for that": {consumer.EventTimes{MaxAhead: day}, at.AddDate(50, 0, 0), ""},
		"ahead, and no limit":        {consumer.EventTimes{MaxAge: day}, at.AddDate(-50, 0, 0), ""},
		"no limits":                  {consumer.EventTimes{}, at.AddDate(-50, 0, 0), ""},
		"a record of a file":         {consumer.EventTimes{MaxAge: day, MaxAhead: day}, time.UnixMilli(0), ""},
		"a record without a time":    {consumer.EventTimes{MaxAge: day, MaxAhead: day}, time.UnixMilli(-1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.events = c.limits
			w.order("held", "c1", 50, 1).Time = c.recorded
			w.order("next", "c1", 7, 1).Time = at
			w.run()
			letters := w.transport.written(consumer.DeadLetters)
			if c.refused == "" {
				if len(letters) != 0 || len(w.decisions()) != 2 {
					t.Fatalf("%d dead letters, %d decisions", len(letters), len(w.decisions()))
				}
				return
			}
			if len(letters) != 1 || header(letters[0], "verdict.error.code") != "timestamp_range" || header(letters[0], "verdict.error.detail") != "the order's event time "+c.refused {
				t.Fatalf("%+v", letters)
			}
			if got := w.vectors()["next"]; got != "[amount orders total frauds] [7 1 7 0]" {
				t.Fatalf("the refused order was counted: %s", got)
			}
		})
	}
}

func TestAWaitingCallerIsToldThatItsOrderIsOutsideTheEventTimes(t *testing.T) {
	w := newWorld(t)
	w.events = consumer.EventTimes{MaxAhead: time.Hour}
	asking := w.order("a", "c1", 50, 1)
	asking.Time = asking.Time.AddDate(-1, 0, 0)
	asking.Headers = replyHeaders("replies", []byte("corr"), 0)
	w.run()
	replies := w.transport.written(consumer.Replies)
	if len(replies) != 1 || header(replies[0], "verdict.error.code") != "timestamp_range" || !strings.Contains(header(replies[0], "verdict.error.detail"), "1h") {
		t.Fatalf("%+v", replies)
	}
}

func TestALateCopyOfADecidedOrderGetsItsFirstDecisionHoweverOld(t *testing.T) {
	for _, size := range []int{1, 2} {
		w := newWorld(t)
		w.events = consumer.EventTimes{MaxAge: 60 * 24 * time.Hour}
		w.transport.size = size
		w.order("a", "c1", 50, 1)
		again := w.order("a", "c1", 50, 1)
		again.Time = again.Time.AddDate(1, 0, 0)
		w.run()
		copies := w.transport.written(consumer.Decisions)
		if len(copies) != 2 || string(copies[0].Value) != string(copies[1].Value) || header(copies[1], "verdict.repeat") != "true" {
			t.Fatalf("batches of %d: %d decisions, %d dead letters", size, len(copies), len(w.transport.written(consumer.DeadLetters)))
		}
	}
}

// An order of next year would make all that its customer did look old enough to be dropped.
func TestAnOrderOfTheFutureTakesNothingFromOtherWindows(t *testing.T) {
	w := newWorld(t)
	w.events = consumer.EventTimes{MaxAhead: 24 * time.Hour}
	for i := range 40 {
		w.order("before"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "c1", 1, i)
	}
	future := w.record(consumer.Orders, "orders", `{"order_id":"future","occurred_at":"2199-01-01T00:00:00Z","customer_id":"c1","amount":1}`)
	w.order("after", "c1", 1, 41)
	w.run()
	if got := w.vectors()["after"]; got != "[amount orders total frauds] [1 41 41 0]" {
		t.Fatal(got)
	}
	if letters := w.transport.written(consumer.DeadLetters); len(letters) != 1 || string(letters[0].Value) != string(future.Value) {
		t.Fatalf("%+v", letters)
	}
}

func TestARefusedTimeIsNamedByItsPlace(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	err := consumer.EventTimes{MaxAhead: time.Hour}.Check(at, at.Add(-2*time.Hour), schemas.ParsePath("payment.created_at"))
	bad, ok := err.(*schemas.Malformed) //nolint:errorlint // it is the error itself that is asked for
	if !ok || len(bad.Faults) != 1 || bad.Faults[0].Pointer != "/payment/created_at" {
		t.Fatalf("%#v", err)
	}
}
