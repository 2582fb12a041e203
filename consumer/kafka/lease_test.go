package kafka_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"verdict/consumer/kafka"
	"verdict/preprocess/redisstore"
)

// redisOf returns a Redis of the test's own, and a prefix.
func redisOf(t *testing.T) (redis.UniversalClient, string) {
	t.Helper()
	addr := os.Getenv("VERDICT_REDIS")
	if addr == "" {
		addr = miniredis.RunT(t).Addr()
	}
	client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{addr}, Timeout: time.Second})
	t.Cleanup(func() { _ = client.Close() })
	return client, fmt.Sprintf("t%d:", time.Now().UnixNano())
}

func taken(t *testing.T, l *kafka.Leases, n int32) int32 {
	t.Helper()
	p, _, err := l.Take(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcessesTakeTheLowestFreePartitionAndThenTheLeastShared(t *testing.T) {
	client, prefix := redisOf(t)
	cfg := kafka.LeasesConfig{Client: client, Prefix: prefix, Timeout: time.Second}
	var got []int32
	var held []*kafka.Leases
	for range 7 {
		l := kafka.NewLeases(cfg)
		held, got = append(held, l), append(got, taken(t, l, 3))
	}
	if want := []int32{0, 1, 2, 0, 1, 2, 0}; !slices.Equal(got, want) {
		t.Fatalf("taken %v, want %v", got, want)
	}
	for _, i := range []int{1, 4} {
		if err := held[i].Leave(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if p, sharers, err := kafka.NewLeases(cfg).Take(t.Context(), 3); p != 1 || sharers != 1 || err != nil {
		t.Fatalf("after two had left 1: %d with %d, %v", p, sharers, err)
	}
}

func TestALeaseThatIsNotRenewedEnds(t *testing.T) {
	server := miniredis.RunT(t)
	server.SetTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{server.Addr()}, Timeout: time.Second})
	defer client.Close()
	cfg := kafka.LeasesConfig{Client: client}
	crashed, paused, steady := kafka.NewLeases(cfg), kafka.NewLeases(cfg), kafka.NewLeases(cfg)
	for i, l := range []*kafka.Leases{crashed, paused, steady} {
		if p := taken(t, l, 3); p != int32(i) {
			t.Fatalf("process %d took %d", i, p)
		}
	}
	for i := range 3 {
		server.SetTime(time.Date(2026, 11, 23, 12, 0, 10*(i+1), 0, time.UTC))
		if p, _, err := steady.Renew(t.Context(), 2, 3); p != 2 || err != nil {
			t.Fatal(p, err)
		}
	}
	first, second := kafka.NewLeases(cfg), kafka.NewLeases(cfg)
	if a, b := taken(t, first, 3), taken(t, second, 3); a != 0 || b != 1 {
		t.Fatalf("taken %d and %d, where leases had ended", a, b)
	}
	// The one that was paused comes back: the two who share partition 1 part, over what the crashed one left to nobody else.
	if err := first.Leave(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	a, b := int32(1), int32(1)
	for range 3 {
		var err1, err2 error
		a, _, err1 = paused.Renew(t.Context(), a, 3)
		b, _, err2 = second.Renew(t.Context(), b, 3)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
	}
	if a == b || a == 2 || b == 2 {
		t.Fatalf("they read %d and %d", a, b)
	}
	server.FastForward(time.Minute)
	if keys := server.Keys(); len(keys) != 0 {
		t.Fatalf("left behind: %v", keys)
	}
}

func TestProcessesThatStartAtOnceSpread(t *testing.T) {
	client, prefix := redisOf(t)
	const n = 16
	got := make([]int32, n)
	leases := make([]*kafka.Leases, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			leases[i] = kafka.NewLeases(kafka.LeasesConfig{Client: client, Prefix: prefix, Timeout: 5 * time.Second})
			got[i], _, _ = leases[i].Take(t.Context(), n)
		})
	}
	wg.Wait()
	t.Logf("taken at once: %v", got)
	for round := 0; len(slices.Compact(slices.Sorted(slices.Values(got)))) < n; round++ {
		if round == 10 {
			t.Fatalf("after 10 renewals: %v", got)
		}
		for i := range n {
			wg.Go(func() { got[i], _, _ = leases[i].Renew(t.Context(), got[i], n) })
		}
		wg.Wait()
	}
}

// TestWhoeverComesAndGoesPartitionsAreSharedEvenly starts, stops, crashes and pauses processes in any order; some renewals later no partition has two readers
// more than another.
func TestWhoeverComesAndGoesPartitionsAreSharedEvenly(t *testing.T) {
	server := miniredis.RunT(t)
	client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{server.Addr()}, Timeout: 5 * time.Second})
	defer client.Close()
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		server.FlushAll()
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		server.SetTime(now)
		n := rapid.Int32Range(1, 6).Draw(t, "partitions")
		type process struct {
			leases    *kafka.Leases
			partition int32
		}
		var all []*process
		renew := func(p *process) int {
			at, sharers, err := p.leases.Renew(ctx, p.partition, n)
			if err != nil {
				t.Fatal(err)
			}
			p.partition = at
			return sharers
		}
		drop := func() *process {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "who")
			p := all[i]
			all = slices.Delete(all, i, i+1)
			return p
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second) // some leases end before they are renewed: a pause
			server.SetTime(now)
			switch what := rapid.SampledFrom([]string{"start", "start", "stop", "crash", "renew"}).Draw(t, "what"); {
			case what == "start" || len(all) == 0:
				l := kafka.NewLeases(kafka.LeasesConfig{Client: client, Timeout: 5 * time.Second})
				at, sharers, err := l.Take(ctx, n)
				if err != nil || sharers < 1 {
					t.Fatal(sharers, err)
				}
				all = append(all, &process{l, at})
			case what == "stop":
				if p := drop(); p.leases.Leave(ctx, p.partition) != nil {
					t.Fatal("not left")
				}
			case what == "crash":
				drop()
			default:
				renew(all[rapid.IntRange(0, len(all)-1).Draw(t, "who")])
			}
		}
		for range len(all) + 4 {
			now = now.Add(4 * time.Second)
			server.SetTime(now)
			for _, p := range all {
				renew(p)
			}
		}
		readers := make([]int, n)
		for _, p := range all {
			readers[p.partition]++
		}
		if slices.Max(readers)-slices.Min(readers) > 1 {
			t.Fatalf("readers of each partition: %v", readers)
		}
		for _, p := range all {
			if sharers := renew(p); sharers != readers[p.partition] {
				t.Fatalf("partition %d: told %d sharers, there are %v", p.partition, sharers, readers)
			}
		}
	})
}
