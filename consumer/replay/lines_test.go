package replay_test

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verdict/consumer/replay"
)

func TestLinesAreWholeAndNumberedWhateverTheReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want []replay.Line
		for n := range rapid.IntRange(0, 12).Draw(t, "lines") {
			// Around the longest line and the size of a block are the places to be wrong at.
			length := rapid.SampledFrom([]int{0, 1, 100, replay.MaxLine - 1, replay.MaxLine, replay.MaxLine + 1, 160<<10 - 1, 160 << 10, 160<<10 + 1, 400_000}).Draw(t, "length")
			line := strings.Repeat(string(rune('a'+n)), length)
			text.WriteString(line + "\n")
			if length > 0 {
				want = append(want, replay.Line{Number: int64(n), Text: line[:min(length, replay.MaxLine+1)]})
			}
		}
		whole := text.String()
		if rapid.Bool().Draw(t, "open end") {
			whole = strings.TrimSuffix(whole, "\n")
		}
		in := iotest.HalfReader(strings.NewReader(whole))
		if rapid.Bool().Draw(t, "error with data") {
			in = iotest.DataErrReader(strings.NewReader(whole))
		}
		got, err := replay.Lines(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("lines differ, first 300 bytes: %.300s", diff)
		}
	})
}

func TestLinesBeforeABrokenReadAreStillRead(t *testing.T) {
	broken := errors.New("broken")
	in := iotest.DataErrReader(strings.NewReader("one\ntwo\nthr"))
	got, err := replay.Lines(&failing{r: in, err: broken})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
	if diff := cmp.Diff([]replay.Line{{0, "one"}, {1, "two"}}, got); diff != "" {
		t.Error(diff)
	}
}

// failing ends a stream with an error of its own.
type failing struct {
	r   interface{ Read([]byte) (int, error) }
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil {
		err = f.err
	}
	return n, err
}

func TestNumbersReadBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if math.IsNaN(v) {
			v = float64(rapid.Int64().Draw(t, "whole"))
		}
		text := string(replay.AppendNumber(nil, v))
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(v) {
			t.Fatalf("%g is written as %s, which reads as %g (%v)", v, text, back, err)
		}
	})
}

func TestNumbersAreWrittenShort(t *testing.T) {
	for v, want := range map[float64]string{
		29: "29", -3: "-3", 0: "0", math.Copysign(0, -1): "-0", 1e6: "1000000", 1234567.5: "1234567.5", 0.1: "0.1", 1e-6: "0.000001", 1e-7: "1e-07", 1e15: "1000000000000000", 9999999999999998: "9999999999999998",
		1e16: "1e+16", -1e20: "-1e+20", 123456789012345678: "1.2345678901234568e+17",
		1e21: "1e+21", 9007199254740993: "9007199254740992", 29.004999999999907: "29.004999999999907", math.Inf(-1): "-Inf",
	} {
		if got := string(replay.AppendNumber(nil, v)); got != want {
			t.Errorf("%v is written as %s, want %s", v, got, want)
		}
	}
	if got := string(replay.AppendNumber(nil, math.NaN())); got != "" {
		t.Errorf("missing is written as %s, want nothing", got)
	}
}
