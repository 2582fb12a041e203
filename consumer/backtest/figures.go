package backtest

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"verdict/schemas"
)

// chain is a figure's name as a condition has it: candidates[0].auc.
type chain struct {
	text  string
	steps []string     // "candidates", "[0]", "auc"
	of    reflect.Type // what the first step, a loop's variable, is; nil: a name of the report
	loop  bool         // the last step is a call on what the others name: candidates.all(…)
}

var (
	chainForm = regexp.MustCompile(`[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*|\s*\[\s*\d+\s*\])*`)
	stepForm  = regexp.MustCompile(`\w+|\[\s*\d+\s*\]`)
	loopForm  = regexp.MustCompile(`^\(\s*([A-Za-z_]\w*)\s*,`)
	atKForm   = regexp.MustCompile(`^(card_)?precision_at_([1-9][0-9]{0,8})$`)
)

// chainsOf returns the figures that a condition names.
func chainsOf(text string) []chain {
	plain := blank(text)
	locals := make(map[string]reflect.Type)
	var all []chain
	for _, at := range chainForm.FindAllStringIndex(plain, -1) {
		before, after := strings.TrimSpace(plain[:at[0]]), strings.TrimSpace(plain[at[1]:])
		if strings.HasSuffix(before, ".") || strings.HasSuffix(before, "\"") || strings.HasSuffix(before, "'") {
			continue // of something computed, or the inside of a text
		}
		c := chain{text: strings.Join(strings.Fields(plain[at[0]:at[1]]), ""), loop: strings.HasPrefix(after, "(")}
		for _, s := range stepForm.FindAllString(c.text, -1) {
			c.steps = append(c.steps, strings.Join(strings.Fields(s), ""))
		}
		if c.loop {
			c.steps = c.steps[:len(c.steps)-1]
		}
		if len(c.steps) == 0 {
			continue // a function
		}
		c.of = locals[c.steps[0]]
		if loop := loopForm.FindStringSubmatch(after); c.loop && loop != nil {
			if t, ok := c.typ(); ok && t.Kind() == reflect.Slice {
				locals[loop[1]] = t.Elem()
			}
		}
		all = append(all, c)
	}
	return all
}

// checkPath returns what is wrong with a path into the report.
func checkPath(path []string) error { return chain{text: strings.Join(path, "."), steps: path}.check() }

// check returns which step of the chain leads nowhere, with the nearest name that would.
func (c chain) check() error {
	if _, ok := c.typ(); ok {
		return nil
	}
	t, n := c.of, 1
	if t == nil {
		if top(c.steps[0]) == nil {
			if keyword(c.steps[0]) {
				return nil
			}
			return fmt.Errorf("unknown figure %s%s", c.steps[0], schemas.Meant(c.steps[0], append(fieldsOf(reflect.TypeFor[Headline]()), fieldsOf(reflect.TypeFor[Report]())...)))
		}
		t = top(c.steps[0])
	}
	for ; n < len(c.steps); n++ {
		next := into(t, c.steps[n])
		if next == nil {
			break
		}
		t = next
	}
	return fmt.Errorf("unknown figure %s: there is no %s%s", c.text, c.steps[n], schemas.Meant(c.steps[n], fieldsOf(t)))
}

// keyword says whether a name is one of the language's own.
func keyword(name string) bool { return slices.Contains([]string{"true", "false", "null", "in"}, name) }

// typ returns the type of what the chain names.
func (c chain) typ() (reflect.Type, bool) {
	t := c.of
	if t == nil {
		t = top(c.steps[0])
	}
	for _, s := range c.steps[1:] {
		if t == nil {
			return nil, false
		}
		t = into(t, s)
	}
	return t, t != nil
}

// top returns the type of a name that needs no path; nil when it is none.
func top(name string) reflect.Type {
	if atKForm.MatchString(name) {
		return reflect.TypeFor[Number]()
	}
	if t := into(reflect.TypeFor[Headline](), name); t != nil {
		return t
	}
	return into(reflect.TypeFor[Report](), name)
}

