package scorer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// BenchmarkDecide decides a poll of orders by the example's model, alone and challenged by its like.
func BenchmarkDecide(b *testing.B) {
	const example = "../deploy/example/models/handbook/1"
	loaders := map[string]scorer.Loader{"lightgbm": treemodel.Load}
	champion, err := scorer.LoadBundle(example, loaders)
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "2")
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		b.Fatal(err)
	}
	spec, err := os.ReadFile(filepath.Join(dir, "bundle.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	write(b, dir, map[string]string{"bundle.yaml": string(bytes.Replace(spec, []byte("version: 1"), []byte("version: 2"), 1))})
	next, err := scorer.LoadBundle(dir, loaders)
	if err != nil {
		b.Fatal(err)
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: "handbook", Version: "1"}, champion.Layout().Names)
	if err != nil {
		b.Fatal(err)
	}
	policy, err := scorer.LoadPolicy("../deploy/example/policy.yaml", schemas.DefaultOrderSchema(), layout)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		routing *scorer.Routing
	}{{"alone", nil}, {"challenged", scorer.Challenged(next)}} {
		s, err := scorer.New(scorer.Config{Layout: layout, Champion: champion, Policy: policy, Routing: c.routing, Patience: 5 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, n), func(b *testing.B) {
				orders, vectors, got := make([]schemas.Order, n), make([]schemas.FeatureVector, n), make([]schemas.Decision, n)
				for i := range vectors {
					orders[i] = order("t", "c", 20)
					vectors[i] = vectorOf(layout, map[string]float64{"amount": float64(i % 100)})
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Decide(orders, vectors, got); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/order")
			})
		}
	}
}
