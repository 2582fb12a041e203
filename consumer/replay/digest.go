package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/bits"

	"verdict/schemas"
)

// Digest tells two sets of decisions apart, whatever the order in which they were made: the sum, modulo 2^128, of a hash of each decision's order id, vector,
// score and action. So it is equal for any batch size, number of threads or partitions, source and store. The hash is the first 16 bytes, big-endian, of
// the SHA-256 of
//
//	the id and a 0 byte · the action and a 0 byte · the score's bits · the bits of each value of the vector
//
// with bits as 8 bytes, big-endian, of the IEEE double. What is no finite number is missing, as it is in a decision's record, and has the bits of one NaN:
// 0x7ff8000000000001. The zero value is of no decisions.
type Digest struct {
	high, low uint64
	buf       []byte
}

// Add adds a decision.
func (d *Digest) Add(decision *schemas.Decision) {
	d.buf = append(append(d.buf[:0], decision.OrderID...), 0)
	d.buf = append(append(d.buf, decision.Action...), 0)
	d.buf = binary.BigEndian.AppendUint64(d.buf, bitsOf(decision.Score))
	for _, value := range decision.Inputs.Values {
		d.buf = binary.BigEndian.AppendUint64(d.buf, bitsOf(value))
	}
	sum := sha256.Sum256(d.buf)
	var carry uint64
	d.low, carry = bits.Add64(d.low, binary.BigEndian.Uint64(sum[8:]), 0)
	d.high, _ = bits.Add64(d.high, binary.BigEndian.Uint64(sum[:]), carry)
}

// String returns the digest as 32 hex digits.
func (d *Digest) String() string {
	b := binary.BigEndian.AppendUint64(nil, d.high)
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, d.low))
}

// parse takes what String gave.
func (d *Digest) parse(text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 16 {
		return errors.New("a digest has 32 hex digits")
	}
	d.high, d.low = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	return nil
}

// bitsOf returns the bits of a number, the same for all that are missing.
func bitsOf(f float64) uint64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f)
}
