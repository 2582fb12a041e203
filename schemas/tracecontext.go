package schemas

import (
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// WellFormedTrace says whether s is a W3C trace context (the value of traceparent) that can be passed on: of a known form, and of a trace and a span that
// are not all zeros. A version above 00 may have more behind the flags, which are the same.
func WellFormedTrace(s string) bool {
	const plain = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(s) < plain || len(s) > 4*plain || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isLowerHex(version) || !isLowerHex(trace) || !isLowerHex(span) || !isLowerHex(flags) || version == "ff" {
		return false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return false
	}
	return len(s) == plain || version != "00" && s[plain] == '-'
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// maxTracestate is how much of a tracestate is passed on, in bytes: what W3C asks everyone to carry at least, and no more, as it goes into each record of an order.
const maxTracestate = 512

// maxTracestateMembers is W3C's own limit.
const maxTracestateMembers = 32

// CarriedTracestate returns what of a W3C tracestate is passed on: its first 32 members within 512 bytes, the latest of the way first, or "" when it is
// malformed. It is worth something beside a traceparent alone.
func CarriedTracestate(s string) string {
	if s == "" {
		return ""
	}
	if len(s) > maxTracestate {
		s = s[:max(0, strings.LastIndexByte(s[:maxTracestate+1], ','))]
	}
	for i, members := 0, 0; i < len(s); i++ {
		if s[i] != ',' {
			continue
		}
		if members++; members == maxTracestateMembers {
			s = s[:i]
		}
	}
	state, err := trace.ParseTraceState(s)
	if err != nil {
		return ""
	}
	return state.String()
}

// SpanContext returns the span that a traceparent and a tracestate name, which is another process's; an invalid one when the traceparent is not well formed.
func SpanContext(traceparent, tracestate string) trace.SpanContext {
	if !WellFormedTrace(traceparent) {
		return trace.SpanContext{}
	}
	id, _ := trace.TraceIDFromHex(traceparent[3:35]) // well formed: cannot fail, nor can the next
	span, _ := trace.SpanIDFromHex(traceparent[36:52])
	state, err := trace.ParseTraceState(CarriedTracestate(tracestate))
	if err != nil {
		state = trace.TraceState{} // unreachable: what is carried was parsed
	}
	sampled := strings.IndexByte("13579bdf", traceparent[54]) >= 0
	return trace.SpanContext{}.WithTraceID(id).WithSpanID(span).WithTraceState(state).WithRemote(true).WithTraceFlags(trace.TraceFlags(0).WithSampled(sampled))
}

// Traceparent returns the W3C traceparent of a span; "" when it is invalid.
func Traceparent(s trace.SpanContext) string {
	if !s.IsValid() {
		return ""
	}
	return "00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String()
}
