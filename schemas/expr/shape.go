package expr

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
)

const (
	callObject = "@object" // (keys and values in turn) a map that keeps their order
	callHeader = "@header" // (headers, name)
	callText   = "@text"   // (value) string(), but that numbers are written as in JSON: CEL has 1.234567e+06 for 1234567

	headersName = "@headers"
)

// Shape is an expression that makes JSON of JSON: an order of another API's request, or its answer of a decision. It is CEL's own language, in which a value
// that is not there is an error (has(a.b) tells), but that numbers are doubles, literals too, and that a map keeps the order in which it is written.
// string() writes numbers as JSON has them. Added: header("name"), the request's header or ""; fixed(x, n), a number with n digits behind the point. A Shape is safe for concurrent use.
type Shape struct{ program cel.Program }

// Header returns a request's header, "" when there is none.
type Header func(name string) string

// CompileShape checks text, which may name these variables. Its error joins one *Fault for each thing wrong.
func CompileShape(text string, names []string) (*Shape, error) {
	if len(text) > MaxText {
		return nil, &Fault{Line: 1, Column: 1, Text: fmt.Sprintf("the expression has %d bytes, more than %d", len(text), MaxText)}
	}
	env, err := shapeLanguage(names)
	if err != nil {
		return nil, fmt.Errorf("setting up the expression language: %w", err)
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	r := &reshaper{make: ast.NewExprFactory(), names: names, next: ast.MaxID(parsed.NativeRep()) + 1, bound: map[string]bool{}}
	if err := r.reshape(parsed.NativeRep()); err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, &Fault{Line: 1, Column: 1, Text: err.Error()}
	}
	return &Shape{program: program}, nil
}

func shapeLanguage(names []string) (*cel.Env, error) {
	dyn, text := cel.DynType, cel.StringType
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(maxDepth), cel.ParserExpressionSizeLimit(MaxText), cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true), ext.Strings(),
		cel.Variable(headersName, dyn),
		cel.Function(callObject, cel.Overload("object", []*cel.Type{cel.ListType(dyn)}, cel.MapType(text, dyn), cel.UnaryBinding(toObject))),
		cel.Function(callHeader, cel.Overload("header", []*cel.Type{dyn, text}, text, cel.BinaryBinding(headerOf))),
		cel.Function(callText, cel.Overload("text", []*cel.Type{dyn}, text, cel.UnaryBinding(toText))),
		cel.Function("fixed", cel.Overload("fixed_number", []*cel.Type{dyn, cel.DoubleType}, dyn, cel.BinaryBinding(fixed))),
	}
	for _, name := range names {
		options = append(options, cel.Variable(name, dyn))
	}
	return cel.NewEnv(options...)
}

// reshaper rewrites what differs from plain CEL.
type reshaper struct {
	make  ast.ExprFactory
	names []string
	bound map[string]bool // names of loops' variables
	next  int64
}

func (r *reshaper) id() int64 { r.next++; return r.next - 1 }

// reshape makes numbers doubles and maps ordered, and finds the names that are not there.
func (r *reshaper) reshape(tree *ast.AST) error {
	var faults []error
	nodes := 0
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		nodes++
		if e.Kind() == ast.ComprehensionKind {
			c := e.AsComprehension()
			r.bound[c.IterVar()], r.bound[c.IterVar2()], r.bound[c.AccuVar()] = true, true, true
		}
	}))
	if nodes > maxNodes {
		return &Fault{Line: 1, Column: 1, Text: fmt.Sprintf("the expression has more than %d parts", maxNodes)}
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			switch n := e.AsLiteral().(type) {
			case types.Int:
				e.SetKindCase(r.make.NewLiteral(e.ID(), types.Double(n)))
			case types.Uint:
				e.SetKindCase(r.make.NewLiteral(e.ID(), types.Double(n)))
			}
		case ast.IdentKind:
			if name := e.AsIdent(); !r.bound[name] && !slices.Contains(r.names, name) {
				at := tree.SourceInfo().GetStartLocation(e.ID())
				faults = append(faults, &Fault{Line: max(1, at.Line()), Column: max(0, at.Column()) + 1, Text: "unknown name " + name + schemas.Meant(name, r.names)})
			}
		case ast.CallKind:
			r.call(e)
		case ast.MapKind:
			var all []ast.Expr
			for _, entry := range e.AsMap().Entries() {
				all = append(all, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
			}
			e.SetKindCase(r.make.NewCall(e.ID(), callObject, r.make.NewList(r.id(), all, nil)))
		default: // the rest is as CEL has it
		}
	}))
	return errors.Join(faults...)
}

// call makes what gives integers give doubles, and hands the headers to header().
func (r *reshaper) call(e ast.Expr) {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	switch {
	case name == "header" && !c.IsMemberFunction() && len(args) == 1:
		e.SetKindCase(r.make.NewCall(e.ID(), callHeader, r.make.NewIdent(r.id(), headersName), args[0]))
	case name == overloads.TypeConvertString && !c.IsMemberFunction() && len(args) == 1:
		e.SetKindCase(r.make.NewCall(e.ID(), callText, args[0]))
	case givesInt(name) && c.IsMemberFunction():
		e.SetKindCase(r.make.NewCall(e.ID(), overloads.TypeConvertDouble, r.make.NewMemberCall(r.id(), name, c.Target(), args...)))
	case givesInt(name):
		e.SetKindCase(r.make.NewCall(e.ID(), overloads.TypeConvertDouble, r.make.NewCall(r.id(), name, args...)))
	}
}

