package expr_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// tally counts how often the two evaluators were really compared.
type tally struct{ texts, compiled, quick, runs, answers, present int }

// agree makes expressions and orders of the bytes, until they are used up, and holds the quick evaluation of each against CEL's.
func agree(t rapid.TB, scopes [2]expr.Scope, bytes []byte) (n tally) {
	d := dice{bytes}
	for more := true; more; more = len(d.bytes) > 0 {
		scope, text := scopes[d.throw(2)], quickText(&d)
		n.texts++
		p, err := expr.Compile(text, scope)
		if err != nil {
			continue // the schema's kinds do not fit
		}
		n.compiled++
		if !p.HasQuick() {
			continue
		}
		n.quick++
		for range 4 {
			in := quickInput(&d)
			n.runs++
			yes, err := p.Holds(in)
			if sure, errCEL := p.HoldsByCEL(in); yes != sure || err != nil && errCEL == nil {
				t.Fatalf("%s\nof %.3000s\nholds: %v (%v), by CEL %v (%v)", text, fmt.Sprintf("%+v", *in), yes, err, sure, errCEL)
			}
			got, ok := p.Quick(in)
			if !ok {
				continue // left to CEL
			}
			n.answers++
			if got == got {
				n.present++
			}
			if want := p.ByCEL(in); math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%s\nof %.3000s\n= %v, by CEL %v", text, fmt.Sprintf("%+v", *in), got, want)
			}
		}
	}
	return n
}

func TestQuickEvaluationGivesWhatCELGives(t *testing.T) {
	scopes := quickScopes(t)
	var all tally
	rapid.Check(t, func(t *rapid.T) {
		// Not bytes that rapid draws: these are few, and most of them small.
		bytes := make([]byte, 3000/slower)
		seed := rapid.Uint64().Draw(t, "seed")
		if _, err := rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), seed))).Read(bytes); err != nil {
			t.Fatal(err)
		}
		n := agree(t, scopes, bytes)
		all = tally{all.texts + n.texts, all.compiled + n.compiled, all.quick + n.quick, all.runs + n.runs, all.answers + n.answers, all.present + n.present}
	})
	t.Logf("%+v", all)
	if all.compiled < all.texts/3 || all.quick < all.compiled/3 || all.answers < all.runs/3 || all.present < all.answers/4 {
		t.Errorf("%+v: too little was compared", all)
	}
}

func FuzzQuickEvaluation(f *testing.F) {
	scopes := quickScopes(f)
	f.Add([]byte("a"))
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 1000 {
			return
		}
		agree(t, scopes, bytes)
	})
}

// clockOf gives a time's hour and weekday in one number.
func clockOf(t testing.TB) *expr.Program {
	t.Helper()
	p, err := expr.Compile("100 * weekday(t) + hour(t)", expr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sameClock(t testing.TB, p *expr.Program, v schemas.Value) {
	t.Helper()
	in := expr.Input{Fields: schemas.Record{{Name: "t", Value: v}}}
	got, ok := p.Quick(&in)
	if want := p.ByCEL(&in); !ok || math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("weekday and hour of %q (%d) = %v (%t), by CEL %v", v.Str(), v.Micros(), got, ok, want)
	}
}

// TestTimesAreReadAsEverywhereElse holds the quick reading of RFC 3339 against schemas.ParseTime's, on every day that may be one and near those that may not.
func TestTimesAreReadAsEverywhereElse(t *testing.T) {
	p := clockOf(t)
	for day := time.Date(1968, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2203; day = day.AddDate(0, 0, slower) {
		date := day.Format(time.DateOnly)
		sameClock(t, p, schemas.StringValue(date+"T06:59:59Z"))
		sameClock(t, p, schemas.StringValue(date+"T23:30:00.25-01:30"))
		sameClock(t, p, schemas.TimeValue(day))
		sameClock(t, p, schemas.MicrosValue(day.UnixMicro()-1))
		if day.AddDate(0, 0, 1).Day() == 1 { // a day that is none
			sameClock(t, p, schemas.StringValue(date[:8]+map[string]string{"28": "29", "29": "30", "30": "31", "31": "32"}[date[8:]]+"T00:00:00Z"))
		}
	}
	for _, text := range timesToRead() {
		sameClock(t, p, schemas.StringValue(text))
	}
}

func timesToRead() []string {
	return []string{
		"2018-07-29T06:59:59Z", "2018-07-29T06:59:59.1Z", "2018-07-29T06:59:59.Z", "2018-07-29T06:59:59,5Z", "2018-07-29T06:59:59.123456789123456789Z", "2018-07-29T06:59:60Z",
		"2018-07-29T24:00:00Z", "2018-07-29T06:60:00Z", "2018-07-29t06:59:59z", "2018-07-29 06:59:59Z", "2018-07-29T06:59:59", "2018-07-29T06:59:59+24:00", "2018-07-29T06:59:59+23:59",
		"2018-07-29T06:59:59-23:60", "2018-07-29T06:59:59+0200", "2018-07-29T06:59:59+02:0", "2018-07-29T06:59:59Z ", "2018-00-29T06:59:59Z", "2018-13-29T06:59:59Z", "2018-07-00T06:59:59Z",
		"2018-7-29T06:59:59Z", "2O18-07-29T06:59:59Z", "20/8-07-29T06:59:59Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.0000001Z", "1970-01-01T00:00:00.000001Z", "1970-12-31T23:59:59Z",
		"1971-01-01T00:00:00+23:59", "2199-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z", "2199-01-01T00:00:00-23:59", "2199-12-31T23:00:00-02:00", "2100-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "",
		"2018-07-29T06:59:59." + strings.Repeat("0", 43) + "Z", "2018-07-29T06:59:59." + strings.Repeat("0", 44) + "Z", "2018-07-29T06:59:59." + strings.Repeat("0", 45) + "Z",
	}
}

func FuzzQuickTime(f *testing.F) {
	for _, text := range timesToRead() {
		f.Add(text)
	}
	p := clockOf(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) <= 1024 { // longer texts are CEL's
			sameClock(t, p, schemas.StringValue(text))
		}
	})
}

func TestCommonExpressionsRunWithoutCELAndAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	fields, err := schemas.ParseSchema("order.avsc", []byte(quickSchema))
	if err != nil {
		t.Fatal(err)
	}
	in := expr.Input{Features: []float64{25, nan}, Score: 0.5, Fraud: true, Fields: schemas.Record{
		{Name: "n", Value: schemas.FloatValue(49.5)},
		{Name: "s", Value: schemas.StringValue("2018-07-29T06:59:59Z")},
		{Name: "t", Value: schemas.StringValue("T1")},
		{Name: "at", Value: schemas.MicrosValue(1532847599000000)},
		{Name: "list", Value: schemas.ListValue(make([]schemas.Value, 3))},
		{Name: "p", Value: schemas.ObjectValue(schemas.Record{{Name: "n", Value: schemas.IntValue(3)}})},
	}}
	for _, known := range []*schemas.Schema{nil, fields} {
		s := expr.Scope{Fields: known, Features: []string{"f", "g"}, Score: true, Fraud: true, Lists: map[string]expr.List{"blocked": listOf{"T1": true}}}
		for _, text := range []string{
			"hour(s) <= 6", "weekday(at) >= 5", "n / f", "(n - f) / g", "t == 'T1' && n > 40", "missing(g) ? -1 : g", "has(p.n) && p.n % 2 == 1", "t in ['T1', 'T2']", "t in list('blocked')",
			"t.startsWith('T') || t.endsWith('1') || t.contains('x')", "size(t) + t.size()", "fraud && n < 220", "score > 0.5", "max(n, f, 3) - min(n, abs(-f))", "log1p(n) + sqrt(n) + log(n)",
			"distance_km(n, f, n, f)", "missing(list) || missing(p)", "string(t) != 't'", "!(n < 0)",
		} {
			p, err := expr.Compile(text, s)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := p.Quick(&in); !ok {
				t.Errorf("%s is left to CEL", text)
			}
			if n := testing.AllocsPerRun(100, func() { p.Number(&in) }); n != 0 {
				t.Errorf("%s: %v allocations", text, n)
			}
		}
	}
}

