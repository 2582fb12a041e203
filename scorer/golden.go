package scorer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"verdict/schemas"
)

// goldenTolerance is how far a golden row's score may be off, absolute up to 1 and relative beyond.
const goldenTolerance = 1e-6

// maxGoldenBytes bounds golden.csv; a few hundred rows show all that more would.
const maxGoldenBytes = 64 << 20

// Golden is the rows of a golden.csv, flat, in the order of the bundle's inputs.
type Golden struct {
	Rows   []float64
	Scores []float64 // as the file has them
	Lines  []int     // of the file, one a row
}

// CheckGolden runs the golden rows of dir and returns them; none of an MLflow folder without a golden.csv. The error names the first row whose score is off.
func (b *Bundle) CheckGolden(dir string) (*Golden, error) {
	path, err := Within(dir, goldenFile)
	file := filepath.Join(dir, goldenFile)
	if err != nil {
		if _, missing := os.Lstat(file); errors.Is(missing, fs.ErrNotExist) {
			if !b.golden {
				return &Golden{}, nil
			}
			return nil, fmt.Errorf("%s is missing: write there some rows with the columns %s, and score as the library that trained the model predicts them%s",
				file, strings.Join(abridged(b.layout.Names), ", "), outputHint(b))
		}
		return nil, err
	}
	g, err := readGolden(file, path, b.layout.Names)
	if err != nil {
		return nil, err
	}
	got := make([]float64, len(g.Scores))
	if err := b.scoreFlat(g.Rows, got); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i, want := range g.Scores {
		if !(math.Abs(got[i]-want) <= goldenTolerance*max(1, math.Abs(want))) {
			return nil, fmt.Errorf("%s:%d: the model scores this row %v, and the file says %v: bundle.yaml, the model and the golden rows do not belong together",
				file, g.Lines[i], got[i], want)
		}
	}
	return g, nil
}

// outputHint says what kind of score a bundle's golden rows have.
func outputHint(b *Bundle) string {
	switch {
	case b.adjust.there():
		return ", calibrated"
	case b.margin:
		return " (raw scores)"
	default:
		return ""
	}
}

// abridged keeps an error's list of names readable.
func abridged(names []string) []string {
	if len(names) <= 6 {
		return names
	}
	return append(slices.Clone(names[:5]), fmt.Sprintf("… (%d in all)", len(names)))
}

// readGolden reads a CSV file with a header: the inputs in any order, and score.
func readGolden(file, path string, inputs []string) (*Golden, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the golden rows: %w", err)
	}
	defer f.Close()
	in := csv.NewReader(io.LimitReader(f, maxGoldenBytes))
	in.ReuseRecord = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the file is empty", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // spreadsheets begin a file with a byte order mark
	columns, score, err := goldenColumns(header, inputs)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", file, err)
	}
	g := &Golden{}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := in.FieldPos(0)
		for i, at := range columns {
			v, err := goldenNumber(cells[at])
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %s: %w", file, line, inputs[i], err)
			}
			g.Rows = append(g.Rows, v)
		}
		v, err := goldenNumber(cells[score])
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%s:%d: score is %q, not a finite number", file, line, cells[score])
		}
		g.Scores, g.Lines = append(g.Scores, v), append(g.Lines, line)
	}
	if len(g.Scores) == 0 {
		return nil, fmt.Errorf("%s: there are no rows", file)
	}
	return g, nil
}

// goldenColumns finds the inputs and the score in a header.
func goldenColumns(header, inputs []string) (columns []int, score int, err error) {
	score = slices.Index(header, "score")
	if score < 0 {
		return nil, 0, errors.New("there is no column score")
	}
	for i, name := range header {
		if i != score && !slices.Contains(inputs, name) {
			return nil, 0, fmt.Errorf("column %s is no input of the bundle%s", name, schemas.Meant(name, inputs))
		}
		if slices.Index(header, name) != i {
			return nil, 0, fmt.Errorf("column %s stands twice", name)
		}
	}
	for _, name := range inputs {
		at := slices.Index(header, name)
		if at < 0 {
			return nil, 0, fmt.Errorf("there is no column %s%s", name, schemas.Meant(name, header))
		}
		columns = append(columns, at)
	}
	return columns, score, nil
}

// goldenNumber reads a cell; empty is missing.
func goldenNumber(cell string) (float64, error) {
	cell = strings.TrimSpace(cell)
	if cell == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", cell)
	}
	return v, nil
}
