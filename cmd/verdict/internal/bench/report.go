package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"verdict/consumer/kafka"
)

// Setting is what figures were made with: they mean nothing without.
type Setting struct {
	Command string         `json:"command"`
	Verdict string         `json:"verdict"`
	Machine Machine        `json:"machine"`
	Kafka   *kafka.Cluster `json:"kafka,omitempty"`
	Orders  string         `json:"orders"` // what was sent
	Began   time.Time      `json:"began"`
}

// Print writes the setting as lines of a name and what it is.
func (s *Setting) Print(w io.Writer) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-8s "+format+"\n", append([]any{name}, args...)...)
	}
	m := &s.Machine
	line("machine", "%s, %d cores, %.1f GiB, %s/%s", m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.OS, m.Arch)
	line("bench", "%s, %s, GOGC=%s", s.Verdict, m.Go, m.GOGC)
	if k := s.Kafka; k != nil {
		line("kafka", "%s, brokers: %d; %s", k.Version, k.Brokers, shapes(k.Topics))
		if len(k.Settings) > 0 {
			line("", "%s", pairs(k.Settings))
		}
	}
	line("orders", "%s", s.Orders)
	line("command", "%s", s.Command)
}

func shapes(topics map[string]kafka.Shape) string {
	all := make(map[string]string, len(topics))
	for name, shape := range topics {
		all[name] = fmt.Sprintf("%d×%d", shape.Partitions, shape.Replication)
	}
	return "partitions × replicas: " + pairs(all)
}

// quantiles are those that are told.
func quantiles() []float64 { return []float64{0.5, 0.9, 0.99, 0.999} }

// Columns writes the names of what Row tells.
func Columns(w io.Writer) {
	fmt.Fprintf(w, "\n%8s %9s %9s %9s %9s %9s %9s %9s  %9s %9s %6s  %s\n", "rate/s", "sent/s", "200/s", "p50", "p90", "p99", "p99.9", "max", "svc p50", "svc p99", "cpu", "outcomes (latency in ms from when an order was due; — is none)")
}

// Row writes one stage. Its latencies are Quantile's; below it, where not all was decided, each outcome by itself, and what a reader must know.
func (r *Result) Row(w io.Writer) {
	fmt.Fprintf(w, "%8s %9.1f %9.1f", number(r.Stage.Rate), r.PerSecond(r.Intended-r.Counts[Unsent]), r.PerSecond(r.Counts[Decided]))
	for _, q := range quantiles() {
		fmt.Fprintf(w, " %9s", ms(r.Quantile(q)))
	}
	fmt.Fprintf(w, " %9s  %9s %9s %5.0f%%  %s\n", ms(r.longest()), ms(at(r.Service, 0.5)), ms(at(r.Service, 0.99)), 100*r.CPU/r.Took.Seconds(), r.outcomes())
	defer func() {
		for _, note := range r.notes() {
			fmt.Fprintf(w, "%8s %s\n", "", note)
		}
	}()
	if r.Counts[Decided] == r.Intended {
		return
	}
	for o := range outcomes { // each alone
		if h := r.Latency[o]; h != nil {
			fmt.Fprintf(w, "%28s", "of "+o.String())
			for _, q := range quantiles() {
				fmt.Fprintf(w, " %9s", ms(at(h, q)))
			}
			fmt.Fprintf(w, " %9s\n", ms(at(h, 1)))
		}
	}
}

func (r *Result) outcomes() string {
	var all []string
	for o := range outcomes {
		if n := r.Counts[o]; n > 0 {
			all = append(all, fmt.Sprintf("%s: %d", o, n))
		}
	}
	return strings.Join(all, ", ")
}

