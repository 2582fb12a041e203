package redisstore_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
)

// upToVisit leaves of what visits found what the extractor looks at when they come again: no point that came after them on their source.
func upToVisit(visits []preprocess.Visit, found []preprocess.Found) []preprocess.Found {
	for i := range found {
		a := visits[i].Arrival
		found[i].Again = false
		for j := range found[i].Views {
			v := &found[i].Views[j]
			v.Points = slices.DeleteFunc(v.Points, func(p preprocess.Point) bool {
				later := visits[i].Asks[j].Adds == preprocess.AddSeen && p.ID == visits[i].ID
				return later || p.Arrival.Source == a.Source && p.Arrival.Offset > a.Offset
			})
		}
	}
	return found
}

// TestMergedColumnIsSeenTheSameAfterAFault: each pipeline fails once, in each way, and the call comes again, cut otherwise.
func TestMergedColumnIsSeenTheSameAfterAFault(t *testing.T) {
	cfg := startMiniredis(t)
	visits := mergedVisits(rand.New(rand.NewPCG(10, 10)), 700, 1)
	calls := slices.Collect(slices.Chunk(visits, 140))
	want := upToVisit(visits, mustSeeMerged(t, redisstore.New(dial(t, cfg), redisstore.Config{Timeout: patient}), visits, rand.New(rand.NewPCG(1, 1))))
	for _, mode := range []string{"refused", "cut short", "done"} {
		for n, seen := 0, 1; n < seen; n++ {
			f := &fault{at: n, mode: mode}
			client := dial(t, cfg)
			client.AddHook(f)
			s := redisstore.New(client, redisstore.Config{Prefix: mode + strconv.Itoa(n) + ":", Timeout: patient})
			var got []preprocess.Found
			for _, call := range calls {
				found, err := seeMerged(t.Context(), s, call, rand.New(rand.NewPCG(1, 1)))
				for try := uint64(2); err != nil; try++ {
					found, err = seeMerged(t.Context(), s, call, rand.New(rand.NewPCG(try, try)))
				}
				got = append(got, found...)
			}
			sameFound(t, "pipeline "+strconv.Itoa(n)+" "+mode, want, upToVisit(visits, got))
			if seen = f.seen; seen < 10 {
				t.Fatalf("the history took %d pipelines only", seen)
			}
		}
	}
}

// TestMergedColumnIsRewoundForItsOwnSource: what another lane brings in between is there, and takes nothing away.
func TestMergedColumnIsRewoundForItsOwnSource(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			s := fresh(dial(t, server.start(t)))()
			all := mergedVisits(rand.New(rand.NewPCG(11, 11)), 1000, 2)
			askForAll(all)
			var lanes [2][]preprocess.Visit
			for _, v := range all {
				lanes[v.Arrival.Source] = append(lanes[v.Arrival.Source], v)
			}
			mine, others := lanes[0], lanes[1]
			see := func(visits []preprocess.Visit) []preprocess.Found {
				found, err := storetest.Exchange(t.Context(), s, visits)
				if err != nil {
					t.Fatal(err)
				}
				return upToVisit(visits, found)
			}
			see(mine[:380])
			first := see(mine[380:450])
			if len(first[0].Views[0].Cells) > 0 || len(first[69].Views[0].Cells) == 0 {
				t.Fatal("nothing was merged in the call")
			}
			see(others[:50])
			see(others[50:450]) // merges too
			again := append(see(mine[380:400]), see(mine[400:450])...)
			for i := range again {
				own := again[i].Views[0]
				foreign := int64(0)
				own.Points = slices.DeleteFunc(own.Points, func(p preprocess.Point) bool {
					if p.Arrival.Source == 1 {
						foreign++
					}
					return p.Arrival.Source == 1
				})
				own.Cells = slices.DeleteFunc(own.Cells, func(c preprocess.Cell) bool {
					if c.LastArrival.Source == 1 {
						foreign += c.Orders
					}
					return c.LastArrival.Source == 1
				})
				if !sameView(first[i].Views[0], own) {
					t.Fatalf("order %d sees of its own source %d points, %d cells, and saw %d and %d", i, len(own.Points), len(own.Cells),
						len(first[i].Views[0].Points), len(first[i].Views[0].Cells))
				}
				if foreign != 450 {
					t.Fatalf("order %d sees %d orders of the other lane, not 450", i, foreign)
				}
			}
			// Both go on.
			see(mine[450:])
			see(others[450:])
			probe := mine[0]
			probe.ID, probe.Arrival.Offset = "probe", math.MaxInt64
			if n := counted(see([]preprocess.Visit{probe})[0].Views[0]); n != int64(len(all))+1 {
				t.Errorf("%d orders are seen in the end, want %d", n, len(all)+1)
			}
		})
	}
}

// TestEarlierPartsGo: what stands beside the newest part of a merged column goes when its source goes on, however often it was delivered again; it is no state, and
// its orders are forgotten with it.
func TestEarlierPartsGo(t *testing.T) {
	client := dial(t, startMiniredis(t))
	visits := mergedVisits(rand.New(rand.NewPCG(12, 12)), 1100, 1)
	for i := range visits {
		for j := range visits[i].Asks {
			visits[i].Asks[j].Key = "c:1"
		}
	}
	crashing, calm := redisstore.New(client, redisstore.Config{Prefix: "a:"}), redisstore.New(client, redisstore.Config{Prefix: "b:"})
	see := func(s *redisstore.Store, visits []preprocess.Visit) {
		if _, err := seeMerged(t.Context(), s, visits, rand.New(rand.NewPCG(3, uint64(len(visits))))); err != nil {
			t.Fatal(err)
		}
	}
	same := func(what string) {
		t.Helper()
		one, err1 := crashing.Digest(t.Context())
		other, err2 := calm.Digest(t.Context())
		if err1 != nil || err2 != nil || one.SHA256 != other.SHA256 || one.Merged != 4 {
			t.Fatalf("%s: %+v (%v), and undisturbed %+v (%v)", what, one, err1, other, err2)
		}
	}
	const key = "a:{c:1}:m:cells"
	most := 0
	for at := 0; at < 1000; at += 100 {
		see(calm, visits[at:at+100])
		see(crashing, visits[at:at+100])
		same("after " + strconv.Itoa(at+100))
		for _, n := range []int{30, 70, 31, 55, 100} {
			see(crashing, visits[at:at+n])
			most = max(most, partsIn(t, client, key))
		}
		same("delivered again, " + strconv.Itoa(at+100))
	}
	if most != 3 {
		t.Errorf("up to %d parts stand, want 3: one before, one up to where a redelivery came, the newest", most)
	}
	for at := 1000; at < 1100; at += 10 {
		if _, err := storetest.Exchange(t.Context(), crashing, visits[at:at+10]); err != nil {
			t.Fatal(err)
		}
		if n := partsIn(t, client, key); n > 2 {
			t.Errorf("%d parts are left when the source went on", n)
		}
	}
	done, err := crashing.Forget(t.Context(), []preprocess.Subject{subject(t, "1")}, nil, false)
	if err != nil || done.Merged != 4 || done.Columns != 4 {
		t.Errorf("forgotten: %+v, %v", done, err)
	}
	if keys := keysOf(t, client, "a:{"); len(keys) > 0 {
		t.Errorf("%q are left", keys)
	}
}
