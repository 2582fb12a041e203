package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// benchFile is what --json wrote.
type benchFile struct {
	Command string `json:"command"`
	Kafka   *struct {
		Brokers int `json:"brokers"`
		Topics  map[string]struct {
			Partitions int `json:"partitions"`
		} `json:"topics"`
	} `json:"kafka"`
	Stages []struct {
		Rate     float64            `json:"rate"`
		Intended int64              `json:"intended"`
		Outcomes map[string]int64   `json:"outcomes"`
		Latency  map[string]float64 `json:"latency_ms"`
		By       map[string]struct {
			Histogram string `json:"histogram"`
		} `json:"latency_ms_by_outcome"`
	} `json:"stages"`
}

// runBench runs verdict bench and returns what it wrote, and printed.
func runBench(t *testing.T, args ...string) (benchFile, string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bench.json")
	cmd := exec.CommandContext(t.Context(), program, append([]string{"bench", "--json", file}, args...)...)
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	err := cmd.Run()
	text, missing := os.ReadFile(file)
	if missing != nil {
		t.Fatalf("%v\n%s%s", missing, &out, &progress)
	}
	var b benchFile
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b, out.String(), err
}

// Against a serving process, over HTTP and without: every order gets its own decision, and what is written agrees with itself.
func TestBenchMeasuresAServingProcess(t *testing.T) {
	s := newSite(t)
	config := s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 5s}`)
	p := start(t, "serve", "-c", config)
	p.ready(t.Context())
	plot := filepath.Join(t.TempDir(), "plot.html")
	orders := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(orders, []byte(orderJSON("a", 1, 20)+"\n"+orderJSON("b", 2, 30)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"HTTP":  {"--target", p.url, "--rate", "20,50", "--warmup", "500ms", "--kafka", s.kafka[0], "-c", config, "--plot", plot, "--wait", "4s", "--header", "X-Secret: s3cret"},
		"Kafka": {"--target", "kafka://" + strings.Join(s.kafka, ","), "-c", config, "--rate", "20,50"},
	} {
		t.Run(name, func(t *testing.T) {
			b, out, err := runBench(t, append(args, "--duration", "1s", "--orders", orders)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if len(b.Stages) != 2 || b.Stages[1].Rate != 50 {
				t.Fatalf("stages: %+v", b.Stages)
			}
			for _, stage := range b.Stages {
				if stage.Intended < 5 || stage.Outcomes["200"] != stage.Intended {
					t.Errorf("%d due, %v", stage.Intended, stage.Outcomes)
				}
				h, err := hdrhistogram.Decode([]byte(stage.By["200"].Histogram))
				if err != nil || h.TotalCount() != stage.Intended || float64(h.Max())/1000 != stage.Latency["max"] {
					t.Errorf("the histogram holds %v latencies, %v", h, err)
				}
				if l := stage.Latency; l["p50"] <= 0 || l["p50"] > l["p99"] || l["p99"] > l["max"] {
					t.Errorf("latencies %v", l)
				}
			}
			if b.Kafka == nil || b.Kafka.Brokers != 1 || b.Kafka.Topics[s.topic("orders.sync")].Partitions == 0 {
				t.Errorf("the cluster: %+v", b.Kafka)
			}
			if strings.Contains(b.Command+out, "s3cret") {
				t.Error("the command shows a header's value")
			}
		})
	}
	page, err := os.ReadFile(plot)
	if err != nil || !bytes.Contains(page, []byte("<polyline")) || bytes.Contains(page, []byte("src=")) || bytes.Contains(page, []byte("s3cret")) {
		t.Errorf("the plot: %v\n%s", err, page)
	}
}

// A target that refuses everything has no figures; the run says so, and what the orders got instead.
func TestABenchWithoutADecisionFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer server.Close()
	b, out, err := runBench(t, "--target", server.URL, "--rate", "50", "--duration", "500ms", "--generate", "--different", "10")
	if code := (*exec.ExitError)(nil); !errors.As(err, &code) || code.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	if b.Stages[0].Outcomes["503"] != b.Stages[0].Intended || !strings.Contains(out, "failed: no order was taken") || !strings.Contains(out, "of 503") {
		t.Errorf("%+v\n%s", b.Stages[0].Outcomes, out)
	}
}

// A ramp ends where no objective is held any more, and tells how far each was.
func TestARampFindsTheHighestRateThatHolds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			ID string `json:"order_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&order)
		_ = json.NewEncoder(w).Encode(order)
	}))
	defer server.Close()
	b, out, err := runBench(t, "--target", server.URL, "--ramp", "20:60:20", "--duration", "300ms", "--generate", "--different", "10", "--hold", "p50=5s,p99=1ns")
	if err != nil || !strings.Contains(out, "p50=5s is held up to 60/s") || !strings.Contains(out, "p99=1ns is held up to 0/s") {
		t.Errorf("%v\n%s", err, out)
	}
	if len(b.Stages) != 4 { // the first rate twice, since it lost an objective
		t.Errorf("%d stages", len(b.Stages))
	}
}
