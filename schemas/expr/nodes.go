package expr

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"verdict/schemas"
)

// state is one evaluation's input as CEL carries it through.
type state struct {
	in     *Input
	lists  []ref.Val // :: slot → the list or object there as CEL takes it, made once an evaluation
	budget int       // what reads of long values may still cost; see spend
}

// spend takes the cost of going over a value of that size once. CEL's own cost limit counts the turns of loops, but not what a turn does with a long
// value of which it did not know the type when it compiled.
func (s *state) spend(size int) {
	s.budget -= size / 64
	if s.budget < 0 {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "values too long to go over so often"}) // Program.Number's Eval recovers it
	}
}

// stateName is what the state answers to when a loop's variables stand before it.
const stateName = "@state"

// ResolveName returns the state itself. No other name is ever asked: the resolver has left none.
func (s *state) ResolveName(name string) (any, bool) { return s, name == stateName }

// Parent returns nil: there is nothing around it.
func (s *state) Parent() interpreter.Activation { return nil }

func stateOf(frame *interpreter.ExecutionFrame) *state {
	if s, ok := frame.Scope().(*state); ok {
		return s
	}
	v, _ := frame.ResolveName(stateName)
	return v.(*state)
}

// decorate puts nodes that read the input, and that check arithmetic, in the place of the calls which the resolver left for them.
func (r *resolver) decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case callField, callNumber, callBool, callString, callKey:
		slot, err := constant(call, 0)
		if err != nil {
			return nil, err
		}
		path := r.fields[slot]
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return stateOf(f).field(call.Function(), path, slot) }), nil
	case callFeature:
		place, err := constant(call, 0)
		if err != nil {
			return nil, err
		}
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return numeral(stateOf(f).in.Features[place]) }), nil
	case callScore:
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return numeral(stateOf(f).in.Score) }), nil
	case callFraud:
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return types.Bool(stateOf(f).in.Fraud) }), nil
	case callInList:
		number, err := constant(call, 1)
		if err != nil {
			return nil, err
		}
		list, x := r.lists[number], call.Args()[0]
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return inList(x.Exec(f), list, stateOf(f).in.At) }), nil
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		return arithmetic(call), nil
	case operators.In:
		return contains(call), nil
	case operators.Negate, overloads.TypeConvertDouble:
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return checked(i.Exec(f)) }), nil
	default:
		return i, nil
	}
}

// constant returns a call's argument that the resolver wrote: a slot or a place.
func constant(call interpreter.InterpretableCall, arg int) (int, error) {
	c, ok := call.Args()[arg].(interpreter.InterpretableConst)
	if !ok {
		return 0, fmt.Errorf("the place of %s is no constant", call.Function()) // unreachable: the resolver writes a literal
	}
	return int(c.Value().(types.Double)), nil
}

// evalNode is a node of the evaluation that is a Go function.
type evalNode struct {
	id   int64
	exec func(*interpreter.ExecutionFrame) ref.Val
}

func node(call interpreter.InterpretableCall, exec func(*interpreter.ExecutionFrame) ref.Val) *evalNode {
	return &evalNode{id: call.ID(), exec: exec}
}

// ID returns the id of the syntax tree's node.
func (n *evalNode) ID() int64 { return n.id }

// Exec evaluates the node.
func (n *evalNode) Exec(f *interpreter.ExecutionFrame) ref.Val { return n.exec(f) }

// Eval evaluates the node.
func (n *evalNode) Eval(a interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(a, n.exec)
}

// arithmetic returns a node for + - * / of which the result is missing when it is no finite number. Two doubles go past CEL's dispatch.
func arithmetic(call interpreter.InterpretableCall) *evalNode {
	a, b := call.Args()[0], call.Args()[1]
	var op func(x, y float64) float64
	switch call.OverloadID() {
	case overloads.AddDouble:
		op = func(x, y float64) float64 { return x + y }
	case overloads.SubtractDouble:
		op = func(x, y float64) float64 { return x - y }
	case overloads.MultiplyDouble:
		op = func(x, y float64) float64 { return x * y }
	case overloads.DivideDouble:
		op = func(x, y float64) float64 { return x / y }
	default: // not known before it is run, or no numbers
		return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return checked(call.Exec(f)) })
	}
	compute := number2(op)
	return node(call, func(f *interpreter.ExecutionFrame) ref.Val { return compute(a.Exec(f), b.Exec(f)) })
}