// Run evaluates the shape. Its error names what was wrong and no value.
func (s *Shape) Run(values map[string]Document, headers Header) (Document, error) {
	in := make(map[string]any, len(values)+1)
	for name, d := range values {
		in[name] = d.orNull()
	}
	in[headersName] = headersValue{headers}
	out, _, err := s.program.Eval(in)
	if err != nil {
		return Document{}, errors.New("the expression has no value for this request") // CEL's own text may quote the request
	}
	return Document{out}, nil
}

// headersValue carries the headers to header().
type headersValue struct{ of Header }

var headersType = types.NewOpaqueType("headers")

// ConvertToNative is CEL's; there is no such conversion.
func (h headersValue) ConvertToNative(reflect.Type) (any, error) { return nil, errDocument }

// ConvertToType is CEL's; there is no such conversion.
func (h headersValue) ConvertToType(ref.Type) ref.Val { return types.NewErr("headers are no value") }

// Equal is CEL's.
func (h headersValue) Equal(ref.Val) ref.Val { return types.False }

// Type is CEL's.
func (h headersValue) Type() ref.Type { return headersType }

// Value is CEL's.
func (h headersValue) Value() any { return nil }

func headerOf(headers, name ref.Val) ref.Val {
	h, ok1 := headers.(headersValue)
	n, ok2 := name.(types.String)
	if !ok1 || !ok2 || h.of == nil {
		return types.String("")
	}
	return types.String(h.of(string(n)))
}

func toObject(list ref.Val) ref.Val {
	all, ok := list.(traits.Lister)
	if !ok {
		return types.NewErr("no keys and values")
	}
	var m members
	n := int(all.Size().(types.Int))
	for i := 0; i+1 < n; i += 2 {
		key, ok := all.Get(types.Int(i)).(types.String)
		if !ok {
			return types.NewErr("a key is a string")
		}
		m.set(key, all.Get(types.Int(i+1)))
	}
	return m.object()
}

// toText is CEL's conversion, with numbers in the words of appendDouble.
func toText(v ref.Val) ref.Val {
	if f, ok := v.(types.Double); ok && !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) {
		return types.String(appendDouble(nil, float64(f)))
	}
	return v.ConvertToType(types.StringType)
}

// fixed is a number with that many digits behind the point, rounded to the nearest.
func fixed(x, n ref.Val) ref.Val {
	f, ok1 := x.(types.Double)
	d, ok2 := n.(types.Double)
	if x == types.NullValue {
		return x
	}
	if !ok1 || !ok2 || d < 0 || d > 20 || math.IsNaN(float64(f)) || math.Abs(float64(f)) >= 1e21 {
		return types.NewErr("fixed takes a number, and how many digits up to 20")
	}
	return numberText{strconv.FormatFloat(float64(f), 'f', int(d), 64)}
}

// AppendJSON writes the document; spaced puts a space behind each comma and colon, as Python and others do. The error says that it holds what JSON has not.
func (d Document) AppendJSON(dst []byte, spaced bool) ([]byte, error) {
	w := shapeWriter{dst: dst, comma: ",", colon: ":"}
	if spaced {
		w.comma, w.colon = ", ", ": "
	}
	w.value(d.orNull(), maxDocument)
	return w.dst, w.err
}

type shapeWriter struct {
	dst          []byte
	comma, colon string
	err          error
}

func (w *shapeWriter) value(v ref.Val, depth int) {
	switch v := v.(type) {
	case types.Null:
		w.dst = append(w.dst, "null"...)
	case types.Bool:
		w.dst = strconv.AppendBool(w.dst, bool(v))
	case types.Int:
		w.dst = strconv.AppendInt(w.dst, int64(v), 10)
	case types.Double:
		w.dst = appendDouble(w.dst, float64(v))
	case numberText:
		w.dst = append(w.dst, v.text...)
	case types.String:
		w.dst, _ = jsontext.AppendQuote(w.dst, string(v)) // what is not UTF-8 becomes U+FFFD
	case *object:
		w.object(v, depth)
	case traits.Lister:
		w.list(v, depth)
	default:
		w.err = errors.New("it holds what is no JSON value")
	}
}

func (w *shapeWriter) object(o *object, depth int) {
	if depth == 0 {
		w.err = errDocument
		return
	}
	w.dst = append(w.dst, '{')
	for i, key := range o.members.keys {
		if i > 0 {
			w.dst = append(w.dst, w.comma...)
		}
		w.value(key, depth-1)
		w.dst = append(w.dst, w.colon...)
		w.value(o.members.values[key], depth-1)
	}
	w.dst = append(w.dst, '}')
}

func (w *shapeWriter) list(l traits.Lister, depth int) {
	if depth == 0 {
		w.err = errDocument
		return
	}
	w.dst = append(w.dst, '[')
	n := int(l.Size().(types.Int))
	for i := range n {
		if i > 0 {
			w.dst = append(w.dst, w.comma...)
		}
		w.value(l.Get(types.Int(i)), depth-1)
	}
	w.dst = append(w.dst, ']')
}

// appendDouble writes a number as JavaScript does: whole ones without a point, null for what JSON has not.
func appendDouble(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
