package bench_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/cmd/verdict/internal/bench"
	"verdict/schemas"
)

func TestOrdersGoOutUnderFreshIDsAtTheTimeOfSending(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 5_000_000, time.UTC)
	for name, test := range map[string]struct{ text, id, at, want string }{
		"strings":         {`{"order_id":"1","amount":75.810,"occurred_at":"2018-01-01T00:00:00Z"}`, "order_id", "occurred_at", `{"order_id":"ID","amount":75.810,"occurred_at":"2026-11-23T10:00:00.005Z"}`},
		"the time first":  {`{ "t" : "x" , "i" : "1" }`, "i", "t", `{ "t" : "2026-11-23T10:00:00.005Z" , "i" : "ID" }`},
		"numbers":         {`{"id":17,"at":1500000000000}`, "id", "at", `{"id":ID,"at":1795428000005}`},
		"nested":          {`{"a":{"id":"no","b":{"id":"1"}},"id":"no","at":"x"}`, "a.b.id", "at", `{"a":{"id":"no","b":{"id":"ID"}},"id":"no","at":"2026-11-23T10:00:00.005Z"}`},
		"escaped name":    {`{"\u0069d":"1","at":1}`, "id", "at", `{"\u0069d":"ID","at":1795428000005}`},
		"times are kept":  {`{"id":"1","at":"2018-01-01"}`, "id", "", `{"id":"ID","at":"2018-01-01"}`},
		"beyond an array": {`{"list":[{"id":"no"}],"id":"1","at":0}`, "id", "at", `{"list":[{"id":"no"}],"id":"ID","at":1795428000005}`},
	} {
		t.Run(name, func(t *testing.T) {
			orders := bench.NewOrders(bench.OrdersConfig{ID: schemas.ParsePath(test.id), Time: schemas.ParsePath(test.at), KeepTimes: test.at == ""})
			if err := orders.Add([]byte(test.text)); err != nil {
				t.Fatal(err)
			}
			seen := make(map[string]bool)
			var order bench.Order
			for n := range int64(3) {
				orders.Make(&order, n, now)
				if seen[string(order.ID)] {
					t.Errorf("the id %s twice", order.ID)
				}
				seen[string(order.ID)] = true
				if diff := cmp.Diff(strings.ReplaceAll(test.want, "ID", string(order.ID)), string(order.Body)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestOrdersThatCannotGetAFreshIDAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"at":1}`:              "the id: no field id",
		`{"id":null,"at":1}`:    "the id: id is neither a string nor a number",
		`{"id":"1"}`:            "the event time: no field at",
		`[1]`:                   "the id: is not a JSON object",
		`{"id":{"x":1},"at":1}`: "the id: id is neither",
		`{"id":`:                "the id: ",
	} {
		orders := bench.NewOrders(bench.OrdersConfig{ID: schemas.ParsePath("id"), Time: schemas.ParsePath("at")})
		if err := orders.Add([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTheKafkaKeyIsTheFieldsText(t *testing.T) {
	orders := bench.NewOrders(bench.OrdersConfig{ID: schemas.ParsePath("id"), Key: schemas.ParsePath("who.name"), KeepTimes: true})
	for _, text := range []string{`{"id":"1","who":{"name":"a\"b"}}`, `{"id":"1","who":{"name":7}}`, `{"id":"1"}`} {
		if err := orders.Add([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var order bench.Order
	for n, want := range []string{`a"b`, "7", ""} {
		if orders.Make(&order, int64(n), time.Now()); string(order.Key) != want {
			t.Errorf("order %d: key %q, want %q", n, order.Key, want)
		}
	}
}

func TestARecordIsWrittenAsJSON(t *testing.T) {
	rec := schemas.Record{
		{Name: "id", Value: schemas.StringValue(`a"<`)},
		{Name: "gone"},
		{Name: "n", Value: schemas.IntValue(1 << 60)},
		{Name: "f", Value: schemas.FloatValue(75.81)},
		{Name: "at", Value: schemas.TimeValue(time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC))},
		{Name: "yes", Value: schemas.BoolValue(true)},
		{Name: "in", Value: schemas.ObjectValue(schemas.Record{{Name: "list", Value: schemas.ListValue([]schemas.Value{schemas.IntValue(1), {}})}})},
	}
	got := string(bench.AppendRecord(nil, rec))
	const want = `{"id":"a\"<","n":1152921504606846976,"f":75.81,"at":"2026-01-02T03:04:05.6Z","yes":true,"in":{"list":[1,null]}}`
	if diff := cmp.Diff(want, got); diff != "" || !json.Valid([]byte(got)) {
		t.Error(diff)
	}
}
