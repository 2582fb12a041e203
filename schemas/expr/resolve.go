package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"verdict/schemas"
)

// resolver rewrites a parsed expression in place: names into calls that read a numbered field or feature, integers into doubles. What it leaves is
// plain CEL for the checker.
type resolver struct {
	tree  *ast.AST
	make  ast.ExprFactory
	scope Scope
	next  int64 // id of the next node made

	fields   []schemas.Path // :: slot → path
	features []int          // places of those that are read
	lists    []List         // :: number → list
	loops    bool           // whether there is a comprehension
	score    bool           // whether the score is read
	fraud    bool           // whether the label is read
	faults   []error
}

func newResolver(tree *ast.AST, s Scope) *resolver {
	return &resolver{tree: tree, make: ast.NewExprFactory(), scope: s, next: ast.MaxID(tree) + 1}
}

// resolve rewrites the whole tree. Its error joins *Faults.
func (r *resolver) resolve() error {
	if ast.ExceedsDepth(r.tree, maxDepth) {
		return &Fault{Line: 1, Column: 1, Text: "is nested too deep"}
	}
	if ast.NodeCount(r.tree) > maxNodes {
		return &Fault{Line: 1, Column: 1, Text: fmt.Sprintf("has more than %d parts", maxNodes)}
	}
	r.walk(r.tree.Expr(), nil, 0)
	return errors.Join(r.faults...)
}

func (r *resolver) fieldPaths() []schemas.Path { return r.fields }

func (r *resolver) uses() []string {
	names := make([]string, len(r.features))
	for i, place := range r.features {
		names[i] = r.scope.Features[place]
	}
	return names
}

// walk rewrites e. locals are the variables of the loops around it.
func (r *resolver) walk(e ast.Expr, locals []string, loops int) {
	if path, at := r.pathOf(e, locals); path != nil {
		if call := r.name(path, at, false); call != nil {
			e.SetKindCase(call)
		}
		return
	}
	switch e.Kind() {
	case ast.LiteralKind:
		r.literal(e)
	case ast.SelectKind:
		r.selection(e, locals, loops)
	case ast.CallKind:
		r.call(e, locals, loops)
	case ast.ListKind:
		for _, one := range e.AsList().Elements() {
			r.walk(one, locals, loops)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.index(entry.AsMapEntry().Key(), locals, loops)
			r.walk(entry.AsMapEntry().Value(), locals, loops)
		}
	case ast.StructKind:
		r.fault(e.ID(), "unknown type %s", e.AsStruct().TypeName())
	case ast.ComprehensionKind:
		r.comprehension(e.AsComprehension(), e.ID(), locals, loops)
	default: // the variable of a loop
	}
}

// pathOf returns the names of a.b["c"] and the id of its first one; nil when e is something else or starts with a local variable.
func (r *resolver) pathOf(e ast.Expr, locals []string) (schemas.Path, int64) {
	switch e.Kind() {
	case ast.IdentKind:
		name := strings.TrimPrefix(e.AsIdent(), ".")
		if slices.Contains(locals, name) {
			return nil, 0
		}
		return schemas.Path{name}, e.ID()
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() {
			return r.step(s.Operand(), s.FieldName(), locals)
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.LiteralKind {
			return nil, 0
		}
		if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
			return r.step(c.Args()[0], string(name), locals)
		}
	default:
	}
	return nil, 0
}

func (r *resolver) step(operand ast.Expr, name string, locals []string) (schemas.Path, int64) {
	path, at := r.pathOf(operand, locals)
	if path == nil {
		return nil, 0
	}
	return append(path, name), at
}

// isField says whether path, where it is read, is a field's: not that of the score, the label or a feature.
func (r *resolver) isField(path schemas.Path) bool {
	switch {
	case r.scope.Score && len(path) == 1 && path[0] == "score":
		return false
	case r.scope.Fraud && path[0] == "fraud":
		return false
	default:
		return !slices.Contains(r.scope.Features, path[0])
	}
}

