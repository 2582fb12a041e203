package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"verdict/schemas"
	"verdict/scorer/treemodel"
)

// predictMode says what predict prints of a row.
type predictMode struct{ raw, contributions bool }

// rowsAtOnce is how many rows are scored in one call.
const rowsAtOnce = 1024

// openRows opens the rows' file.
func openRows(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening them: %w", err)
	}
	return f, nil
}

// predictRows prints a line for each row of in, which errors call file.
func predictRows(out io.Writer, m *opened, in io.Reader, file string, how predictMode) error {
	r, err := newRowReader(in, file, m.inputs())
	if err != nil {
		return fmt.Errorf("%w rows: %w", errInvalid, err)
	}
	w := bufio.NewWriter(out)
	var flat []float64
	for more := true; more; {
		if flat, more, err = r.read(flat[:0]); err != nil {
			return errors.Join(w.Flush(), fmt.Errorf("%w rows: %w", errInvalid, err))
		}
		scores, err := m.score(flat, how)
		if err != nil {
			return err
		}
		width := m.outputs(how)
		for i := 0; i < len(scores); i += width {
			line := scores[i : i+width]
			if m.predictsClass(how) {
				line = []float64{float64(slices.Index(line, 1))}
			}
			if err := writeScores(w, line); err != nil {
				return fmt.Errorf("writing scores: %w", err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing scores: %w", err)
	}
	return nil
}

// outputs returns how many numbers a row's line has.
func (o *opened) outputs(how predictMode) int {
	if how.contributions {
		return (len(o.inputs()) + 1) * o.engine.Outputs()
	}
	return o.engine.Outputs()
}

// predictsClass says whether the library predicts the number of a class, which an engine gives as a 1 at its place.
func (o *opened) predictsClass(how predictMode) bool {
	return how == predictMode{} && o.model != nil && o.model.Info().Transform == treemodel.LargestClass
}

// score returns what is printed for flat rows.
func (o *opened) score(flat []float64, how predictMode) ([]float64, error) {
	width := len(o.inputs())
	n, k := len(flat)/width, o.outputs(how)
	out := make([]float64, n*k)
	switch {
	case how.contributions:
		for i := range n {
			if err := o.engine.Contributions(flat[i*width:(i+1)*width], out[i*k:(i+1)*k]); err != nil {
				return nil, fmt.Errorf("splitting the score among the inputs: %w", err)
			}
		}
		return out, nil
	case how.raw:
		return out, o.engine.Raw(flat, out)
	case o.bundle != nil:
		rows := make([]schemas.FeatureVector, n)
		for i := range rows {
			rows[i] = schemas.FeatureVector{Layout: o.bundle.Layout(), Values: flat[i*width : (i+1)*width]}
		}
		return out, o.bundle.Predict(rows, out)
	default:
		return out, o.engine.Predict(flat, out)
	}
}

// writeScores writes numbers in the shortest form that reads back the same.
func writeScores(w *bufio.Writer, scores []float64) error {
	line := w.AvailableBuffer()
	for i, s := range scores {
		if i > 0 {
			line = append(line, ',')
		}
		line = strconv.AppendFloat(line, s, 'g', -1, 64)
	}
	_, err := w.Write(append(line, '\n'))
	return err
}

// rowReader reads the inputs of a model from CSV.
type rowReader struct {
	in      *csv.Reader
	file    string
	inputs  []string
	columns []int // of the inputs
}

func newRowReader(in io.Reader, file string, inputs []string) (*rowReader, error) {
	if file == "-" {
		file = "stdin"
	}
	text := bufio.NewReaderSize(in, 1<<16)
	r := &rowReader{in: csv.NewReader(text), file: file, inputs: inputs}
	r.in.ReuseRecord = true
	header, err := r.in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty: a header is wanted", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	r.columns, err = matchColumns(header, inputs)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", file, err)
	}
	if len(header) == 1 {
		// The header's own reader took its line out of text and no more. The lines before are made up, so that errors still name the right ones.
		line, _ := r.in.FieldPos(0)
		before := strings.NewReader(strings.Repeat("\n", line))
		r.in = csv.NewReader(bufio.NewReader(io.MultiReader(before, &emptyRows{in: text})))
		r.in.ReuseRecord, r.in.FieldsPerRecord = true, 1
	}
	return r, nil
}

// matchColumns finds the inputs by name when the header has their names, and takes the columns in order when it has none of them. A header that has
// only some is more likely a mistake than an order of columns.
func matchColumns(header, inputs []string) ([]int, error) {
	var columns []int
	var missing []string
	for _, name := range inputs {
		at := slices.Index(header, name)
		if at < 0 {
			missing = append(missing, name)
			continue
		}
		if slices.Contains(header[at+1:], name) {
			return nil, fmt.Errorf("column %s stands twice", name)
		}
		columns = append(columns, at)
	}
	switch {
	case len(missing) == 0:
		return columns, nil
	case len(columns) > 0:
		return nil, fmt.Errorf("there is no column %s, though others of the model's inputs are there", strings.Join(missing, ", "))
	case len(header) != len(inputs):
		return nil, fmt.Errorf("no column has the name of an input, and by position %d columns do not fit %d inputs (%s, …)", len(header), len(inputs), inputs[0])
	}
	for i := range inputs {
		columns = append(columns, i)
	}
	return columns, nil
}

// read appends up to rowsAtOnce rows; more says whether any may follow.
func (r *rowReader) read(flat []float64) (_ []float64, more bool, err error) {
	for range rowsAtOnce {
		cells, err := r.in.Read()
		if errors.Is(err, io.EOF) {
			return flat, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", r.file, err)
		}
		for i, at := range r.columns {
			v, ok := cellNumber(cells[at])
			if !ok {
				line, _ := r.in.FieldPos(at)
				return nil, false, fmt.Errorf("%s:%d: %s: %q is not a number", r.file, line, r.inputs[i], cells[at])
			}
			flat = append(flat, v)
		}
	}
	return flat, true, nil
}

// cellNumber reads a cell; empty is missing.
func cellNumber(cell string) (float64, bool) {
	cell = strings.TrimSpace(cell)
	if cell == "" {
		return math.NaN(), true
	}
	if strings.Contains(cell, "_") { // only Go reads 1_000 as a number
		return 0, false
	}
	v, err := strconv.ParseFloat(cell, 64)
	// A number too large for a double is infinite, as LightGBM reads it.
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}