// notes returns what a reader of the stage's row must know.
func (r *Result) notes() []string {
	var notes []string
	if fault := r.Fault(); fault != "" {
		notes = append(notes, "failed: "+fault)
	}
	if late := at(r.Late, 0.99); late != Never && late > 5*time.Millisecond {
		notes = append(notes, fmt.Sprintf("the bench itself was up to %s ms late with one order in a hundred, which is in the figures: it wants for processor time", ms(late)))
	}
	if n := r.Counts[Unsent]; n > 0 {
		notes = append(notes, fmt.Sprintf("%d orders could not be sent, as %d were under way", n, r.InFlight))
	}
	return notes
}

// ms writes a latency in milliseconds, three digits of it.
func ms(d time.Duration) string {
	if d == Never {
		return "—"
	}
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Report is all that a run came to, as JSON.
type Report struct {
	Setting
	Stages []*Result    `json:"stages"`
	Held   []HeldReport `json:"held,omitempty"`
}

// HeldReport is the highest rate that held an objective.
type HeldReport struct {
	Objective string  `json:"objective"`
	Rate      float64 `json:"rate"` // 0: none did
}

// MarshalJSON writes a stage: latencies in milliseconds (null is none), histograms in µs in HdrHistogram's V2 compressed encoding, in base64.
func (r *Result) MarshalJSON() ([]byte, error) {
	type spread struct {
		Count     int64    `json:"count"`
		P50       *float64 `json:"p50"`
		P90       *float64 `json:"p90"`
		P99       *float64 `json:"p99"`
		P999      *float64 `json:"p99.9"`
		P9999     *float64 `json:"p99.99"`
		Max       *float64 `json:"max"`
		Mean      float64  `json:"mean,omitempty"`
		Histogram string   `json:"histogram,omitempty"`
	}
	millis := func(d time.Duration) *float64 {
		if d == Never {
			return nil
		}
		v := float64(d) / float64(time.Millisecond)
		return &v
	}
	spreadOf := func(count int64, q func(float64) time.Duration) *spread {
		return &spread{Count: count, P50: millis(q(0.5)), P90: millis(q(0.9)), P99: millis(q(0.99)), P999: millis(q(0.999)), P9999: millis(q(0.9999)), Max: millis(q(1))}
	}
	alone := func(h *hdrhistogram.Histogram) (*spread, error) {
		s := spreadOf(h.TotalCount(), func(q float64) time.Duration { return at(h, q) })
		s.Mean = h.Mean() / 1000
		code, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		s.Histogram = string(code)
		return s, err
	}
	out := struct {
		Rate     float64            `json:"rate"`
		Seconds  float64            `json:"seconds"`
		Intended int64              `json:"intended"`
		Sent     float64            `json:"sent_per_second"`
		Decided  float64            `json:"decided_per_second"`
		Outcomes map[string]int64   `json:"outcomes"`
		Latency  *spread            `json:"latency_ms"` // of all that was due: what was not decided counts as slower than any
		By       map[string]*spread `json:"latency_ms_by_outcome"`
		Service  *spread            `json:"service_ms"`
		Late     *spread            `json:"bench_late_ms"`
		InFlight int64              `json:"most_in_flight"`
		CPU      float64            `json:"bench_cpu_seconds"`
		Fault    string             `json:"failed,omitempty"`
	}{
		Rate: r.Stage.Rate, Seconds: r.Paced.Seconds(), Intended: r.Intended, Sent: r.PerSecond(r.Intended - r.Counts[Unsent]), Decided: r.PerSecond(r.Counts[Decided]),
		Outcomes: make(map[string]int64), Latency: spreadOf(r.Intended, r.Quantile), By: make(map[string]*spread), InFlight: r.InFlight, CPU: r.CPU, Fault: r.Fault(),
	}
	var err error
	for o := range outcomes {
		out.Outcomes[o.String()] = r.Counts[o]
		if h := r.Latency[o]; h != nil && err == nil {
			out.By[o.String()], err = alone(h)
		}
	}
	if err == nil {
		out.Service, err = alone(r.Service)
	}
	if err == nil {
		out.Late, err = alone(r.Late)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding a histogram: %w", err)
	}
	return json.Marshal(out)
}
