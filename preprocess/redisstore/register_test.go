package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
)

// TestASetRegisteredAheadLosesNothing, though the one that keeps less has read the registry before, and then had nothing to do.
func TestASetRegisteredAheadLosesNothing(t *testing.T) {
	client := dial(t, startMiniredis(t))
	const long, short = 48 * time.Hour, 2 * time.Hour
	far, near := setStore(client, "far", long), setStore(client, "near", short)
	mustLook(t, near, setVisit(1, 40, short))
	newest, known, err := far.Newest(t.Context())
	if want := time.UnixMicro(setVisit(1, 40, short).At).UTC(); err != nil || !known || newest != want {
		t.Fatalf("the sets have come to %s, %v, %v; want %s", newest, known, err, want)
	}
	if err := far.Register(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // what a backfill writes, of long before
		mustLook(t, far, setVisit(100+i, float64(i), long))
	}
	mustLook(t, near, setVisit(2, 41, short))
	if n := client.ZCard(t.Context(), redisstore.DefaultPrefix+"{c:1}:c:x").Val(); n != 22 {
		t.Errorf("%d points are held, want 22", n)
	}
	sets, err := near.Sets(t.Context())
	if err != nil || len(sets) != 2 {
		t.Errorf("sets %v, %v", sets, err)
	}
}

// TestASetThatJustBeganDoesNotKeepWhatWasBefore, until that has been filled in.
func TestASetThatJustBeganDoesNotKeepWhatWasBefore(t *testing.T) {
	client := dial(t, startMiniredis(t))
	const long, short = 48 * time.Hour, 2 * time.Hour
	far, near := setStore(client, "far", long), setStore(client, "near", short)
	kept := func(want time.Duration) {
		t.Helper()
		uses, err := near.Kept(t.Context(), "near")
		if err != nil || len(uses) != 2 || uses[0].Keep != want || uses[1].Keep != want {
			t.Errorf("kept is %v, %v; want %s of both", uses, err, want)
		}
	}
	if err := far.Complete(t.Context()); err != nil { // it is not there: that says nothing
		t.Fatal(err)
	}
	mustLook(t, near, setVisit(1, 0, short))
	if err := far.Register(t.Context(), time.UnixMicro(setVisit(1, 0, short).At)); err != nil {
		t.Fatal(err)
	}
	kept(0)
	mustLook(t, far, setVisit(2, 20, long))
	kept(20 * time.Hour)
	if err := far.Register(t.Context(), time.UnixMicro(setVisit(1, 21, short).At)); err != nil { // again: it goes on
		t.Fatal(err)
	}
	kept(21 * time.Hour)
	if err := far.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept(long)
	mustLook(t, far, setVisit(3, 30, long))
	kept(long)
	longer := setStore(client, "far", 2*long) // the lateness of its process was raised
	mustLook(t, longer, setVisit(4, 31, 2*long))
	kept(0)
	mustLook(t, longer, setVisit(5, 31+200, 2*long))
	kept(2 * long)
}

func TestAStoreWithoutASetRegistersNothing(t *testing.T) {
	client := dial(t, startMiniredis(t))
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	if err := s.Register(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, known, err := s.Newest(t.Context()); known || err != nil {
		t.Errorf("a set is known, %v", err)
	}
	if empty, err := s.Empty(t.Context()); !empty || err != nil {
		t.Errorf("empty %v, %v", empty, err)
	}
}

func TestClearRemovesItsOwnPrefixAlone(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			of := func(prefix string) *redisstore.Store {
				return redisstore.New(client, redisstore.Config{Timeout: patient, Prefix: prefix})
			}
			mine, other := of("a*"), of("ab:") // the star is no pattern
			for _, store := range []*redisstore.Store{mine, other} {
				for i := range 20 {
					mustLook(t, store, []preprocess.Visit{visit(i, 0)}...)
				}
			}
			was, err := other.Digest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // of nothing, too
				if err := mine.Clear(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if empty, err := mine.Empty(t.Context()); err != nil || !empty {
				t.Errorf("empty %v, %v, when it was cleared", empty, err)
			}
			if is, err := other.Digest(t.Context()); err != nil || is != was {
				t.Errorf("another prefix: %+v, %v, was %+v", is, err, was)
			}
		})
	}
}

func TestEmptyLooksAtItsOwnPrefixAlone(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			of := func(client redis.UniversalClient, prefix string) *redisstore.Store {
				return redisstore.New(client, redisstore.Config{Timeout: patient, Prefix: prefix})
			}
			for _, prefix := range []string{"a:", "a*", "[a]", `a\`} {
				mine := of(client, prefix)
				if empty, err := mine.Empty(t.Context()); err != nil || !empty {
					t.Errorf("%s: empty %v, %v, before it has a key", prefix, empty, err)
				}
				if err := client.ZAdd(t.Context(), prefix+"reply:0", redis.Z{Member: "a process"}).Err(); err != nil {
					t.Fatal(err)
				}
				if empty, err := mine.Empty(t.Context()); err != nil || !empty {
					t.Errorf("%s: empty %v, %v, when a process reads replies", prefix, empty, err)
				}
				mustLook(t, mine, []preprocess.Visit{visit(1, 0)}...)
				if empty, err := mine.Empty(t.Context()); err != nil || empty {
					t.Errorf("%s: empty %v, %v, when it has keys", prefix, empty, err)
				}
			}
		})
	}
}
