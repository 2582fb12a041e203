package redisstore_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/preprocess"
	"verdict/preprocess/storetest"
)

// TestAdoptedVisitsFillNewColumns: orders read from a file bring another column, under live traffic, and are no repeats of themselves.
func TestAdoptedVisitsFillNewColumns(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			s := fresh(dial(t, server.start(t)))()
			mustLook(t, s, visit(1, 10), visit(2, 20), visit(3, 30))
			fromFile := func(n int, at int64) preprocess.Visit {
				v := visit(n, at)
				v.Arrival, v.Content = preprocess.Arrival{Millis: 7, Source: 9, Offset: 100 + int64(n)}, 77
				v.Asks = []preprocess.Ask{points("c", "new", float64(n))}
				return v
			}
			visits := []preprocess.Visit{fromFile(1, 10), fromFile(2, 21), fromFile(3, 30), fromFile(4, 40)}
			if err := s.Adopt(t.Context(), visits); err != nil {
				t.Fatal(err)
			}
			found, err := storetest.Exchange(t.Context(), s, visits)
			if err != nil {
				t.Fatal(err)
			}
			want := []preprocess.Point{
				{At: t0 + 10, Value: 1, Ref: &preprocess.Ref{ID: "o1", Arrival: visit(1, 10).Arrival}},
				{At: t0 + 30, Value: 3, Ref: &preprocess.Ref{ID: "o3", Arrival: visit(3, 30).Arrival}},
				{At: t0 + 40, Value: 4, Ref: &preprocess.Ref{ID: "o4", Arrival: fromFile(4, 40).Arrival}},
			}
			if got := found[3].Views[0].Points; len(got) != 3 || !cmp.Equal(got, want) {
				t.Errorf("the new column holds %v, want %v", got, want)
			}
			if found[0].Content != 1 || found[0].First != visits[0].Arrival {
				t.Errorf("an adopted visit is told that %v holds its id", found[0].First)
			}
			if found[1].First != visit(2, 20).Arrival || visits[1].Content != 77 {
				t.Error("an order of another time under an id that is held was adopted")
			}
		})
	}
}
