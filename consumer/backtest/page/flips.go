package page

import (
	"slices"

	"verdict/consumer/backtest"
)

// flips is what one comparison says of actions.
type flips struct {
	Subjects, Title, From, To string
	Told                      string
	Open                      bool
	Worth                     *table
	Matrix                    matrix
	Lists                     []examples
}

// matrix counts orders by the action of one and of the other.
type matrix struct {
	Heads []string // actions of To
	Rows  []matrixRow
}

type matrixRow struct {
	Name  string // action of From
	Cells []matrixCell
}

// matrixCell is empty where no order is.
type matrixCell struct {
	Orders, Amount, Frauds string
	Same                   bool
}

type examples struct {
	Title string
	Rows  []example
}

// example is an order that got another action. From and To are actions, also as the classes of their colours.
type example struct {
	ID, At, Amount     string
	Label              string
	From, To           string
	FromScore, ToScore string
	FromWhy, ToWhy     []reason
}

type reason struct {
	Feature, Value, Contribution string
	Up                           bool // moves the score up
}

func newFlips(r *backtest.Report, all []subject) []flips {
	var out []flips
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if c.Compared == 0 || len(c.Matrix) == 0 {
			continue
		}
		f := flips{Subjects: keyOf(all, c.From) + " " + keyOf(all, c.To), Title: called(c.To) + " against " + called(c.From), From: called(c.From), To: called(c.To), Open: len(out) == 0}
		f.Told = count(c.Flips) + " of " + count(c.Compared) + " orders (" + percent(float64(c.FlipsPart)) + ") get another action"
		if !c.Amount.Missing() && c.Flips > 0 {
			f.Told += "; they are worth " + money(float64(c.Amount))
		}
		f.Told += "."
		if !c.Worth.Missing() && c.Flips > 0 {
			f.Told += " Fraud money newly stopped and honest money no longer refused, less the money of the opposite mistakes: " + signed(float64(c.Worth), money) + "."
		}
		if !c.Correlation.Missing() {
			f.Told += " The scores' correlation is " + rate(float64(c.Correlation)) + "; they differ by " + fixed(float64(c.MeanAbsChange), 4) + " on average."
		}
		f.Worth = &table{Caption: "What the changes are", Head: []string{"Change", "Orders", "Money"}, Rows: [][]string{
			worth("Frauds newly stopped", c.Caught), worth("Frauds newly let through", c.Missed),
			worth("Honest orders newly rejected", c.Blocked), worth("Honest orders no longer rejected", c.Passed),
		}}
		f.Matrix = newMatrix(c.Matrix)
		f.list("Largest amounts", c.ByAmount)
		f.list("Largest changes of score", c.ByScore)
		out = append(out, f)
	}
	return out
}

func worth(name string, m backtest.Money) []string {
	return []string{name, count(m.Orders), money(float64(m.Amount))}
}

func newMatrix(cells []backtest.Flip) matrix {
	var from, to []string
	for _, c := range cells {
		if !slices.Contains(from, c.From) {
			from = append(from, c.From)
		}
		if !slices.Contains(to, c.To) {
			to = append(to, c.To)
		}
	}
	slices.SortFunc(from, milder)
	slices.SortFunc(to, milder)
	m := matrix{Heads: to}
	for _, f := range from {
		row := matrixRow{Name: f}
		for _, t := range to {
			cell := matrixCell{Same: f == t}
			for _, c := range cells {
				if c.From == f && c.To == t {
					cell.Orders, cell.Amount, cell.Frauds = count(c.Orders), money(float64(c.Amount)), plural(c.Frauds, "fraud", "frauds")
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// milder orders actions from mild to severe, others by name behind them.
func milder(a, b string) int {
	known := []string{backtest.NoAction.String(), backtest.Approve.String(), backtest.Review.String(), backtest.Reject.String()}
	i, j := slices.Index(known, a), slices.Index(known, b)
	switch {
	case i >= 0 && j >= 0:
		return i - j
	case i >= 0:
		return -1
	case j >= 0:
		return 1
	case a < b:
		return -1
	default:
		return 1
	}
}

func (f *flips) list(title string, from []backtest.Example) {
	if len(from) == 0 {
		return
	}
	list := examples{Title: title}
	for _, e := range from {
		list.Rows = append(list.Rows, example{
			ID: clean(e.ID), At: stamp(e.At), Amount: money(float64(e.Amount)), Label: clean(e.Label), From: clean(e.From), To: clean(e.To),
			FromScore: score(e.FromScore), ToScore: score(e.ToScore), FromWhy: reasons(e.FromReasons), ToWhy: reasons(e.ToReasons),
		})
	}
	f.Lists = append(f.Lists, list)
}

func reasons(from []backtest.Reason) []reason {
	var out []reason
	for _, r := range from {
		out = append(out, reason{clean(r.Feature), score(r.Value), signed(float64(r.Contribution), func(v float64) string { return fixed(v, 3) }), r.Contribution > 0})
	}
	return out
}
