// Package expr is the expression language of feature sets and policies: CEL over an order's fields, the features and, in rules, the score, in conditions
// on counted orders the label.
//
// It differs from plain CEL in this, so that arithmetic on orders reads as one would write it:
//
//   - Every number is a double: integer fields and literals too, and what size() and the like return. So amount / 2 divides. An integer id compares
//     as a number with numbers (customer_id == 42); as text it is string(customer_id), exact also beyond 2^53, and `in list('name')` compares texts.
//   - A value may be missing: a field that is absent or null, a step of its path that is, a feature without a value. Anything computed or compared
//     with something missing is missing, and so are x / 0, log(0) and below, sqrt of less than 0, what is too large for a double, and an operation
//     on a kind of value that it does not know. Inside it is a CEL error, so && || and ?: cut short as CEL's do: false && m is false, true || m is true.
//     missing(x) tells; has(a.b) is !missing(a.b).
//   - Names are those of the score and the label where there are such, then of features, then of fields: the label fraud (a boolean) and a feature hide
//     the field of their name. Every name and function is checked when compiled.
//   - A time is a Time field, an RFC 3339 string or milliseconds since 1970; hour(t), weekday(t) (Monday is 0) and timestamp(t) take each. All is UTC.
//   - Also: abs, log (natural), log1p, sqrt, min and max of two or more, distance_km(lat1, lon1, lat2, lon2).
//
// A program has two evaluators. CEL's is the meaning of the language, and runs whatever compiles. It boxes every value, though, and features are evaluated
// for each order: so common expressions also have a quick one of plain Go functions, some five times as fast and without allocation. It does only what it
// does exactly as CEL, and leaves to CEL the rest: whole expressions when they are compiled (loops, maps, durations, matches, …), and single orders when
// they are run (long texts, lists, times that are compared). TestQuickEvaluationGivesWhatCELGives and FuzzQuickEvaluation hold the two equal, bit for bit.
//
// What a program costs is bounded: its text (MaxText), its depth, how deep all(), exists(), map() and filter() nest, and, where there is such a loop,
// the steps of one evaluation (beyond maxCost the result is missing).
//
// A condition (Scope.Condition, Program.Holds) tells three things apart: what it says of the order is so, is not so or misses what it would be said of, or could
// not be found out, as when the evaluation was given up or met a value of a kind that it is not for. Who decides by it must not take the third for the second.
package expr

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"verdict/schemas"
)

// MaxText is the longest expression, in bytes.
const MaxText = 64 << 10

// What one expression may be.
const (
	maxDepth = 250     // levels of the syntax tree; CEL's own parser stops there too
	maxNodes = 10_000  // of the syntax tree
	maxLoops = 2       // loops inside one another
	maxCost  = 200_000 // CEL's cost units of one evaluation with loops; and of reading long values, 64 bytes or elements each
)

// List is a named list of a policy: Has says whether a value with that Key is on it at a time, in microseconds since 1970. It is called concurrently.
type List interface {
	Has(key string, at int64) bool
}

// Scope is what an expression may name.
type Scope struct {
	Fields   *schemas.Schema // the order's; nil: any field
	Features []string        // in the order of Input.Features
	Score    bool            // whether there is a score: in rules
	Fraud    bool            // whether the order's label can be named, the boolean fraud: in conditions on orders that were counted
	Lists    map[string]List // by name; nil: no list() here

	Condition bool // whether the expression has to say yes or no: one that can only give a number is refused
}

// Input is what a program is run on.
type Input struct {
	Fields   schemas.Record
	Features []float64 // in the order of Scope.Features, NaN where missing; may be longer
	Score    float64   // NaN when there is none
	Fraud    bool      // the label; an order without one is no fraud
	At       int64     // the order's event time, in microseconds since 1970: entries of lists end by it
}

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	quick  quick // nil where only CEL can
	cel    cel.Program
	text   string
	paths  []schemas.Path
	uses   []string
	score  bool
	fraud  bool
	states sync.Pool // of *state, so that running allocates no activation
}

// Fault is one thing wrong with an expression. Line and Column count from 1.
type Fault struct {
	Line, Column int
	Text         string
}

// Error returns the text with its column, and its line when that is not the first.
func (f *Fault) Error() string {
	if f.Line > 1 {
		return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Text)
	}
	return fmt.Sprintf("column %d: %s", f.Column, f.Text)
}