// into returns the type of a field or an element of t, pointers followed; nil when there is none.
func into(t reflect.Type, step string) reflect.Type {
	var next reflect.Type
	switch t.Kind() {
	case reflect.Slice:
		if strings.HasPrefix(step, "[") {
			next = t.Elem()
		}
	case reflect.Struct:
		if i := fieldOf(t, step); i >= 0 {
			next = t.Field(i).Type
		}
	default:
	}
	if next != nil && next.Kind() == reflect.Pointer {
		next = next.Elem()
	}
	return next
}

// fieldOf returns the place of the field that has a name in JSON; −1 when there is none.
func fieldOf(t reflect.Type, name string) int { return slices.Index(fieldsOf(t), name) }

// fieldsOf returns the names in JSON of a struct's fields, in order; nothing for what is no struct, and for a time.
func fieldsOf(t reflect.Type) []string {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// record returns the report as a condition reads it: the headline's figures beside the report's own fields.
func record(r *Report) schemas.Record {
	rec := append(valueOf(reflect.ValueOf(r.Headline)).Object(), valueOf(reflect.ValueOf(*r)).Object()...)
	for _, at := range r.Candidates[0].AtK {
		for _, f := range []struct {
			name   string
			figure Number
		}{{"precision_at_", at.Precision}, {"card_precision_at_", at.Card}} {
			name := f.name + strconv.Itoa(at.K)
			if !slices.ContainsFunc(rec, func(other schemas.Field) bool { return other.Name == name }) {
				rec = append(rec, schemas.Field{Name: name, Value: valueOf(reflect.ValueOf(f.figure))})
			}
		}
	}
	return rec
}

// valueOf returns part of a report as a value; missing figures and nil are missing.
func valueOf(v reflect.Value) schemas.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return schemas.Value{}
		}
		return valueOf(v.Elem())
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			return schemas.TimeValue(t)
		}
		rec := make(schemas.Record, 0, v.NumField())
		for i, name := range fieldsOf(v.Type()) {
			rec = append(rec, schemas.Field{Name: name, Value: valueOf(v.Field(i))})
		}
		return schemas.ObjectValue(rec)
	case reflect.Slice:
		list := make([]schemas.Value, v.Len())
		for i := range list {
			list[i] = valueOf(v.Index(i))
		}
		return schemas.ListValue(list)
	case reflect.Float64:
		return schemas.FloatValue(v.Float())
	case reflect.Int:
		return schemas.IntValue(v.Int())
	case reflect.Uint64:
		return schemas.FloatValue(float64(v.Uint()))
	case reflect.Bool:
		return schemas.BoolValue(v.Bool())
	default:
		return schemas.StringValue(v.String())
	}
}

// tell returns the figures that a condition names, in brackets; "" when it names none by itself.
func tell(rec schemas.Record, figures []chain) string {
	var told []string
	for _, c := range figures {
		if c.of != nil || c.loop || keyword(c.steps[0]) {
			continue
		}
		text := "none"
		switch v := follow(rec, c.steps); v.Kind() {
		case schemas.Int, schemas.Float:
			text = strconv.FormatFloat(v.Number(), 'g', 6, 64)
		case schemas.String:
			text = strconv.Quote(v.Str())
		case schemas.Bool:
			text = strconv.FormatBool(v.Bool())
		case schemas.Missing:
		default:
			continue
		}
		if text = c.text + " " + text; !slices.Contains(told, text) {
			told = append(told, text)
		}
	}
	if len(told) == 0 {
		return ""
	}
	return " (" + strings.Join(told, ", ") + ")"
}

// follow returns what a chain's steps lead to; missing where they lead nowhere.
func follow(rec schemas.Record, steps []string) schemas.Value {
	v := schemas.ObjectValue(rec)
	for _, s := range steps {
		if !strings.HasPrefix(s, "[") {
			v = v.Object().Get(s)
			continue
		}
		i, err := strconv.Atoi(strings.Trim(s, "[]"))
		if err != nil || i >= len(v.List()) {
			return schemas.Value{}
		}
		v = v.List()[i]
	}
	return v
}
