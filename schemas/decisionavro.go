package schemas

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
)

// DecisionCodec writes decisions in the format of their orders. Safe for concurrent use.
type DecisionCodec struct {
	registry *Registry
	subject  string
	mu       sync.Mutex
	id       int  // guarded by mu
	known    bool // guarded by mu: id is registered
}

// NewDecisionCodec returns a codec that registers the schema of a decision under the subject when it first meets an Avro order. Without a registry,
// and so without Avro orders, reg is nil.
func NewDecisionCodec(reg *Registry, subject string) *DecisionCodec {
	return &DecisionCodec{registry: reg, subject: subject}
}

// Encode returns a record, as AppendDecision wrote it, in the format of its order: itself for JSON, else framed Avro. Equal records give equal bytes.
// An error that is no *Malformed is an outage of the registry.
func (c *DecisionCodec) Encode(ctx context.Context, f Format, record []byte) ([]byte, error) {
	if !f.Avro {
		return record, nil
	}
	id, err := c.schemaID(ctx)
	if err != nil {
		return nil, fmt.Errorf("registering the decision's schema: %w", err)
	}
	d, err := DecodeDecision(record)
	if err != nil {
		return nil, err
	}
	dst := make([]byte, 0, len(record))
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	return appendAvroDecision(dst, &d), nil
}

// schemaID registers once. A registry that is away is asked again by the next call.
func (c *DecisionCodec) schemaID(ctx context.Context) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.id, nil
	}
	if c.registry == nil {
		return 0, fmt.Errorf("%w: none is configured", ErrRegistry)
	}
	id, err := c.registry.register(ctx, c.subject, decisionAvsc)
	if err != nil {
		return 0, err
	}
	c.id, c.known = id, true
	return id, nil
}

// appendAvroDecision writes a decision by decision.avsc, field by field. It is written out because map order must not change the bytes.
func appendAvroDecision(dst []byte, d *Decision) []byte {
	dst = avroAppendString(dst, string(d.OrderID))
	dst = avroAppendString(dst, string(d.Action))
	dst = avroAppendNumber(dst, d.Score)
	dst = binary.AppendVarint(dst, d.OccurredAt.UnixMicro())
	dst = binary.AppendVarint(dst, d.DecidedAt.UnixMicro())
	dst = avroAppendVersion(dst, d.Model)
	dst = avroAppendVersion(dst, d.Features)
	dst = avroAppendPolicy(dst, d.Policy)
	dst = avroAppendCount(dst, len(d.Reasons))
	for i := range d.Reasons {
		r := &d.Reasons[i]
		dst = avroAppendString(dst, r.Feature)
		dst = avroAppendNumber(dst, r.Value)
		dst = avroAppendNumber(dst, r.Contribution)
	}
	dst = avroAppendEnd(dst)
	dst = avroAppendCount(dst, len(d.Degraded))
	for _, what := range d.Degraded {
		dst = avroAppendString(dst, what)
	}
	dst = avroAppendEnd(dst)
	dst = avroAppendCount(dst, len(d.Challengers))
	for i := range d.Challengers {
		c := &d.Challengers[i]
		dst = avroAppendString(dst, c.Name)
		dst = avroAppendString(dst, c.Version)
		dst = avroAppendNumber(dst, c.Score)
	}
	dst = avroAppendEnd(dst)
	dst = avroAppendCount(dst, len(d.Inputs.Values))
	for i, f := range d.Inputs.Values {
		dst = avroAppendString(dst, d.Inputs.Layout.Names[i])
		dst = avroAppendNumber(dst, f)
	}
	dst = avroAppendEnd(dst)
	dst = avroAppendString(dst, d.Source.Topic)
	dst = binary.AppendVarint(dst, int64(d.Source.Partition))
	dst = binary.AppendVarint(dst, d.Source.Offset)
	return avroAppendString(dst, string(appendContent(nil, d.Content)))
}

func avroAppendString(dst []byte, s string) []byte {
	dst = binary.AppendVarint(dst, int64(len(s))) // Avro's zigzag is that of encoding/binary
	return append(dst, s...)
}

// avroAppendNumber writes the union of null and double; NaN is null.
func avroAppendNumber(dst []byte, f float64) []byte {
	if math.IsNaN(f) {
		return append(dst, avroFirst)
	}
	dst = append(dst, avroSecond)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// The branches of our unions, as zigzag: null is the first.
const (
	avroFirst  = 0
	avroSecond = 2
)

func avroAppendVersion(dst []byte, v Version) []byte {
	if v.Name == "" {
		return append(dst, avroFirst)
	}
	return avroAppendNames(append(dst, avroSecond), v)
}

func avroAppendNames(dst []byte, v Version) []byte {
	dst = avroAppendString(dst, v.Name)
	dst = avroAppendString(dst, v.Version)
	return avroAppendString(dst, v.Hash)
}

func avroAppendPolicy(dst []byte, p PolicyVersion) []byte {
	if p.Name == "" {
		return append(dst, avroFirst)
	}
	dst = avroAppendNames(append(dst, avroSecond), p.Version)
	if p.Rule == "" {
		return append(dst, avroFirst)
	}
	return avroAppendString(append(dst, avroSecond), p.Rule)
}

// avroAppendCount begins the one block of an array or map; none has no block.
func avroAppendCount(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return binary.AppendVarint(dst, int64(n))
}

// avroAppendEnd ends an array or map.
func avroAppendEnd(dst []byte) []byte { return append(dst, 0) }
