package schemas

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
)

// Limits of a container file. A block is what its writer held in memory: the usual sizes are 16 KiB to 1 MiB.
const (
	maxBlock    = 64 << 20 // bytes, compressed and not
	maxMetadata = 4 << 20  // bytes of the header
)

// Container reads the records of an Avro object container file, by the schema that the file carries. One goroutine uses it.
type Container struct {
	r     *bufio.Reader
	plan  plan                    // from the file's schema to the reader's
	whole *avro.Schema            // finds the end of a record that the plan refuses
	codec ocf.BoundedDecompressor // nil: blocks are as they are
	sync  [16]byte
	block avroReader // what is left of the block at hand
	left  int64      // records of it
}

// NewContainer reads the header of a container file. The records are held against schema as a Codec holds those of a registered writer; nil takes them
// as they are.
func NewContainer(r io.Reader, schema *Schema) (*Container, error) {
	c := &Container{r: bufio.NewReaderSize(r, 256<<10)}
	if err := c.header(); err != nil {
		return nil, fmt.Errorf("reading the header of the Avro file: %w", whole(err))
	}
	if schema != nil && schema.avro != nil {
		c.plan.resolve(schema.avro)
	}
	if c.plan.refused != nil {
		return nil, fmt.Errorf("the schema of the Avro file does not fit: %s", c.plan.refused.Error()) // not a *Malformed: it is the whole file's fault
	}
	return c, nil
}

func (c *Container) header() error {
	var magic [4]byte
	if _, err := io.ReadFull(c.r, magic[:]); err != nil {
		return err
	}
	if string(magic[:]) != "Obj\x01" {
		return errors.New("it is no Avro object container file")
	}
	meta, err := c.metadata()
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(c.r, c.sync[:]); err != nil {
		return err
	}
	if c.plan.writer, err = parseAvro(meta["avro.schema"], nil); err != nil {
		return err
	}
	if c.whole, err = avro.Parse(meta["avro.schema"]); err != nil {
		return err
	}
	c.codec, err = blockCodec(meta["avro.codec"])
	return err
}

// metadata reads the header's map of strings to bytes.
func (c *Container) metadata() (map[string]string, error) {
	meta, room := make(map[string]string), int64(maxMetadata)
	text := func() (string, error) {
		n, err := binary.ReadVarint(c.r)
		if err != nil {
			return "", err
		}
		if room -= n; n < 0 || room < 0 {
			return "", errors.New("its metadata is too large")
		}
		b := make([]byte, n)
		_, err = io.ReadFull(c.r, b)
		return string(b), err
	}
	for {
		n, err := binary.ReadVarint(c.r)
		if n < 0 && err == nil {
			n = -n
			_, err = binary.ReadVarint(c.r) // the block's size, for readers that skip it
		}
		if err != nil || n == 0 {
			return meta, err
		}
		for ; n != 0; n-- {
			key, err := text()
			if err != nil {
				return nil, err
			}
			if meta[key], err = text(); err != nil {
				return nil, err
			}
			if room--; room < 0 {
				return nil, errors.New("its metadata is too large")
			}
		}
	}
}

func blockCodec(name string) (ocf.BoundedDecompressor, error) {
	var codec ocf.Codec
	switch name {
	case "", "null":
		return nil, nil //nolint:nilnil // no codec: blocks are as they are
	case "deflate":
		codec = ocf.DeflateCodec(flate.DefaultCompression)
	case "snappy":
		codec = ocf.SnappyCodec()
	case "zstandard":
		codec = ocf.MustZstdCodec(nil, nil)
	default:
		return nil, fmt.Errorf("its codec %q is none of null, deflate, snappy, zstandard", name)
	}
	bounded, ok := codec.(ocf.BoundedDecompressor)
	if !ok {
		return nil, fmt.Errorf("its codec %q cannot be bounded", name) // unreachable: those above can
	}
	return bounded, nil
}

// Next returns the next record, and io.EOF after the last. A *Malformed is that record's fault: the one after it can be read. Any other error is the
// file's, and ends it.
func (c *Container) Next() (Record, error) {
	for c.left == 0 {
		if err := c.readBlock(); errors.Is(err, io.EOF) {
			return nil, io.EOF
		} else if err != nil {
			return nil, fmt.Errorf("reading a block of the Avro file: %w", err)
		}
	}
	c.left--
	start := c.block.pos
	c.block.values = 0
	v, fault := c.block.value(c.plan.writer)
	if fault != nil {
		return nil, c.skip(start, fault)
	}
	if c.left == 0 && c.block.pos != len(c.block.raw) {
		return nil, errors.New("a block of the Avro file has bytes after its last record")
	}
	if c.plan.reader != nil {
		return fitRecord(c.plan.reader, v.Object(), true)
	}
	return v.Object(), nil
}

// skip goes on behind a record with a fault in it (a number that is not finite, a text that is not UTF-8), when its end can be found all the same.
func (c *Container) skip(start int, fault *avroFault) error {
	bad := &Malformed{Code: fault.code, Detail: "the Avro record: " + fault.detail, Faults: []Fault{{Pointer: fault.pointer, Detail: fault.detail}}}
	var ignored any
	rest, err := c.whole.Decode(c.block.raw[start:], &ignored)
	if err != nil {
		return fmt.Errorf("the Avro file is broken: %s", bad.Detail) // not a *Malformed: there is no way to the next record
	}
	c.block.pos = len(c.block.raw) - len(rest)
	return bad
}

// readBlock reads the next block, which may have no record.
func (c *Container) readBlock() error {
	count, err := binary.ReadVarint(c.r)
	if err != nil {
		return err // io.EOF: the file ends where a block would begin
	}
	size, err := binary.ReadVarint(c.r)
	if err != nil {
		return whole(err)
	}
	if count < 0 || size < 0 || size > maxBlock {
		return fmt.Errorf("it claims %d records in %d bytes, which is more than %d or negative", count, size, maxBlock)
	}
	raw := make([]byte, size)
	var sync [16]byte
	if _, err := io.ReadFull(c.r, raw); err != nil {
		return whole(err)
	}
	if _, err := io.ReadFull(c.r, sync[:]); err != nil {
		return whole(err)
	}
	if sync != c.sync {
		return errors.New("its end is not marked as the file says")
	}
	if c.codec != nil {
		if raw, err = c.codec.DecompressBounded(raw, maxBlock); err != nil {
			return fmt.Errorf("decompressing: %w", whole(err))
		}
	}
	if count > int64(len(raw)) || count > math.MaxInt32 { // no order is empty
		return fmt.Errorf("it claims %d records in %d bytes", count, len(raw))
	}
	c.block, c.left = avroReader{raw: raw, text: string(raw)}, count
	return nil
}

// whole makes an early end of a stream out of a clean one.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
