package expr

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"verdict/schemas"
)

// call rewrites a call, after its arguments.
func (r *resolver) call(e ast.Expr, locals []string, loops int) {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	switch {
	case name == operators.In && isCallOf(args[1], "list"):
		r.inList(e, args[0], args[1], locals, loops)
		return
	case name == operators.Negate && args[0].Kind() == ast.LiteralKind && args[0].AsLiteral().Type() == types.IntType:
		// As the literal that Program.Text makes of it: -(0) and -0 are 0, without a sign.
		e.SetKindCase(r.make.NewLiteral(e.ID(), -args[0].AsLiteral().(types.Int)))
		r.literal(e)
		return
	case name == "list" && !c.IsMemberFunction():
		r.fault(e.ID(), "list('name') stands only to the right of in")
		return
	case name == operators.Index:
		r.walk(args[0], locals, loops)
		r.index(args[1], locals, loops)
		if args[1].Kind() != ast.LiteralKind { // a double, where CEL's checker wants an integer
			e.SetKindCase(r.make.NewCall(e.ID(), name, args[0], r.make.NewCall(r.id(e.ID()), "dyn", args[1])))
		}
		return
	case name == overloads.TypeConvertString && len(args) == 1:
		if path, at := r.pathOf(args[0], locals); path != nil && r.isField(path) {
			if call := r.name(path, at, true); call != nil {
				e.SetKindCase(call)
			}
			return
		}
	}
	if !known(name) {
		r.fault(e.ID(), "unknown function %s%s", name, schemas.Meant(name, append(callable(), "has", "all", "exists", "exists_one", "map", "filter")))
		return
	}
	if c.IsMemberFunction() {
		r.walk(c.Target(), locals, loops)
	}
	for _, a := range args {
		r.walk(a, locals, loops)
	}
	r.rename(e, c)
}

// rename puts this package's functions in the place of CEL's where those do not take doubles, or take less.
func (r *resolver) rename(e ast.Expr, c ast.CallExpr) {
	name, args := c.FunctionName(), c.Args()
	switch {
	case c.IsMemberFunction() && givesInt(name):
		e.SetKindCase(r.make.NewCall(e.ID(), overloads.TypeConvertDouble, r.make.NewMemberCall(r.id(e.ID()), name, c.Target(), args...)))
	case givesInt(name):
		e.SetKindCase(r.make.NewCall(e.ID(), overloads.TypeConvertDouble, r.make.NewCall(r.id(e.ID()), name, args...)))
	case name == operators.Modulo:
		e.SetKindCase(r.make.NewCall(e.ID(), callMod, args...))
	case name == overloads.TypeConvertTimestamp:
		e.SetKindCase(r.make.NewCall(e.ID(), callTime, args...))
	case name == overloads.Matches && (len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind):
		r.fault(e.ID(), "matches needs its pattern as a literal string")
	case (name == "min" || name == "max") && len(args) > 2:
		sofar := args[0]
		for _, a := range args[1 : len(args)-1] {
			sofar = r.make.NewCall(r.id(e.ID()), name, sofar, a)
		}
		e.SetKindCase(r.make.NewCall(e.ID(), name, sofar, args[len(args)-1]))
	}
}

// inList rewrites x in list('name').
func (r *resolver) inList(e, x, list ast.Expr, locals []string, loops int) {
	args := list.AsCall().Args()
	if len(args) != 1 || args[0].Kind() != ast.LiteralKind || args[0].AsLiteral().Type() != types.StringType {
		r.fault(list.ID(), "list takes one literal name: list('blocked')")
		return
	}
	name := string(args[0].AsLiteral().(types.String))
	on, ok := r.scope.Lists[name]
	if !ok {
		r.fault(list.ID(), "unknown list %s%s", name, schemas.Meant(name, sortedKeys(r.scope.Lists)))
		return
	}
	// A field is compared as its text: exact for every integer, and the integer 42 is on a list that has "42".
	if path, at := r.pathOf(x, locals); path != nil && r.isField(path) {
		if call := r.name(path, at, true); call != nil {
			x.SetKindCase(call)
		}
	} else {
		r.walk(x, locals, loops)
	}
	number := len(r.lists)
	r.lists = append(r.lists, on)
	e.SetKindCase(r.make.NewCall(e.ID(), callInList, x, r.make.NewLiteral(r.id(e.ID()), types.Double(number))))
}

func isCallOf(e ast.Expr, name string) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == name && !e.AsCall().IsMemberFunction()
}

// known says whether name is a function that an expression may call, or an operator.
func known(name string) bool {
	if _, ok := operators.FindReverse(name); ok {
		return true
	}
	return name == operators.NotStrictlyFalse || slices.Contains(callable(), name)
}

func sortedKeys(m map[string]List) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fault notes what is wrong at the node of that id.
func (r *resolver) fault(id int64, format string, args ...any) {
	if len(r.faults) == maxFaults {
		return
	}
	f := &Fault{Line: 1, Column: 1, Text: printable(fmt.Sprintf(format, args...))}
	if at := r.tree.SourceInfo().GetStartLocation(id); at.Line() > 0 {
		f.Line, f.Column = at.Line(), at.Column()+1
	}
	r.faults = append(r.faults, f)
}