// Compile checks text and prepares it. Its error joins one *Fault for each thing wrong.
func Compile(text string, s Scope) (*Program, error) {
	if len(text) > MaxText {
		return nil, &Fault{Line: 1, Column: 1, Text: fmt.Sprintf("the expression has %d bytes, more than %d", len(text), MaxText)}
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("setting up the expression language: %w", err)
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	// Whoever spells it differently means the same: this is what is hashed.
	canonical, err := cel.AstToString(parsed)
	if err != nil {
		canonical = text
	}

	names := newResolver(parsed.NativeRep(), s)
	if err := names.resolve(); err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	if fault := s.gives(checked.OutputType()); fault != "" {
		return nil, &Fault{Line: 1, Column: 1, Text: fault}
	}

	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CustomDecoratorV2(names.decorate)}
	if names.loops {
		options = append(options, cel.CostLimit(maxCost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		return nil, &Fault{Line: 1, Column: 1, Text: err.Error()}
	}
	p := &Program{quick: quickOf(checked.NativeRep(), names), cel: program, text: canonical, paths: names.fieldPaths(), uses: names.uses(), score: names.score, fraud: names.fraud}
	p.states.New = func() any { return new(state) }
	return p, nil
}

// CheckSyntax says what is wrong with text before anybody knows what it may name: its error is as Compile's.
func CheckSyntax(text string) error {
	env, err := language()
	if err != nil {
		return fmt.Errorf("setting up the expression language: %w", err)
	}
	if len(text) > MaxText {
		return nil // Compile says so
	}
	if _, issues := env.Parse(text); issues.Err() != nil {
		return faultsOf(issues)
	}
	return nil
}

// gives says what is wrong with the kind of an expression's result; "" when nothing is, or only running it can tell.
func (s *Scope) gives(out *types.Type) string {
	switch kind := out.Kind(); {
	case kind == types.BoolKind || kind == types.DynKind || kind == types.DoubleKind && !s.Condition:
		return ""
	case kind == types.DoubleKind:
		return "gives a number, not a boolean: write what it is compared with, … > 0 or … == 1"
	case s.Condition:
		return "gives " + kindName(out) + ", not a boolean"
	default:
		return "gives " + kindName(out) + ", not a number or a boolean"
	}
}

// Number runs the program: a boolean gives 1 or 0, NaN is missing.
func (p *Program) Number(in *Input) float64 {
	if p.quick != nil {
		if n, ok := p.quick(in).result(); ok {
			return n
		}
	}
	return p.byCEL(in)
}

// eval runs the program by CEL alone.
func (p *Program) eval(in *Input) (ref.Val, error) {
	st := p.states.Get().(*state)
	st.in, st.budget = in, maxCost
	out, _, err := p.cel.Eval(st)
	st.in = nil
	clear(st.lists)
	p.states.Put(st)
	return out, err
}

// byCEL is Number by CEL alone.
func (p *Program) byCEL(in *Input) float64 {
	out, err := p.eval(in)
	if err != nil {
		return math.NaN()
	}
	switch v := out.(type) {
	case types.Double:
		return finite(float64(v))
	case types.Bool:
		if v {
			return 1
		}
		return 0
	default:
		return math.NaN()
	}
}

// True runs the program and says whether it is true, or a number other than 0. Missing is false.
func (p *Program) True(in *Input) bool {
	n := p.Number(in)
	return n == n && n != 0
}

// FieldPaths returns which fields of the order the program reads, in the order in which it names them.
func (p *Program) FieldPaths() []schemas.Path { return p.paths }

// Uses returns which features the program reads, in the order in which it names them.
func (p *Program) Uses() []string { return p.uses }

// UsesScore says whether the program reads the model's score.
func (p *Program) UsesScore() bool { return p.score }

// UsesFraud says whether the program reads the order's label.
func (p *Program) UsesFraud() bool { return p.fraud }

// Text returns the expression in one spelling: the same for every way to space and quote it.
func (p *Program) Text() string { return p.text }

// finite returns f, or NaN where f is infinite.
func finite(f float64) float64 {
	if math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// Faults returns the single faults that an error of Compile joins.
func Faults(err error) []*Fault {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		var faults []*Fault
		for _, one := range many.Unwrap() {
			faults = append(faults, Faults(one)...)
		}
		return faults
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return []*Fault{f}
	}
	if err != nil {
		return []*Fault{{Line: 1, Column: 1, Text: err.Error()}}
	}
	return nil
}
