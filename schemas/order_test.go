package schemas_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

func record(t testing.TB, raw string) schemas.Record {
	t.Helper()
	rec, err := schemas.DecodeJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

var binding = schemas.Binding{ID: schemas.Path{"order_id"}, Time: schemas.Path{"occurred_at"}}

func TestOrderIDsAreShortAndPlain(t *testing.T) {
	for id, want := range map[string]string{
		`"a.B_1:-"`: "", `7`: "", `-7`: "", `"` + strings.Repeat("x", 128) + `"`: "", `"` + strings.Repeat("x", 129) + `"`: "id_format", `""`: "id_format", `"."`: "id_format", `".."`: "id_format", `"..."`: "", `"a b"`: "id_format",
		`"a\u0000"`: "id_format", `"\u2028"`: "id_format", `"é"`: "id_format", `"e\u0301"`: "id_format", `"\u202e1"`: "id_format", `1.5`: "id_format", `true`: "id_format", `null`: "id_format", `["1"]`: "id_format",
	} {
		_, err := schemas.NewOrder(record(t, `{"order_id":`+id+`,"occurred_at":1528675224000}`), binding, nil)
		if got := codeOf(t, err); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}

func TestEventTimesLieBetween1970And2200(t *testing.T) {
	for at, want := range map[string]string{
		`"2018-06-11T00:00:24Z"`: "", `"2018-06-11T02:00:24.5+02:00"`: "", `1528675224000`: "", `1528675224000.5`: "timestamp_range", `1.5`: "timestamp_range", `1.528675224e12`: "", `0`: "timestamp_range", `-1`: "timestamp_range",
		`1528675224000000000`: "timestamp_range", `9223372036854775807`: "timestamp_range", `1e300`: "timestamp_range", `"9999-01-01T00:00:00Z"`: "timestamp_range", `"1969-12-31T23:59:59Z"`: "timestamp_range",
		`"2018-06-11T23:59:60Z"`: "timestamp_range", `"2018-06-11"`: "timestamp_range", `true`: "timestamp_range", `null`: "time_missing",
	} {
		_, err := schemas.NewOrder(record(t, `{"order_id":1,"occurred_at":`+at+`}`), binding, nil)
		if got := codeOf(t, err); got != want {
			t.Errorf("%s: got %q, want %q", at, got, want)
		}
	}
	o, err := schemas.NewOrder(record(t, `{"order_id":1,"occurred_at":"2018-06-11T02:00:24.1234567+02:00"}`), binding, nil)
	if want := schematest.Start.Add(123456 * time.Microsecond); err != nil || o.At != want {
		t.Errorf("got %v, %v; want %v, cut to the microsecond", o.At, err, want)
	}
}

func TestLabelsAreReadFromWhatTheTopicHolds(t *testing.T) {
	for _, raw := range []string{`{"order_id":"681108","fraud":true,"known_at":"2018-06-18T02:19:18Z","scenario":2}`, `{"known_at":1529288358000,"fraud":1,"order_id":681108}`} {
		l, err := schemas.NewLabel(record(t, raw))
		if err != nil || l.ID != "681108" || !l.Fraud || !l.KnownAt.Equal(time.Date(2018, 6, 18, 2, 19, 18, 0, time.UTC)) {
			t.Errorf("%s: %v, %v", raw, l, err)
		}
	}
	for raw, want := range map[string]string{
		`{"order_id":"1","fraud":false,"known_at":1529288358000}`:  "",
		`{"order_id":"1","known_at":1529288358000}`:                "label_fraud",
		`{"order_id":"1","fraud":"true","known_at":1529288358000}`: "label_fraud",
		`{"order_id":"1","fraud":2,"known_at":1529288358000}`:      "label_fraud",
		`{"order_id":"1","fraud":true}`:                            "time_missing",
		`{"order_id":"1","fraud":true,"known_at":0}`:               "timestamp_range",
		`{"fraud":true,"known_at":1529288358000}`:                  "id_format",
	} {
		l, err := schemas.NewLabel(record(t, raw))
		if got := codeOf(t, err); got != want || l.Fraud {
			t.Errorf("%s: got %q and %v, want %q", raw, got, l, want)
		}
	}
}

func TestDigestTellsContentsApartAndNotSpellings(t *testing.T) {
	same := [][2]string{
		{`{"a":49.5,"b":"x"}`, `{"b":"x","a":49.50}`},
		{`{"a":100}`, `{"a":1E2}`},
		{`{"a":42}`, `{"a":"42"}`},
		{`{"a":1,"b":null}`, `{"a":1}`},
		{`{"a":{"x":1,"y":2}}`, `{"a":{"y":2.0,"x":1}}`},
		{`{"a":0}`, `{"a":-0.0}`},
	}
	for _, pair := range same {
		if schemas.Digest(record(t, pair[0])) != schemas.Digest(record(t, pair[1])) {
			t.Errorf("%s and %s have two digests", pair[0], pair[1])
		}
	}
	other := []string{`{}`, `{"a":1}`, `{"b":1}`, `{"a":2}`, `{"a":1.5}`, `{"a":true}`, `{"a":false}`, `{"a":[1]}`, `{"a":[]}`, `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":[[1],2]}`, `{"a":[[1,2]]}`, `{"a":{"b":1}}`, `{"a":{}}`, `{"a":"x"}`, `{"a":""}`, `{"a":"x","b":"y"}`, `{"a":"y","b":"x"}`, `{"a":"xb","b":"y"}`}
	seen := map[uint64]string{}
	for _, raw := range other {
		d := schemas.Digest(record(t, raw))
		if seen[d] != "" {
			t.Errorf("%s and %s have one digest", raw, seen[d])
		}
		seen[d] = raw
	}
}

// Digests are kept with decisions: they may not change from one version of this program to the next.
func TestDigestStaysTheSame(t *testing.T) {
	if got := schemas.Digest(record(t, `{"s":"x","i":1,"f":1.5,"b":true,"l":[1,"a"],"o":{"k":null,"z":2}}`)); got != 0xe2e5e00629c310b7 {
		t.Errorf("the digest has become %#x", got)
	}
}

func TestDigestDoesNotDependOnTheOrderOfFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 8, rapid.ID[string]).Draw(t, "names")
		var rec schemas.Record
		for _, name := range names {
			rec = append(rec, schemas.Field{Name: name, Value: schemas.FloatValue(rapid.Float64().Draw(t, "value"))})
		}
		if other := rapid.Permutation(rec).Draw(t, "shuffled"); schemas.Digest(rec) != schemas.Digest(other) {
			t.Fatalf("%v and %v have two digests", rec, other)
		}
	})
}

func TestAllThatIsWrongWithALabelIsListed(t *testing.T) {
	_, err := schemas.NewLabel(record(t, `{"order_id":"not an id","fraud":"perhaps"}`))
	var wrong *schemas.Malformed
	if !errors.As(err, &wrong) || wrong.Code != "id_format" || len(wrong.Faults) != 3 {
		t.Fatalf("%+v", err)
	}
	for i, at := range []string{"/order_id", "/known_at", "/fraud"} {
		if wrong.Faults[i].Pointer != at {
			t.Errorf("fault %d is of %s, want %s", i, wrong.Faults[i].Pointer, at)
		}
	}
}
