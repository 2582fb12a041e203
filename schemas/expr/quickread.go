package expr

import (
	"sync/atomic"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"verdict/schemas"
)

// maxQuick is the longest text, in bytes, and list or object, in elements, that a quick reads. What is longer is CEL's, which keeps an account of it (see
// state.spend): an expression has no more reads than nodes, and maxNodes reads of this length are within the account, so that none has to be kept here.
const maxQuick = 1024

// read returns the quick of a call that the resolver wrote to read the input; nil for another.
func (p quickPlan) read(call string, args []ast.Expr) quick {
	switch call {
	case callField, callNumber, callBool, callString, callKey:
		return field(p.names.fields[placeOf(args[0])], taker(call))
	case callFeature:
		place := placeOf(args[0])
		return func(in *Input) value {
			if place >= len(in.Features) { // the caller's fault, which CEL takes for a missing value
				return value{kind: kindForeign}
			}
			return numberOf(in.Features[place])
		}
	case callScore:
		return func(in *Input) value { return numberOf(in.Score) }
	case callFraud:
		return func(in *Input) value { return truthOf(in.Fraud) }
	case callInList:
		x, list := p.plan(args[0]), p.names.lists[placeOf(args[1])]
		if x == nil || list == nil {
			return nil
		}
		return onList(x, list)
	default:
		return nil
	}
}

// placeOf returns a call's argument that the resolver wrote.
func placeOf(e ast.Expr) int { return int(e.AsLiteral().(types.Double)) }

// field reads the field at path. It passes pointers to values: copying them would take most of its time.
func field(path schemas.Path, take func(*schemas.Value) value) quick {
	f := finder{path: path, last: make([]atomic.Uint32, len(path))}
	return func(in *Input) value {
		v := f.find(in.Fields)
		if v == nil {
			return value{}
		}
		if len(v.Str()) > maxQuick || len(v.List()) > maxQuick || len(v.Object()) > maxQuick {
			return value{kind: kindForeign}
		}
		return take(v)
	}
}

// finder is schemas.Record.At for one path. It looks first where it last found the field: orders mostly come with their fields in one order.
type finder struct {
	path schemas.Path
	last []atomic.Uint32 // :: step of the path → place of that name in the last record that had it
}

// find returns nil where a step of the path is not there.
func (f *finder) find(r schemas.Record) *schemas.Value {
	var v *schemas.Value
	for step, name := range f.path {
		if v != nil {
			r = v.Object()
		}
		i := int(f.last[step].Load())
		if i >= len(r) || r[i].Name != name {
			i = 0
			for i < len(r) && r[i].Name != name {
				i++
			}
			if i == len(r) {
				return nil
			}
			f.last[step].Store(uint32(i))
		}
		v = &r[i].Value
	}
	return v
}

// taker returns how the read of that name takes a field. It is the twin of state.field.
func taker(call string) func(*schemas.Value) value {
	switch call {
	case callNumber:
		return func(v *schemas.Value) value { return numberOf(v.Number()) }
	case callBool:
		return func(v *schemas.Value) value {
			if v.Kind() != schemas.Bool {
				return value{}
			}
			return truthOf(v.Bool())
		}
	case callString:
		return func(v *schemas.Value) value {
			if v.Kind() != schemas.String && v.Kind() != schemas.Int {
				return value{}
			}
			return textValue(textOf(*v))
		}
	case callKey:
		return func(v *schemas.Value) value {
			text, ok := textOf(*v)
			if !ok && !v.Missing() {
				return value{kind: kindUnfit}
			}
			return textValue(text, ok)
		}
	default:
		return takeAny
	}
}

// takeAny is the twin of toCEL.
func takeAny(v *schemas.Value) value {
	switch v.Kind() {
	case schemas.Bool:
		return truthOf(v.Bool())
	case schemas.Int, schemas.Float:
		return numberOf(v.Number())
	case schemas.String:
		return value{kind: kindText, text: v.Str()}
	case schemas.Time:
		return value{kind: kindTime, num: float64(floorDiv(v.Micros(), 1e6))}
	case schemas.List, schemas.Object:
		return value{kind: kindNest}
	default:
		return value{}
	}
}

// onList is x in list('name').
func onList(x quick, list List) quick {
	return func(in *Input) value {
		v := x(in)
		switch v.kind {
		case kindText:
			return truthOf(list.Has(v.text, in.At))
		case kindNumber:
			if key, ok := integerKey(v.num); ok {
				return truthOf(list.Has(key, in.At))
			}
			return value{}
		default:
		}
		return unfit(v, v)
	}
}

// inLiteral is x in [1, 'a', true]: a list of literals.
func (p quickPlan) inLiteral(args []ast.Expr) quick {
	x := p.plan(args[0])
	if x == nil || args[1].Kind() != ast.ListKind {
		return nil
	}
	elements := make(map[value]bool)
	for _, e := range args[1].AsList().Elements() {
		if e.Kind() != ast.LiteralKind {
			return nil
		}
		v, ok := constantOf(e.AsLiteral())
		if !ok {
			return nil
		}
		elements[v] = true
	}
	if len(elements) == 0 { // CEL does not ask for x then
		return func(*Input) value { return truthOf(false) }
	}
	return func(in *Input) value {
		v := x(in)
		if v.kind.absent() || v.kind.leftToCEL() {
			return unfit(v, v)
		}
		return truthOf(elements[v])
	}
}

// double is what the resolver made of size(text), or of text.size().
func (p quickPlan) double(args []ast.Expr) quick {
	if len(args) != 1 || args[0].Kind() != ast.CallKind || args[0].AsCall().FunctionName() != overloads.Size {
		return nil
	}
	text := p.operands(args[0].AsCall())
	if len(text) != 1 {
		return nil
	}
	return runes(text[0])
}
