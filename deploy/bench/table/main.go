// Command table makes the markdown table of deploy/bench/run.sh from the files that verdict bench wrote, and from what the processes used meanwhile.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// report is a file of verdict bench, as far as it is told here.
type report struct {
	Stages []stage `json:"stages"`
	Held   []struct {
		Objective string  `json:"objective"`
		Rate      float64 `json:"rate"`
	} `json:"held"`
}

// stage is one rate of a report.
type stage struct {
	Rate     float64             `json:"rate"`
	Intended float64             `json:"intended"`
	Seconds  float64             `json:"seconds"`
	Outcomes map[string]float64  `json:"outcomes"`
	Latency  map[string]*float64 `json:"latency_ms"` // null is never
	CPU      float64             `json:"bench_cpu_seconds"`
}

// usage is what a run's processes used: seconds of processor time of the target, the broker and Redis, and the target's memory in MiB at the end.
type usage struct {
	cpu    [3]float64
	memory float64
}

// who are the targets, as run.sh names them and as the table does.
func who() [][2]string { return [][2]string{{"ours", "verdict"}, {"floor", "floor"}, {"peer", "peer"}} }

func main() {
	ticks := flag.Float64("ticks", 100, "of processor time a second")
	knobs := flag.String("knobs", "", "what run.sh was given")
	flag.Parse()
	if err := write(os.Stdout, flag.Arg(0), *ticks, *knobs); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// table is a run being told.
type table struct {
	out     io.Writer
	reports map[string]report // :: run's name → what bench wrote
	used    map[string]usage  // :: run's name → what was used meanwhile
}

func write(out io.Writer, dir string, ticks float64, knobs string) error {
	t := table{out: out, reports: make(map[string]report)}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no run is in %s", dir)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		t.reports[strings.TrimSuffix(filepath.Base(file), ".json")] = r
	}
	if t.used, err = readUsage(filepath.Join(dir, "usage.txt"), ticks); err != nil {
		return err
	}
	setting, err := os.ReadFile(filepath.Join(dir, "warm-ours.txt"))
	if err != nil {
		return err
	}
	head, _, _ := strings.Cut(string(setting), "\n\n")
	fmt.Fprintf(out, "```\n%s\nknobs    %s\n```\n\n", head, knobs)
	t.rates()
	t.held()
	return nil
}

// readUsage reads lines of a name, three counts of ticks before and three after, and KiB.
func readUsage(file string, ticks float64) (map[string]usage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make(map[string]usage)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 8 {
			continue // a process had gone
		}
		var n [7]float64
		for i, w := range words[1:] {
			n[i], _ = strconv.ParseFloat(w, 64) // digits, as the script makes them
		}
		u := usage{memory: n[6] / 1024}
		for i := range u.cpu {
			u.cpu[i] = (n[3+i] - n[i]) / ticks
		}
		all[words[0]] = u
	}
	return all, lines.Err()
}

// rates tells the interleaved rates, and the long run at 1,000/s.
func (t *table) rates() {
	fmt.Fprintln(t.out, "| requests/s | | p50 ms | p90 | p99 | p99.9 | max | not decided | CPU ms a request: target + broker + Redis + bench | target MiB |")
	fmt.Fprintln(t.out, "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |")
	for _, rate := range t.asked() {
		label := strconv.FormatFloat(rate, 'f', -1, 64)
		runs := func(target string) []string {
			return t.named("rate-" + target + "-" + label + "-")
		}
		t.rows(label, runs)
	}
	t.rows("1000, long", func(target string) []string { return t.named("long-" + target) })
	fmt.Fprintln(t.out)
}

// asked returns the rates of the interleaved runs.
func (t *table) asked() []float64 {
	var rates []float64
	for name := range t.reports {
		if text, ok := strings.CutPrefix(name, "rate-ours-"); ok {
			text, _, _ = strings.Cut(text, "-")
			if rate, err := strconv.ParseFloat(text, 64); err == nil {
				rates = append(rates, rate)
			}
		}
	}
	slices.Sort(rates)
	return slices.Compact(rates)
}

// named returns the runs whose names begin so.
func (t *table) named(prefix string) []string {
	var names []string
	for name := range t.reports {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// rows writes one rate: a row for each target, and what ours is of the floor's.
func (t *table) rows(label string, runs func(target string) []string) {
	for _, w := range who() {
		names := runs(w[0])
		if len(names) == 0 {
			continue
		}
		fmt.Fprintf(t.out, "| %s | %s |", label, w[1])
		for _, q := range []string{"p50", "p90", "p99", "p99.9", "max"} {
			fmt.Fprintf(t.out, " %s |", figure(t.latency(names, q)))
		}
		undecided, used := t.rest(names)
		fmt.Fprintf(t.out, " %s | %s | %.0f |\n", undecided, used, t.memory(names))
	}
	ours, floor := runs("ours"), runs("floor")
	if len(ours) == 0 || len(floor) == 0 {
		return
	}
	fmt.Fprintf(t.out, "| %s | verdict ÷ floor |", label)
	for _, q := range []string{"p50", "p90", "p99", "p99.9", "max"} {
		fmt.Fprintf(t.out, " %s |", figure(t.latency(ours, q)/t.latency(floor, q)))
	}
	fmt.Fprintln(t.out, " | | |")
}

// latency returns the median over the runs.
func (t *table) latency(names []string, q string) float64 {
	var all []float64
	for _, name := range names {
		for _, s := range t.reports[name].Stages {
			if v := s.Latency[q]; v != nil {
				all = append(all, *v)
			} else {
				all = append(all, math.Inf(1))
			}
		}
	}
	return median(all)
}

// rest returns how much was not decided, and the processor time of a request.
func (t *table) rest(names []string) (undecided, used string) {
	var due, decided, bench, requests float64
	var cpu [3]float64
	for _, name := range names {
		for _, s := range t.reports[name].Stages {
			due, decided, bench = due+s.Intended, decided+s.Outcomes["200"], bench+s.CPU
			requests += s.Intended + s.Rate // a second of warming up, which the processes' time has in it
		}
		for i, v := range t.used[name].cpu {
			cpu[i] += v
		}
	}
	if due == 0 {
		return "", ""
	}
	return strconv.FormatFloat(due-decided, 'f', -1, 64),
		fmt.Sprintf("%.2f + %.2f + %.2f + %.2f", 1000*cpu[0]/requests, 1000*cpu[1]/requests, 1000*cpu[2]/requests, 1000*bench/due)
}

func (t *table) memory(names []string) float64 {
	var all []float64
	for _, name := range names {
		all = append(all, t.used[name].memory)
	}
	return median(all)
}

// held tells the highest rates.
func (t *table) held() {
	fmt.Fprintln(t.out, "| highest rate that holds | verdict | floor | peer |\n| --- | ---: | ---: | ---: |")
	for i, h := range t.reports["ramp-ours"].Held {
		fmt.Fprintf(t.out, "| %s |", strings.ReplaceAll(h.Objective, "=", " ≤ "))
		for _, w := range who() {
			cell := "—"
			if held := t.reports["ramp-"+w[0]].Held; i < len(held) {
				cell = strconv.FormatFloat(held[i].Rate, 'f', -1, 64) + "/s"
			}
			fmt.Fprintf(t.out, " %s |", cell)
		}
		fmt.Fprintln(t.out)
	}
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func figure(v float64) string {
	switch {
	case math.IsInf(v, 0) || math.IsNaN(v):
		return "—"
	case v < 100:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}
