package treemodel_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"verdict/scorer/treemodel"
)

// table reads a file of testdata/make_xgb.py without its head.
func table(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("%s: %d lines, %v", file, len(lines), err)
	}
	return lines[1:]
}

func bitsOf(t *testing.T, text string, base int) float32 {
	t.Helper()
	bits, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		t.Fatal(err)
	}
	return math.Float32frombits(uint32(bits))
}

func TestLogfIsGlibcsBitForBit(t *testing.T) {
	others := 0
	for _, line := range table(t, "testdata/libm/logf.csv") {
		x, want := bitsOf(t, line[0], 16), bitsOf(t, line[1], 16)
		if got := treemodel.Logf(x); math.Float32bits(got) != math.Float32bits(want) {
			t.Errorf("logf(%v) is %v, glibc has %v", x, got, want)
		}
		if float32(math.Log(float64(x))) != want {
			others++
		}
	}
	if others < 500 {
		t.Errorf("only %d are such that a logarithm rounded right would not do", others)
	}
	if below, none := treemodel.Logf(-1), treemodel.Logf(float32(math.NaN())); below == below || none == none {
		t.Errorf("logf(-1) is %v, logf(NaN) %v", below, none)
	}
}

// XGBoost 3.2 has loaded each of these values of base_score, as a number and as a list, and said what an empty sum is.
func TestBaseScoreBecomesTheMarginOfXGBoost(t *testing.T) {
	lists := 0
	for _, line := range table(t, "testdata/libm/base_score.csv") {
		outputs, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := treemodel.BaseMargins(line[0], outputs, line[2])
		if err != nil {
			t.Fatalf("%s %s: %v", line[0], line[2], err)
		}
		for i, word := range strings.Fields(line[3]) {
			if want := float64(bitsOf(t, word, 10)); got[i] != want {
				t.Errorf("%s: base_score %s is the margin %v, in XGBoost %v", line[0], line[2], got[i], want)
			}
		}
		if strings.Contains(line[2], ",") {
			lists++
		}
	}
	if lists < 100 {
		t.Errorf("only %d have a margin for each output", lists)
	}
}
