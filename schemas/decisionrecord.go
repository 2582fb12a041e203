package schemas

import (
	"context"
	"slices"
	"time"
)

// DecisionReader reads what a DecisionCodec has written. It is safe for concurrent use.
type DecisionReader struct{ codec *Codec }

// NewDecisionReader returns a reader; without a registry it reads decisions in JSON alone.
func NewDecisionReader(reg *Registry) (*DecisionReader, error) {
	codec, err := NewCodec(CodecConfig{Registry: reg, MaxBytes: maxDecisionBytes})
	if err != nil {
		return nil, err
	}
	return &DecisionReader{codec: codec}, nil
}

// Record returns a decision and the record that AppendDecision wrote of it, byte for byte: the value itself if it is JSON. A *Malformed is the value's
// fault; any other error is an outage of the registry, or the end of ctx.
func (r *DecisionReader) Record(ctx context.Context, value []byte) ([]byte, Decision, error) {
	if len(value) > 0 && value[0] == '{' {
		d, err := DecodeDecision(value)
		return value, d, err
	}
	rec, _, err := r.codec.Decode(ctx, value)
	if err != nil {
		return nil, Decision{}, err
	}
	rec = slices.Clone(rec)
	for i := range rec {
		if v := rec[i].Value; v.Kind() == Time {
			rec[i].Value = StringValue(time.UnixMicro(v.Micros()).UTC().Format(time.RFC3339Nano))
		}
	}
	read := decisionReader{}
	d := read.decision(rec)
	if len(read.faults) > 0 {
		return nil, Decision{}, mismatch("decision_shape", read.faults)
	}
	return AppendDecision(nil, &d), d, nil
}
