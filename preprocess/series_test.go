package preprocess_test

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/schemas"
)

// TestSeriesIsWhatWasAddedInOrder holds a Series against a slice that is sorted anew each time, from whatever place it looked the last time.
func TestSeriesIsWhatWasAddedInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s preprocess.Series
		var all []preprocess.Point
		keep := rapid.SampledFrom([]int64{1000, 20}).Draw(t, "keep")
		newest := int64(0)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			at := rapid.Int64Range(1, 60).Draw(t, "at")
			p := preprocess.Point{At: at, Value: float64(len(all)), Ref: &preprocess.Ref{ID: schemas.OrderID(strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "id")))}}
			s.Add(p, keep)
			newest = max(newest, at)
			if !slices.ContainsFunc(all, func(q preprocess.Point) bool { return q.At == p.At && q.ID == p.ID }) {
				all = append(all, p)
			}
			from, to := rapid.Int64Range(0, 61).Draw(t, "from"), rapid.Int64Range(0, 61).Draw(t, "to")
			from = max(from, newest-keep-1) // what is older may be gone, or not yet
			var want []preprocess.Point
			for _, q := range all {
				if q.At > from && q.At <= to {
					want = append(want, q)
				}
			}
			slices.SortFunc(want, func(a, b preprocess.Point) int {
				if a.Before(&b) {
					return -1
				}
				return 1
			})
			if got := s.Between(from, to); !slices.Equal(got, want) {
				t.Fatalf("(%d, %d]: %v, want %v", from, to, got, want)
			}
			if s.Newest() != newest {
				t.Fatalf("newest is %d, want %d", s.Newest(), newest)
			}
		}
	})
}
