package memstore_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
)

func TestFirstAfterFindsTheSameFromAnyGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, 50), 0, 60).Draw(t, "times")
		slices.Sort(times)
		points := make([]preprocess.Point, len(times))
		for i := range points {
			points[i].At = times[i]
		}
		at := rapid.Int64Range(-1, 51).Draw(t, "at")
		want := slices.IndexFunc(times, func(t int64) bool { return t > at })
		if want < 0 {
			want = len(times)
		}
		for guess := range len(times) + 3 {
			if got := memstore.FirstAfter(points, at, guess); got != want {
				t.Fatalf("from %d it finds %d, want %d", guess, got, want)
			}
		}
	})
}
