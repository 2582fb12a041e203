package schemas_test

import (
	"fmt"
	"strings"
	"testing"

	"verdict/schemas"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestATraceparentGoesThroughASpanContextUnchanged(t *testing.T) {
	for _, s := range []string{traceparent, traceparent[:53] + "00"} {
		span := schemas.SpanContext(s, "vendor=1")
		if got := schemas.Traceparent(span); got != s {
			t.Errorf("%s came back as %s", s, got)
		}
		if !span.IsRemote() || span.TraceState().Get("vendor") != "1" || span.IsSampled() != strings.HasSuffix(s, "01") {
			t.Errorf("%s: %+v", s, span)
		}
	}
}

func TestAMalformedTraceparentNamesNoSpan(t *testing.T) {
	for _, s := range []string{"", "00", strings.ToUpper(traceparent), "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		if span := schemas.SpanContext(s, "vendor=1"); span.IsValid() || schemas.Traceparent(span) != "" {
			t.Errorf("%q: %+v", s, span)
		}
	}
}

func TestFlagsOfLaterVersionsAreReadForTheSampledOne(t *testing.T) {
	for flags, sampled := range map[string]bool{"00": false, "01": true, "02": false, "03": true, "ff": true, "fe": false} {
		if span := schemas.SpanContext("01"+traceparent[2:53]+flags, ""); !span.IsValid() || span.IsSampled() != sampled {
			t.Errorf("flags %s: %+v", flags, span)
		}
	}
}

func TestATracestateIsCarriedWithinBounds(t *testing.T) {
	members := func(n int, value string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("k%d=%s", i, value)
		}
		return strings.Join(all, ",")
	}
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct{ in, out string }{
		"none":                        {"", ""},
		"one":                         {"vendor=abc", "vendor=abc"},
		"spaces":                      {"a=1 , b=2", "a=1,b=2"},
		"32 members":                  {members(32, "v"), members(32, "v")},
		"33 members":                  {members(33, "v"), members(32, "v")},
		"1,000 members":               {members(1000, "v"), members(32, "v")},
		"512 bytes end in a member":   {members(4, long), members(2, long)},
		"the first is over 512 bytes": {"a=" + strings.Repeat("x", 600), ""},
		"no value":                    {"a", ""},
		"control byte":                {"a=1\n", ""},
		"upper case key":              {"A=1", ""},
		"twice the same key":          {"a=1,a=2", ""},
		"a comma at the end":          {"a=1,", "a=1"},
	} {
		if got := schemas.CarriedTracestate(c.in); got != c.out {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzTraceContext(f *testing.F) {
	f.Add(traceparent, "a=1,b=2")
	f.Add("01"+traceparent[2:]+"-more", strings.Repeat("a=1,", 200))
	f.Fuzz(func(t *testing.T, parent, state string) {
		if span := schemas.SpanContext(parent, state); span.IsValid() != schemas.WellFormedTrace(parent) {
			t.Errorf("%q: valid is %v", parent, span.IsValid())
		}
		carried := schemas.CarriedTracestate(state)
		if len(carried) > 512 || strings.Count(carried, ",") > 31 {
			t.Errorf("%d bytes of tracestate are carried", len(carried))
		}
		if again := schemas.CarriedTracestate(carried); again != carried {
			t.Errorf("%q is carried on as %q", carried, again)
		}
	})
}
