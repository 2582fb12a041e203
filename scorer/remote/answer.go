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
		if out.Name != m.output && len(answer.Outputs) != 1 {
			continue
		}
		numbers, err := flat(out.Data)
		if err != nil {
			return nil, err
		}
		columns := len(numbers) / n
		switch {
		case columns == 0 || columns*n != len(numbers):
			return nil, fmt.Errorf("it has %d numbers for %d rows", len(numbers), n)
		case columns > 1 && !m.chosen:
			return nil, fmt.Errorf("it has %d numbers a row: say which is the score in the model file, column: 1", columns)
		case m.column >= columns:
			return nil, fmt.Errorf("it has %d numbers a row, and column is %d", columns, m.column)
		}
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = numbers[i*columns+m.column]
		}
		return scores, nil
	}
	return nil, fmt.Errorf("it has no output %s", m.output)
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
