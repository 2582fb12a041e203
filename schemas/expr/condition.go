package expr

import (
	"errors"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Why a condition could not be evaluated.
var (
	ErrTooCostly = errors.New("it takes more steps than one evaluation may")
	ErrUnfit     = errors.New("it met a value of a kind that it is not for")
)

// Holds runs the program as a condition. What is missing is false. Its error says that the condition could not be evaluated, which says nothing of the order: it
// is ErrTooCostly or ErrUnfit, and quotes nothing of the order.
func (p *Program) Holds(in *Input) (bool, error) {
	if p.quick != nil {
		switch v := p.quick(in); v.kind {
		case kindTruth:
			return v.num != 0, nil
		case kindMissing:
			return false, nil
		default: // CEL says what it is
		}
	}
	return p.holdsByCEL(in)
}

// holdsByCEL is Holds by CEL alone.
func (p *Program) holdsByCEL(in *Input) (bool, error) {
	out, err := p.eval(in)
	if err != nil {
		return false, unevaluated(err)
	}
	if yes, ok := out.(types.Bool); ok {
		return bool(yes), nil
	}
	return false, ErrUnfit
}

// unevaluated returns what an error of CEL's means: nil where something was missing.
func unevaluated(err error) error {
	if _, cancelled := errors.AsType[interpreter.EvalCancelledError](err); cancelled || errors.Is(err, errTooLong) {
		return ErrTooCostly
	}
	if errors.Is(err, errMissing) {
		return nil
	}
	// A step into an object or a list that has no such place is as missing as a field's is.
	for _, absent := range []string{"no such key", "index out of bounds"} {
		if strings.HasPrefix(err.Error(), absent) {
			return nil
		}
	}
	return ErrUnfit
}
