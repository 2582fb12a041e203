package remote

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// read returns the scores of n rows.
func (m *model) read(text []byte, n int) ([]float64, error) {
	var answer struct {
		Outputs []struct {
			tensor

			Data jsontext.Value `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, errors.New("it is not what the protocol says") // the error may quote it
	}
	for _, out := range answer.Outputs {
		if out.Name != m.output {
			continue
		}
		numbers, err := flat(out.Data)
		if err != nil {
			return nil, err
		}
		columns, err := m.columns(out.tensor, len(numbers), n)
		if err != nil {
			return nil, err
		}
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = numbers[i*columns+m.column]
		}
		return scores, nil
	}
	return nil, fmt.Errorf("it has no output %s", m.output)
}

// columns returns how many numbers a row of an answer's tensor has. It must be what was announced and asked for: n rows of one number, or of several of which one
// was chosen. Of a server that leaves the shape or the datatype out, the count of numbers has to do.
func (m *model) columns(out tensor, numbers, n int) (int, error) {
	switch {
	case out.Datatype == "":
	case m.gave != "" && out.Datatype != m.gave:
		return 0, fmt.Errorf("its output is not of %s, as the server has announced", m.gave)
	case !isFloat(out.Datatype):
		return 0, errors.New("its output is not of FP16, BF16, FP32 or FP64, as a score is")
	}
	columns := numbers / n
	switch shape := out.Shape; {
	case columns == 0 || columns*n != numbers:
		return 0, fmt.Errorf("it has %d numbers for %d rows", numbers, n)
	case shape == nil:
	case len(shape) == 1 && shape[0] == int64(n) && columns == 1:
	case len(shape) == 2 && shape[0] == int64(n) && shape[1] == int64(columns):
	default:
		return 0, fmt.Errorf("its shape is %v, and it has %d numbers for %d rows: [%d, %d] is wanted", shape, numbers, n, n, columns)
	}
	switch {
	case columns > 1 && !m.chosen:
		return 0, fmt.Errorf("it has %d numbers a row: say which is the score in the model file, column: 1", columns)
	case m.column >= columns:
		return 0, fmt.Errorf("it has %d numbers a row, and column is %d", columns, m.column)
	}
	return columns, nil
}

// flat returns the numbers of a tensor, which servers write flat or nested; null is NaN.
func flat(data jsontext.Value) ([]float64, error) {
	in := jsontext.NewDecoder(bytes.NewReader(data))
	var all []float64
	for {
		token, err := in.ReadToken()
		if err != nil {
			return nil, errors.New("its data are no numbers")
		}
		switch token.Kind() {
		case '[':
		case ']':
			if in.StackDepth() == 0 {
				return all, nil
			}
		case 'n':
			all = append(all, math.NaN())
		case '0':
			x, err := token.Float()
			if err != nil {
				x = math.NaN() // beyond what a double holds
			}
			all = append(all, x)
		default:
			return nil, errors.New("its data are no numbers")
		}
		if in.StackDepth() == 0 {
			return nil, errors.New("its data are no list")
		}
	}
}