// name returns the call that reads what path names, as text when asText; nil, with a fault, when there is no such thing.
func (r *resolver) name(path schemas.Path, at int64, asText bool) ast.Expr {
	if r.scope.Score && len(path) == 1 && path[0] == "score" {
		r.score = true
		return r.read(at, callScore, 0)
	}
	if r.scope.Fraud && path[0] == "fraud" {
		if len(path) > 1 {
			r.fault(at, "fraud is the order's label, a boolean: it has no field %s", path[1])
			return nil
		}
		r.fraud = true
		return r.read(at, callFraud, 0)
	}
	if place := slices.Index(r.scope.Features, path[0]); place >= 0 {
		if len(path) > 1 {
			r.fault(at, "%s is a feature, a number: it has no field %s", path[0], path[1])
			return nil
		}
		if !slices.Contains(r.features, place) {
			r.features = append(r.features, place)
		}
		return r.read(at, callFeature, place)
	}
	if r.scope.Fields != nil && !r.scope.Fields.Has(path) {
		known := slices.Clone(r.scope.Features)
		if r.scope.Score {
			known = append(known, "score")
		}
		if r.scope.Fraud {
			known = append(known, "fraud")
		}
		r.fault(at, "unknown field or feature %s%s", path, schemas.Meant(path.String(), append(known, r.scope.Fields.Paths()...)))
		return nil
	}
	slot := slices.IndexFunc(r.fields, func(p schemas.Path) bool { return slices.Equal(p, path) })
	if slot < 0 {
		slot = len(r.fields)
		r.fields = append(r.fields, path)
	}
	if asText {
		return r.read(at, callKey, slot)
	}
	return r.read(at, r.reader(path), slot)
}

// reader returns the call that reads a field of the kind that the schema knows it to have, so that the checker can tell a wrong use.
func (r *resolver) reader(path schemas.Path) string {
	if r.scope.Fields == nil {
		return callField
	}
	kind, _ := r.scope.Fields.Kind(path)
	switch kind {
	case schemas.Int, schemas.Float:
		return callNumber
	case schemas.Bool:
		return callBool
	case schemas.String:
		return callString
	default:
		return callField
	}
}

func (r *resolver) read(at int64, call string, place int) ast.Expr {
	return r.make.NewCall(r.id(at), call, r.make.NewLiteral(r.id(at), types.Double(place)))
}

// literal makes an integer a double.
func (r *resolver) literal(e ast.Expr) {
	var f float64
	var exact bool
	switch v := e.AsLiteral().(type) {
	case types.Int:
		f, exact = float64(v), v >= -1<<53 && v <= 1<<53
	case types.Uint:
		f, exact = float64(v), v <= 1<<53
	default:
		return
	}
	if !exact {
		r.fault(e.ID(), "numbers are doubles, which do not tell integers beyond 2^53 apart: compare as text, string(field) == \"…\"")
	}
	e.SetKindCase(r.make.NewLiteral(e.ID(), types.Double(f)))
}

// selection rewrites has(a.b), and x.b where x is no field.
func (r *resolver) selection(e ast.Expr, locals []string, loops int) {
	s := e.AsSelect()
	path, at := r.pathOf(s.Operand(), locals)
	if !s.IsTestOnly() || path == nil {
		r.walk(s.Operand(), locals, loops)
		return
	}
	if field := r.name(append(path, s.FieldName()), at, false); field != nil {
		e.SetKindCase(r.make.NewCall(e.ID(), operators.LogicalNot, r.make.NewCall(r.id(at), "missing", field)))
	}
}

// index walks a key of a map or an index, whose integers stay what they are.
func (r *resolver) index(e ast.Expr, locals []string, loops int) {
	if e.Kind() != ast.LiteralKind {
		r.walk(e, locals, loops)
	}
}

func (r *resolver) comprehension(c ast.ComprehensionExpr, id int64, locals []string, loops int) {
	r.loops = true
	if loops == maxLoops {
		r.fault(id, "more than %d loops inside one another", maxLoops)
		return
	}
	r.walk(c.IterRange(), locals, loops)
	r.walk(c.AccuInit(), locals, loops)
	inner := append(slices.Clone(locals), c.AccuVar(), c.IterVar())
	if c.HasIterVar2() {
		inner = append(inner, c.IterVar2())
	}
	r.walk(c.LoopCondition(), inner, loops+1)
	r.walk(c.LoopStep(), inner, loops+1)
	r.walk(c.Result(), append(slices.Clone(locals), c.AccuVar()), loops)
}

// id returns the id of a new node that stands where another does.
func (r *resolver) id(at int64) int64 {
	id := r.next
	r.next++
	if place, ok := r.tree.SourceInfo().GetOffsetRange(at); ok {
		r.tree.SourceInfo().SetOffsetRange(id, place)
	}
	return id
}
