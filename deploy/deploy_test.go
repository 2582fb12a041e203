package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// A dashboard or an alert over a metric that nobody sets looks like a quiet day.
func TestDashboardsAndAlertsNameMetricsThatExist(t *testing.T) {
	known := append(knownMetrics(), "verdict_reply_partition_sharers", "verdict_store_whole", "verdict_store_behind_records", "verdict_topic_changes_total") // of cmd/verdict
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "prometheus/alerts.yml", "prometheus/alerts_test.yml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`\bverdict_[a-z_]+`).FindAllString(string(text), -1))))
		if len(names) == 0 {
			t.Errorf("%s names no metric of verdict", file)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "verdict_kafka_") {
				continue // franz-go's own, by broker and topic
			}
			if !slices.Contains(known, name) && !slices.Contains(known, histogram.ReplaceAllString(name, "")) {
				t.Errorf("%s: nothing sets %s", file, name)
			}
		}
	}
}

// Whoever adds a metric shows it, or says here why nobody needs to see it.
func TestEveryMetricIsShown(t *testing.T) {
	unseen := []string{
		"verdict_tombstones_total",      // a compacted topic's deletions: passed over, no fault of anybody
		"verdict_replies_refused_total", // somebody else's client, told so in its dead letter
	}
	text, err := os.ReadFile("grafana/dashboards/verdict.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range knownMetrics() {
		if !strings.Contains(string(text), name) && !slices.Contains(unseen, name) {
			t.Errorf("%s is on no dashboard", name)
		}
	}
}

var histogram = regexp.MustCompile(`_(bucket|sum|count)$`)

// knownMetrics returns the names of all metrics that a scorer and an API register.
func knownMetrics() []string {
	registry := prometheus.NewRegistry()
	consumer.NewMetrics(registry)
	kafka.NewAlarms(registry)
	httpapi.New(httpapi.Config{
		Decode:     func([]byte) (order schemas.Order, content uint64, err error) { return },
		Submit:     func(context.Context, httpapi.Request) error { return nil },
		Lookup:     func(context.Context, schemas.OrderID) (record []byte, ok bool, err error) { return },
		Learn:      func(context.Context, []schemas.Label, [][]byte) error { return nil },
		Desk:       await.New(await.Config{}),
		Registerer: registry,
	})
	descriptions := make(chan *prometheus.Desc)
	go func() { registry.Describe(descriptions); close(descriptions) }()
	var names []string
	for d := range descriptions {
		if m := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String()); m != nil {
			names = append(names, m[1])
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
