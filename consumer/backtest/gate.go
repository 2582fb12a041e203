package backtest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"verdict/schemas/expr"
)

// Gate is a condition on a report, for who would go on only with figures that are good enough: "average_precision >= 0.69 && flips < 0.02". It is safe for
// concurrent use.
//
// It is CEL as in rules and features. Names are those of Headline, precision_at_K and card_precision_at_K for each of Method.TopK, and all paths of the report
// (candidates[1].auc, live.auc, candidates.all(c, c.brier < 0.01), comparisons[0].auc.interval.low > 0.0). A figure that is missing makes what is compared with
// it missing too, and a gate that is missing is not met.
type Gate struct {
	whole   *expr.Program
	parts   []part
	figures []chain // all that it names
}

// part is one of the conditions that all have to be met.
type part struct {
	text    string
	program *expr.Program
	figures []chain
}

// Require reads a condition. Unknown names are refused with the nearest that there is.
func Require(text string) (*Gate, error) {
	whole, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", text, err)
	}
	g := &Gate{whole: whole, figures: chainsOf(text)}
	for _, one := range conjuncts(text) {
		if err := compares(one); err != nil {
			return nil, fmt.Errorf("reading %q: %w", text, err)
		}
		program, err := compile(one)
		if err != nil { // a part that says nothing of its own: it is told as a whole
			g.parts = nil
			break
		}
		g.parts = append(g.parts, part{text: one, program: program, figures: chainsOf(one)})
	}
	if g.parts == nil {
		g.parts = []part{{text: strings.TrimSpace(text), program: whole, figures: chainsOf(text)}}
	}
	return g, nil
}

func compile(text string) (*expr.Program, error) {
	program, err := expr.Compile(text, expr.Scope{Condition: true})
	if err != nil {
		return nil, err
	}
	for _, path := range program.FieldPaths() {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	for _, c := range chainsOf(text) {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	return program, nil
}

// compares refuses a condition that is but a figure's name: any figure but 0 would meet it.
func compares(condition string) error {
	for _, c := range chainsOf(condition) {
		if t, ok := c.typ(); ok && c.text == condition && t.Kind() != reflect.Bool {
			return fmt.Errorf("%s is a figure, and no condition on it: write what it is compared with", c.text)
		}
	}
	return nil
}

// Fits says whether all that the gate names by a number will be in a report of so many candidates, with these k, and with or without live decisions: before
// there is one.
func (g *Gate) Fits(candidates int, topK []int, live bool) error {
	sides := candidates
	if live {
		sides++
	}
	counts := map[string]int{"candidates": candidates, "comparisons": sides * (sides - 1) / 2}
	for _, c := range g.figures {
		if at := atKForm.FindStringSubmatch(c.steps[0]); c.of == nil && at != nil {
			if k, err := strconv.Atoi(at[2]); err != nil || !slices.Contains(topK, k) {
				return fmt.Errorf("%s: the report has precision at %v", c.steps[0], topK)
			}
		}
		n, ok := counts[c.steps[0]]
		if !ok || c.of != nil || len(c.steps) < 2 {
			continue
		}
		if i, err := strconv.Atoi(strings.Trim(c.steps[1], "[]")); err == nil && i >= n {
			return fmt.Errorf("%s%s: the report has %d %s, counted from 0", c.steps[0], c.steps[1], n, c.steps[0])
		}
	}
	return nil
}

// Check asks a report. Told has a line for each condition that && joins: whether it is met, and the figures that it names. The error means that the report is
// none of this program's.
func (g *Gate) Check(r *Report) (ok bool, told string, err error) {
	if err := r.check(); err != nil {
		return false, "", err
	}
	figures := record(r)
	in := &expr.Input{Fields: figures}
	var lines []string
	for i := range g.parts {
		p := &g.parts[i]
		state, values := "not met", tell(figures, p.figures)
		met, err := p.program.Holds(in)
		switch n := p.program.Number(in); {
		case met:
			state = "met"
		case n != n && strings.Contains(values, " none"):
			state = "not met, for want of a figure"
		case n != n || err != nil:
			state = "not met, since it has no answer that is yes or no"
		}
		lines = append(lines, p.text+": "+state+values)
	}
	ok, err = g.whole.Holds(in)
	return ok && err == nil, strings.Join(lines, "\n"), nil
}

// conjuncts splits a condition at the && that are outside of brackets and texts; it is one where it has a || or a ? there, which bind less.
func conjuncts(text string) []string {
	plain, depth, from := blank(text), 0, 0
	var all []string
	for i := 0; i < len(plain); i++ {
		switch c := plain[i]; {
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case depth > 0:
		case c == '?' || strings.HasPrefix(plain[i:], "||"):
			return []string{strings.TrimSpace(text)}
		case strings.HasPrefix(plain[i:], "&&"):
			all = append(all, strings.TrimSpace(text[from:i]))
			from, i = i+2, i+1
		}
	}
	return append(all, strings.TrimSpace(text[from:]))
}

// blank returns the expression with the insides of its quoted texts made blank, byte for byte as long.
func blank(text string) string {
	plain, quote := []byte(text), byte(0)
	for i := 0; i < len(plain); i++ {
		switch c := plain[i]; {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			if plain[i] = '_'; c == '\\' && i+1 < len(plain) {
				i++
				plain[i] = '_'
			}
		}
	}
	return string(plain)
}