// maxJoined is how long a text or a list may be that + makes, so that doubling it again and again ends soon.
const maxJoined = 100_000

// checked makes missing what is no finite number, and an error what + has made too long.
func checked(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Double:
		return numeral(float64(v))
	case types.String:
		if len(v) > maxJoined {
			return errTooLong
		}
	case traits.Lister:
		if n, ok := v.Size().(types.Int); !ok || n > maxJoined {
			return errTooLong
		}
	}
	return v
}

// contains returns a node for x in y, which goes over the whole of y. A literal y is left to CEL, which makes it a set.
func contains(call interpreter.InterpretableCall) interpreter.InterpretableV2 {
	x, y := call.Args()[0], call.Args()[1]
	if _, literal := y.(interpreter.InterpretableConst); literal {
		return call
	}
	return node(call, func(f *interpreter.ExecutionFrame) ref.Val {
		if list, ok := y.Exec(f).(traits.Lister); ok {
			if n, ok := list.Size().(types.Int); ok {
				stateOf(f).spend(int(n))
			}
			v := x.Exec(f)
			if types.IsUnknownOrError(v) {
				return v
			}
			return list.Contains(v)
		}
		return call.Exec(f)
	})
}

func inList(v ref.Val, list List, at int64) ref.Val {
	switch v := v.(type) {
	case types.String:
		return types.Bool(list.Has(string(v), at))
	case types.Double:
		if key, ok := integerKey(float64(v)); ok {
			return types.Bool(list.Has(key, at))
		}
		return errMissing
	}
	if types.IsUnknownOrError(v) {
		return v
	}
	return errKind
}

// integerKey returns a number as an id; false where it is no integer that a double holds exactly.
func integerKey(f float64) (string, bool) {
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}

// field returns the order's field as CEL takes it. One of another kind than its schema promised is missing.
func (s *state) field(as string, path schemas.Path, slot int) ref.Val {
	v := s.in.Fields.At(path)
	s.spend(len(v.Str()) + len(v.List()) + len(v.Object()))
	switch as {
	case callNumber:
		return numeral(v.Number())
	case callBool:
		if v.Kind() != schemas.Bool {
			return errMissing
		}
		return types.Bool(v.Bool())
	case callString:
		if v.Kind() != schemas.String && v.Kind() != schemas.Int { // an id in a string field may have come as an integer
			return errMissing
		}
		return textual(v)
	case callKey:
		return textual(v)
	}
	if v.Kind() != schemas.List && v.Kind() != schemas.Object {
		return toCEL(v)
	}
	for len(s.lists) <= slot {
		s.lists = append(s.lists, nil)
	}
	if s.lists[slot] == nil {
		s.lists[slot] = toCEL(v)
	}
	return s.lists[slot]
}

// toCEL returns v as CEL's value.
func toCEL(v schemas.Value) ref.Val {
	switch v.Kind() {
	case schemas.Bool:
		return types.Bool(v.Bool())
	case schemas.Int, schemas.Float:
		return numeral(v.Number())
	case schemas.String:
		return types.String(v.Str())
	case schemas.Time:
		return types.Timestamp{Time: time.UnixMicro(v.Micros()).UTC()}
	case schemas.List:
		list := make([]ref.Val, len(v.List()))
		for i, one := range v.List() {
			list[i] = toCEL(one)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case schemas.Object:
		fields := make(map[ref.Val]ref.Val, len(v.Object()))
		for _, f := range v.Object() {
			if !f.Value.Missing() { // so that has() and a read of it see none
				fields[types.String(f.Name)] = toCEL(f.Value)
			}
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, fields)
	default:
		return errMissing
	}
}

// textOf returns v as text: a string as it is, an integer exactly; false where it has none.
func textOf(v schemas.Value) (string, bool) {
	switch v.Kind() {
	case schemas.String:
		return v.Str(), true
	case schemas.Int:
		return strconv.FormatInt(v.Int(), 10), true
	case schemas.Float:
		return strconv.FormatFloat(v.Number(), 'f', -1, 64), true
	case schemas.Bool:
		return strconv.FormatBool(v.Bool()), true
	case schemas.Time:
		return time.UnixMicro(v.Micros()).UTC().Format(time.RFC3339Nano), true
	default:
		return "", false
	}
}

func textual(v schemas.Value) ref.Val {
	s, ok := textOf(v)
	switch {
	case ok:
		return types.String(s)
	case v.Missing():
		return errMissing
	default:
		return errKind
	}
}