// TestQuickEvaluationNeedsNoAccount shows that the most reads of texts that are not CEL's are within CEL's account of long values, so that none is kept.
func TestQuickEvaluationNeedsNoAccount(t *testing.T) {
	sum := func(terms int) string {
		parts := make([]string, terms)
		for i := range parts {
			parts[i] = "size(t)"
		}
		for len(parts) > 1 { // a balanced tree: depth is limited too
			var halves []string
			for i := 0; i < len(parts); i += 2 {
				halves = append(halves, "("+strings.Join(parts[i:min(i+2, len(parts))], " + ")+")")
			}
			parts = halves
		}
		return parts[0]
	}
	p, err := expr.Compile(sum(3300), expr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := expr.Compile(sum(4000), expr.Scope{}); err == nil || !strings.Contains(err.Error(), "parts") {
		t.Errorf("a longer sum: %v, want that it has too many parts", err)
	}
	// What CEL stops at is missing, also where the rest would have decided.
	either, err := expr.Compile("size(t) > 1 || true", expr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	tooLong := expr.Input{Fields: schemas.Record{{Name: "t", Value: schemas.StringValue(strings.Repeat("a", 64*200_001))}}}
	if got := either.Number(&tooLong); got == got {
		t.Errorf("a text beyond the account: %v, want it missing", got)
	}
	for length, want := range map[int]float64{1024: 3300 * 1024, 1025: 3300 * 1025, 100_000: nan} {
		in := expr.Input{Fields: schemas.Record{{Name: "t", Value: schemas.StringValue(strings.Repeat("a", length))}}}
		if _, ok := p.Quick(&in); ok != (length <= 1024) {
			t.Errorf("%d bytes: quick %t", length, ok)
		}
		if got, cel := p.Number(&in), p.ByCEL(&in); math.Float64bits(got) != math.Float64bits(cel) || !(got == want || got != got && want != want) {
			t.Errorf("%d bytes: %v, by CEL %v, want %v", length, got, cel, want)
		}
	}
}

func TestQuickEvaluationAgreesAtTheEdges(t *testing.T) {
	in := expr.Input{Features: []float64{0}, Fields: schemas.Record{
		{Name: "zero", Value: schemas.FloatValue(0)},
		{Name: "negative_zero", Value: schemas.FloatValue(math.Copysign(0, -1))},
		{Name: "huge", Value: schemas.FloatValue(math.MaxFloat64)},
		{Name: "tiny", Value: schemas.FloatValue(math.SmallestNonzeroFloat64)},
		{Name: "text", Value: schemas.StringValue("é€\xff")},
	}}
	s := expr.Scope{Features: []string{"given", "not_given"}} // Input has too few: the caller's fault
	for text, quick := range map[string]bool{
		"min(zero, negative_zero)": true, "min(negative_zero, zero)": true, "max(zero, negative_zero)": true, "max(negative_zero, zero)": true, "negative_zero": true, "-zero": true, "abs(negative_zero)": true, "zero * -1": true, "sqrt(negative_zero)": true,
		"negative_zero % 5": true, "negative_zero in [0]": true, "zero in [-0.0]": true, "negative_zero == zero": true, "zero / negative_zero": true, "1 / negative_zero": true,
		"huge + huge": true, "huge * 2": true, "-huge - huge": true, "tiny / 2": true, "huge % tiny": true, "huge + 1 == huge": true, "tiny - tiny": true, "log(tiny)": true, "log1p(-tiny)": true,
		"size(text)": true, "text.contains('\\u20ac')": true, "text < 'z'": true, "given": true, "not_given": false, "missing(not_given)": false, "given > 1 && not_given > 1": true,
		"text + text == 'a'": false, "zero / zero == 0 || true": true, "missing(zero / zero)": true, "(zero / zero > 0 ? 1 : 2) == 1": true,
	} {
		p, err := expr.Compile(text, s)
		if err != nil {
			t.Fatal(err)
		}
		if !p.HasQuick() {
			t.Errorf("%s is CEL's", text)
			continue
		}
		got, ok := p.Quick(&in)
		if ok != quick {
			t.Errorf("%s: quick %t, want %t", text, ok, quick)
		}
		if want := p.ByCEL(&in); ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s = %v, by CEL %v", text, got, want)
		}
		if got, want := p.Number(&in), p.ByCEL(&in); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s = %v, by CEL %v", text, got, want)
		}
	}
}

// TestQuickEvaluationFindsFieldsWhereverTheyStand runs one program on orders with their fields in one order, in another, and without some.
func TestQuickEvaluationFindsFieldsWhereverTheyStand(t *testing.T) {
	p, err := expr.Compile("a + 10 * b.c", expr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string, f float64) schemas.Field {
		return schemas.Field{Name: name, Value: schemas.FloatValue(f)}
	}
	b := func(fields ...schemas.Field) schemas.Field {
		return schemas.Field{Name: "b", Value: schemas.ObjectValue(fields)}
	}
	orders := []struct {
		fields schemas.Record
		want   float64
	}{
		{schemas.Record{number("a", 1), b(number("x", 9), number("c", 2))}, 21},
		{schemas.Record{b(number("c", 3), number("x", 9)), number("a", 4)}, 34},
		{schemas.Record{number("a", 5), b(number("c", 6))}, 65},
		{schemas.Record{number("a", 5), b(number("x", 6))}, nan},
		{schemas.Record{number("a", 5), number("b", 6)}, nan},
		{schemas.Record{number("a", 7)}, nan},
		{nil, nan},
		{schemas.Record{number("x", 0), number("y", 0), b(number("x", 9), number("y", 0), number("c", 1)), number("a", 8)}, 18},
	}
	for range 2 {
		for i, order := range orders {
			if got, ok := p.Quick(&expr.Input{Fields: order.fields}); !ok || got != order.want && (got == got || order.want == order.want) {
				t.Errorf("order %d: %v (%t), want %v", i, got, ok, order.want)
			}
		}
	}
}
