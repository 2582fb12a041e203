package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// setStore serves a set that keeps column x of entity c, and its labels, for so long.
func setStore(client redis.UniversalClient, set string, keep time.Duration) *redisstore.Store {
	return redisstore.New(client, redisstore.Config{
		Timeout: patient, Keep: time.Hour, Lag: time.Hour, Set: set,
		Columns: []preprocess.ColumnUse{{Entity: "c:", Column: "x", Keep: keep}, {Entity: "c:", Keep: keep}},
	})
}

// setVisit is of an order that many hours after t0.
func setVisit(n int, hours float64, keep time.Duration) preprocess.Visit {
	v := visit(n, int64(hours*60*minute))
	ask := points("c:1", "x", float64(n))
	ask.To, ask.Keep = v.At, keep.Microseconds()
	marks := ask
	marks.Marks = true
	v.Asks, v.Labelled = []preprocess.Ask{ask, marks}, []string{"c:1"}
	return v
}

func labelled(n int, hours float64) schemas.Label {
	return label(n, int64(hours*60*minute), true)
}

// TestASetKeepsWhatAnotherWants: as long as the other is at work.
func TestASetKeepsWhatAnotherWants(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			const long, short = 48 * time.Hour, 2 * time.Hour
			far, near := setStore(client, "far", long), setStore(client, "near", short)
			mustLearn(t, far, labelled(1, 0))
			mustLook(t, far, setVisit(1, 0, long))
			held := func() (points, marks int64) {
				return client.ZCard(t.Context(), redisstore.DefaultPrefix+"{c:1}:c:x").Val(), client.ZCard(t.Context(), redisstore.DefaultPrefix+"{c:1}:l").Val()
			}
			for i := range 40 {
				mustLook(t, near, setVisit(10+i, float64(i), short))
			}
			if points, marks := held(); points != 41 || marks != 1 {
				t.Errorf("%d points and %d marks are held, want all 41, and the mark", points, marks)
			}
			for _, key := range []string{"{c:1}:c:x", "{c:1}:l", "sets", "o:{o1}"} {
				if ttl := client.PTTL(t.Context(), redisstore.DefaultPrefix+key).Val(); key != "o:{o1}" && ttl < long || ttl > long+time.Hour {
					t.Errorf("%s expires in %v", key, ttl)
				}
			}
			// The set that keeps more is seen no more for longer than it keeps, and the lag.
			for i := 40; i < 60; i++ {
				mustLook(t, near, setVisit(10+i, float64(i), short))
			}
			if points, marks := held(); points != 3 || marks != 0 {
				t.Errorf("%d points and %d marks are held after the other set has gone, want 3 and none", points, marks)
			}
		})
	}
}

func TestSetsAreThoseAtWork(t *testing.T) {
	client := dial(t, startMiniredis(t))
	far, near := setStore(client, "far", 48*time.Hour), setStore(client, "near", 2*time.Hour)
	use := func(keep time.Duration) []preprocess.ColumnUse {
		return []preprocess.ColumnUse{{Entity: "c:", Column: "x", Keep: keep}, {Entity: "c:", Keep: keep}}
	}
	merged := redisstore.New(client, redisstore.Config{Timeout: patient, Set: "merged", Columns: []preprocess.ColumnUse{
		{Entity: "d:", Column: "y~", Merge: &preprocess.Merging{Resolution: 5, HalfLife: 7, Distinct: true}, Keep: 100 * time.Hour},
	}})
	check := func(want map[string][]preprocess.ColumnUse) {
		t.Helper()
		got, err := near.Sets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sets (-want +got):\n%s", diff)
		}
	}
	check(map[string][]preprocess.ColumnUse{})
	mustLook(t, far, setVisit(1, 0, 48*time.Hour))
	mustLook(t, near, setVisit(2, 0, 2*time.Hour))
	mustLook(t, merged, setVisit(3, 0, time.Hour))
	all := map[string][]preprocess.ColumnUse{"far": use(48 * time.Hour), "near": use(2 * time.Hour), "merged": {
		{Entity: "d:", Column: "y~", Merge: &preprocess.Merging{Resolution: 5, HalfLife: 7, Distinct: true}, Keep: 100 * time.Hour},
	}}
	check(all)
	mustLook(t, far, setVisit(4, 4, 48*time.Hour))
	delete(all, "near")
	check(all)
	mustLook(t, near, setVisit(5, 4, 2*time.Hour)) // it is back
	all["near"] = use(2 * time.Hour)
	check(all)
	mustLook(t, far, setVisit(6, 1000, 48*time.Hour))
	mustLook(t, far, setVisit(7, 1001, 48*time.Hour))
	if n := client.HLen(t.Context(), redisstore.DefaultPrefix+"sets").Val(); n != 1 {
		t.Errorf("%d sets stand in Redis, where one is at work", n)
	}
}

func TestSetsThatAreNotOursAreRefused(t *testing.T) {
	client := dial(t, startMiniredis(t))
	if err := client.HSet(t.Context(), redisstore.DefaultPrefix+"sets", "x", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	s := setStore(client, "near", time.Hour)
	_, err := look(t.Context(), s, []preprocess.Visit{setVisit(1, 0, time.Hour)})
	want := "exchanging 1 visits with Redis: reading which feature sets there are: it holds bytes that are not ours"
	if err == nil || err.Error() != want {
		t.Errorf("it is reported as %v", err)
	}
}
