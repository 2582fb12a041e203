package replay

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"math"
	"strconv"

	"verdict/schemas"
)

// csvWriter writes features.csv: order_id, then the features in order.
type csvWriter struct {
	w   *bufio.Writer
	buf []byte
}

func newCSVWriter(w *bufio.Writer, layout *schemas.Layout) (*csvWriter, error) {
	taken := []string{"order_id"}
	if err := free(layout, taken); err != nil {
		return nil, err
	}
	// Beside w, because a csv.Writer would flush it: nothing is to be seen before the checks have passed.
	var line bytes.Buffer
	header := csv.NewWriter(&line)
	if err := header.Write(append(taken, layout.Names...)); err != nil {
		return nil, err
	}
	header.Flush()
	if err := header.Error(); err != nil {
		return nil, err
	}
	_, err := w.Write(line.Bytes())
	return &csvWriter{w: w}, err
}

// write writes a line a row. An order id has no byte that CSV would have to quote, and nor has a number.
func (c *csvWriter) write(r *rows) error {
	c.buf = c.buf[:0]
	for i, id := range r.ids {
		c.buf = append(c.buf, id...)
		for _, v := range r.vector(i) {
			c.buf = appendNumber(append(c.buf, ','), v)
		}
		c.buf = append(c.buf, '\n')
	}
	_, err := c.w.Write(c.buf)
	return err
}

func (c *csvWriter) close() error { return c.w.Flush() }

// appendNumber appends the fewest digits that read back as the same double, without an exponent from 1e-6 up to 1e16: a count of 29 is 29 and an amount
// of a million is 1000000. From 1e16 on it has one, as in Python, because whoever reads a column of whole digits beyond 64 bits takes it for text, or
// for integers with a part of the rows. Missing (NaN) is empty.
func appendNumber(buf []byte, v float64) []byte {
	switch abs := math.Abs(v); {
	case v != v:
		return buf
	case v == 0:
		if math.Signbit(v) {
			buf = append(buf, '-')
		}
		return append(buf, '0')
	case abs < 1<<53 && v == math.Trunc(v):
		return strconv.AppendInt(buf, int64(v), 10) // most features are counts, and this is the quick way
	case abs < 1e-6 || abs >= 1e16:
		return strconv.AppendFloat(buf, v, 'e', -1, 64)
	default:
		return strconv.AppendFloat(buf, v, 'f', -1, 64)
	}
}
