package deploy_test

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"testing"

	"verdict/preprocess"
	"verdict/schemas"
)

// scored is an order of the test week.
type scored struct {
	customer string
	day      int // since the first of the training
	score    float64
	fraud    bool
}

// averagePrecision is the mean of the precision at each fraud, orders of one score counting together, as scikit-learn computes it.
func averagePrecision(orders []scored) float64 {
	orders = slices.SortedFunc(slices.Values(orders), func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	sum, frauds, counted := 0.0, 0, 0
	for i, o := range orders {
		if o.fraud {
			frauds++
		}
		if i+1 < len(orders) && orders[i+1].score == o.score {
			continue
		}
		sum += float64(frauds-counted) * float64(frauds) / float64(i+1)
		counted = frauds
	}
	return sum / float64(frauds)
}

// cardPrecision is the share of defrauded customers among the top that an investigator looks at each day, the mean of the days. A card that was found is not looked at again.
// Of equal scores the lower customer id comes first.
func cardPrecision(orders []scored, top int) float64 {
	found := make(map[string]bool)
	byDay := make(map[int]map[string]scored)
	for _, o := range orders {
		day := byDay[o.day]
		if day == nil {
			day = make(map[string]scored)
			byDay[o.day] = day
		}
		card, seen := day[o.customer]
		if !seen {
			card = o
		}
		card.score, card.fraud = max(card.score, o.score), card.fraud || o.fraud
		day[o.customer] = card
	}
	caught := 0
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		cards := slices.DeleteFunc(slices.Collect(maps.Values(byDay[day])), func(c scored) bool { return found[c.customer] })
		slices.SortFunc(cards, func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.customer, b.customer))
		})
		for _, c := range cards[:min(top, len(cards))] {
			if c.fraud {
				found[c.customer] = true
				caught++
			}
		}
	}
	return float64(caught) / float64(top*len(byDay))
}

// knownToBeCompromised returns from which day on a customer is left out of the test: with a fraud in the training from the start, with a later one eight days after it.
func (h *handbook) knownToBeCompromised(orders []preprocess.Arrived) map[string]int {
	since := make(map[string]int)
	for i := range orders {
		o := &orders[i].Order
		if !h.fraud[o.ID] || o.At.Before(cardTraining) {
			continue
		}
		from := max(14, dayOf(o)+8)
		if earlier, ok := since[customerOf(o)]; !ok || from < earlier {
			since[customerOf(o)] = from
		}
	}
	return since
}

// dayOf is 0 on the first day of the training.
func dayOf(o *schemas.Order) int {
	return int(math.Floor(o.At.Sub(cardTraining).Hours() / 24))
}

func customerOf(o *schemas.Order) string {
	customer, _ := o.Fields.Get("customer_id").Key()
	return customer
}

// The figures are only worth something if they are the book's: these were computed by scikit-learn and by the book's own function.
func TestTheFiguresAreTheBooks(t *testing.T) {
	orders := []scored{
		{"a", 0, 0.9, true},
		{"b", 0, 0.8, false},
		{"c", 0, 0.8, true},
		{"a", 0, 0.2, false},
		{"d", 0, 0.1, true},
		{"a", 1, 0.95, true},
		{"b", 1, 0.7, true},
		{"c", 1, 0.6, false},
		{"d", 1, 0.3, false},
	}
	if got, want := averagePrecision(orders), 0.8211111111111111; math.Abs(got-want) > 1e-12 {
		t.Errorf("average precision %v, want %v", got, want)
	}
	if got, want := cardPrecision(orders, 2), 0.5; got != want {
		t.Errorf("card precision %v, want %v", got, want)
	}
}
