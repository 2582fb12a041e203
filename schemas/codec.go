package schemas

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
)

// CodecConfig says what the values of one topic look like. The zero value takes any JSON object.
type CodecConfig struct {
	Schema   *Schema   // that values must fit; nil takes any JSON object, and any record by its writer's Avro schema
	Registry *Registry // of the writers' Avro schemas; nil refuses Avro with code schema_unavailable
	MaxBytes int       // of one value, DefaultMaxBytes when 0
}

// Codec decodes the values of one topic: JSON, or Avro framed as schema registries have it (byte 0, four bytes of id, the datum). Safe for concurrent use.
type Codec struct {
	cfg   CodecConfig
	plans sync.Map // :: schema id → *plan
}

// NewCodec returns a codec.
func NewCodec(cfg CodecConfig) (*Codec, error) {
	if cfg.MaxBytes < 0 {
		return nil, fmt.Errorf("at most %d bytes a value: must be positive", cfg.MaxBytes)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	return &Codec{cfg: cfg}, nil
}

// Format says how a value was written.
type Format struct {
	Avro     bool
	SchemaID int // of Avro
}

const frameHeader = 5

// Decode decodes one value. A *Malformed is the value's fault; any other error is an outage of the registry (errors.Is ErrRegistry) or the end of ctx,
// and the value may be tried again. The Format is right also with an error, as far as it could be told.
func (c *Codec) Decode(ctx context.Context, raw []byte) (Record, Format, error) {
	if len(raw) == 0 {
		return nil, Format{}, &Malformed{Code: "empty", Detail: "there are no bytes"}
	}
	if len(raw) > c.cfg.MaxBytes {
		return nil, Format{}, &Malformed{Code: "too_large", Detail: fmt.Sprintf("%d bytes, more than the allowed %d", len(raw), c.cfg.MaxBytes)}
	}
	switch first := raw[0]; {
	case first == 0:
		return c.frame(ctx, raw)
	case first < ' ' && bytes.IndexByte([]byte("\t\n\r"), first) < 0:
		return nil, Format{}, &Malformed{Code: "frame_magic", Detail: fmt.Sprintf("begins with byte %#02x: neither JSON nor framed Avro, which begins with 0", first)}
	}
	rec, err := c.DecodeJSON(raw)
	return rec, Format{}, err
}

// DecodeJSON decodes a value that can only be JSON, such as the body of a request. Its error is always a *Malformed.
func (c *Codec) DecodeJSON(raw []byte) (Record, error) {
	if c.cfg.Schema == nil {
		return decodeJSON(raw, c.cfg.MaxBytes, exactly)
	}
	return c.cfg.Schema.decodeJSON(raw, c.cfg.MaxBytes)
}

func (c *Codec) frame(ctx context.Context, raw []byte) (Record, Format, error) {
	f := Format{Avro: true}
	if len(raw) < frameHeader {
		return nil, f, &Malformed{Code: "frame_short", Detail: fmt.Sprintf("%d bytes: a frame has at least %d", len(raw), frameHeader)}
	}
	f.SchemaID = int(binary.BigEndian.Uint32(raw[1:]))
	p, err := c.plan(ctx, f.SchemaID)
	if err != nil {
		return nil, f, err
	}
	rec, err := p.decode(raw[frameHeader:])
	return rec, f, err
}

// plan returns how data of a writer's schema are decoded. It is made once an id.
func (c *Codec) plan(ctx context.Context, id int) (*plan, error) {
	if known, ok := c.plans.Load(id); ok {
		return known.(*plan), nil //nolint:forcetypeassert // plans holds nothing else
	}
	if c.cfg.Registry == nil {
		return nil, &Malformed{Code: "schema_unavailable", Detail: "framed Avro, and no schema registry is configured"}
	}
	writer, err := c.cfg.Registry.writer(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &plan{writer: writer}
	if s := c.cfg.Schema; s != nil && s.avro != nil {
		p.resolve(s.avro)
	}
	c.plans.Store(id, p)
	return p, nil
}
