package expr_test

import (
	"errors"
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/schemas/expr"
)

func runShape(t *testing.T, text, body string, spaced bool) string {
	t.Helper()
	s, err := expr.CompileShape(text, []string{"body", "score"})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	in, err := expr.ParseDocument([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	score, _ := expr.ParseDocument([]byte("0.5"))
	out, err := s.Run(map[string]expr.Document{"body": in, "score": score}, func(name string) string { return "h:" + name })
	if err != nil {
		return "error"
	}
	got, err := out.AppendJSON(nil, spaced)
	if err != nil {
		return "no JSON"
	}
	return string(got)
}

func TestShapesMakeJSONOfJSON(t *testing.T) {
	for text, want := range map[string]string{
		`body`:                     `{"z":1,"a":{"n":9007199254740993,"d":12345678901234567.89,"x":49.5},"l":[1,"ä\"",null,true],"big":9007199254740991}`,
		`body.a.n`:                 "9007199254740993",
		`string(body.a.n)`:         `"9007199254740993"`,
		`string(1234567)`:          `"1234567"`,
		`"L-" + string(body.big)`:  `"L-9007199254740991"`,
		`string(-body.big)`:        `"-9007199254740991"`,
		`string(1234567.5)`:        `"1234567.5"`,
		`string(body.a.d)`:         `"12345678901234567.89"`,
		`string(true)`:             `"true"`,
		`string("a")`:              `"a"`,
		`string(size(body.l))`:     `"4"`,
		`string(body.l)`:           "error",
		`body.a.d`:                 "12345678901234567.89",
		`body.a.d * 2`:             "error",
		`body.a.x / 2`:             "24.75",
		`body.z / 2`:               "0.5",
		`body.l[0] + size(body.l)`: "5",
		`{"z": 1, "b": {"y": 2, "a": score}, "a": [{"q": 1.0, "c": -0.0}]}`: `{"z":1,"b":{"y":2,"a":0.5},"a":[{"q":1,"c":-0}]}`,
		`score > 0.3 ? {"b": 1, "a": 2} : {"c": 3}`:                         `{"b":1,"a":2}`,
		`{"b": 1, "a": 2}.a`:                "2",
		`{"b": 1, "a": 2}[string("b")]`:     "1",
		`fixed(score, 3)`:                   "0.500",
		`fixed(body.z, 2)`:                  "1.00",
		`fixed(null, 2)`:                    "null",
		`fixed("x", 2)`:                     "error",
		`"%.2f".format([score])`:            `"0.50"`,
		`int(score * 100)`:                  "50",
		`header("X-Id")`:                    `"h:X-Id"`,
		`body.l.map(x, {"is": x})`:          `[{"is":1},{"is":"ä\""},{"is":null},{"is":true}]`,
		`body.l.exists_one(x, x == 1)`:      "true",
		`has(body.q) ? body.q : null`:       "null",
		`body.q`:                            "error",
		`1e30`:                              "1e+30",
		`1.0 / 0.0`:                         "null",
		`{1: 2}`:                            "error",
		`timestamp("2026-01-01T00:00:00Z")`: "no JSON",
	} {
		if got := runShape(t, text, `{"z":1,"a":{"n":9007199254740993,"d":12345678901234567.89,"x":49.50},"l":[1,"\u00e4\"",null,true],"big":9007199254740991}`, false); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got, want := runShape(t, `{"b": [1, 2], "a": {}}`, `1`, true), `{"b": [1, 2], "a": {}}`; got != want {
		t.Errorf("spaced: %s, want %s", got, want)
	}
}

func TestShapesAreCheckedWhenCompiled(t *testing.T) {
	for text, want := range map[string]string{
		`bdy.x`:                     "column 1: unknown name bdy; did you mean body?",
		"{\"a\": 1,\n \"b\": scor}": "line 2, column 7: unknown name scor; did you mean score?",
		`body.`:                     "column",
		`body + `:                   "column",
		`nothing(1)`:                "column",
		`@headers`:                  "column",
		strings.Repeat("(", 400) + "1" + strings.Repeat(")", 400): "column",
		strings.Repeat("1+", expr.MaxText):                        "bytes, more than",
	} {
		_, err := expr.CompileShape(text, []string{"body", "score"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

func TestAShapeThatTakesTooLongHasNoValue(t *testing.T) {
	long := "[" + strings.Repeat("1,", 2000) + "1]"
	if got := runShape(t, `body.map(x, body.map(y, x + y))`, long, false); got != "error" {
		t.Errorf("it gave %d bytes", len(got))
	}
}

func TestDocumentsAreReadStrictly(t *testing.T) {
	for _, text := range []string{"", "{", `{"a":1,"a":2}`, "1 2", "[1,]", `{"a":}`, "\"\xff\"", "nul", strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		if _, err := expr.ParseDocument([]byte(text)); err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

func TestDocumentsAreRefusedWithTheCodesOfOrders(t *testing.T) {
	for text, want := range map[string]string{
		"": "empty", " ": "json_syntax", "{": "json_syntax", `{"a":1,"a":2}`: "json_duplicate", `{"b":{"a":1,"\u0061":2}}`: "json_duplicate", "1 2": "json_syntax", "\"\xff\"": "json_syntax",
		strings.Repeat("[", 65) + strings.Repeat("]", 65): "json_depth",
	} {
		var malformed *schemas.Malformed
		if _, err := expr.ParseDocument([]byte(text)); !errors.As(err, &malformed) || malformed.Code != want {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
}

func TestDocumentsGetFieldsAtPaths(t *testing.T) {
	d, err := expr.ParseDocument([]byte(`{"a":{"b":1},"c":2}`))
	if err != nil {
		t.Fatal(err)
	}
	one, ok1 := d.With([]string{"a", "x", "y"}, expr.Truth(true))
	two, ok2 := one.With([]string{"c"}, expr.Document{})
	_, ok3 := d.With([]string{"c", "d"}, expr.Truth(true))
	got, _ := two.AppendJSON(nil, false)
	before, _ := d.AppendJSON(nil, false)
	if string(got) != `{"a":{"b":1,"x":{"y":true}},"c":null}` || string(before) != `{"a":{"b":1},"c":2}` || !ok1 || !ok2 || ok3 {
		t.Errorf("%s of %s; %v %v %v", got, before, ok1, ok2, ok3)
	}
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,9007199254740993,-0,1e400]}`, `"\ud800"`, "[[[]]]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := expr.ParseDocument(text)
		if err != nil {
			return
		}
		once, err := d.AppendJSON(nil, false)
		if err != nil {
			t.Fatalf("%s cannot be written: %v", text, err)
		}
		again, err := expr.ParseDocument(once)
		if err != nil {
			t.Fatalf("%s was written as %s: %v", text, once, err)
		}
		if twice, _ := again.AppendJSON(nil, false); string(twice) != string(once) {
			t.Fatalf("%s, and then %s", once, twice)
		}
	})
}
