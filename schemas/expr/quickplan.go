package expr

import (
	"math"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// quickPlan makes the quick of a checked expression. It is strict: what is not named below (loops, maps, indexes, times computed with, matches, string
// concatenation, conversions) makes the whole expression CEL's, so that nothing has to be almost right here.
type quickPlan struct {
	tree  *ast.AST
	names *resolver
}

// quickOf returns nil when the expression is CEL's alone.
func quickOf(tree *ast.AST, names *resolver) quick {
	if names.loops { // they also have a cost limit
		return nil
	}
	p := quickPlan{tree: tree, names: names}
	return p.plan(tree.Expr())
}

// plan returns nil for what it does not know.
func (p quickPlan) plan(e ast.Expr) quick {
	switch e.Kind() {
	case ast.LiteralKind:
		v, ok := constantOf(e.AsLiteral())
		if !ok {
			return nil
		}
		return func(*Input) value { return v }
	case ast.CallKind:
		return p.call(e)
	default:
		return nil
	}
}

func (p quickPlan) call(e ast.Expr) quick {
	c := e.AsCall()
	if q := p.read(c.FunctionName(), c.Args()); q != nil {
		return q
	}
	switch c.FunctionName() {
	case operators.In:
		return p.inLiteral(c.Args())
	case overloads.TypeConvertDouble:
		return p.double(c.Args())
	}
	args := p.operands(c)
	if args == nil || p.tree.GetType(e.ID()).Kind() == types.StringKind && c.FunctionName() == operators.Add {
		return nil
	}
	if c.IsMemberFunction() {
		return member(c.FunctionName(), args)
	}
	switch len(args) {
	case 1:
		return unary(c.FunctionName(), args[0])
	case 2:
		return binary(c.FunctionName(), args[0], args[1])
	case 3:
		if c.FunctionName() == operators.Conditional {
			return choose(args[0], args[1], args[2])
		}
	case 4:
		if c.FunctionName() == "distance_km" {
			return distance([4]quick(args))
		}
	}
	return nil
}

// operands returns the target and the arguments of a call; nil when one of them is CEL's.
func (p quickPlan) operands(c ast.CallExpr) []quick {
	var all []quick
	if c.IsMemberFunction() {
		all = append(all, p.plan(c.Target()))
	}
	for _, a := range c.Args() {
		all = append(all, p.plan(a))
	}
	for _, q := range all {
		if q == nil {
			return nil
		}
	}
	return all
}

func unary(name string, x quick) quick {
	switch name {
	case operators.LogicalNot:
		return not(x)
	case operators.Negate:
		return compute1(x, func(f float64) float64 { return -f })
	case "abs":
		return compute1(x, math.Abs)
	case "log":
		return compute1(x, math.Log)
	case "log1p":
		return compute1(x, math.Log1p)
	case "sqrt":
		return compute1(x, math.Sqrt)
	case "hour":
		return clock(x, hourOf)
	case "weekday":
		return clock(x, weekdayOf)
	case "missing":
		return isAbsent(x)
	default:
		return nil
	}
}

func binary(name string, x, y quick) quick {
	switch name {
	case operators.LogicalAnd:
		return decide(x, y, false)
	case operators.LogicalOr:
		return decide(x, y, true)
	case operators.Equals:
		return equal(x, y, true)
	case operators.NotEquals:
		return equal(x, y, false)
	case operators.Less:
		return ordered(x, y, less)
	case operators.LessEquals:
		return ordered(x, y, less|same)
	case operators.Greater:
		return ordered(x, y, greater)
	case operators.GreaterEquals:
		return ordered(x, y, greater|same)
	case operators.Add:
		return add(x, y)
	case operators.Subtract:
		return compute2(x, y, func(a, b float64) float64 { return a - b })
	case operators.Multiply:
		return compute2(x, y, func(a, b float64) float64 { return a * b })
	case operators.Divide:
		return compute2(x, y, func(a, b float64) float64 { return a / b })
	case callMod:
		return compute2(x, y, math.Mod)
	case "min":
		return compute2(x, y, math.Min)
	case "max":
		return compute2(x, y, math.Max)
	default:
		return nil
	}
}
