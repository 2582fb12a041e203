package redisstore_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

const minute = 60_000_000

// mergings are all kinds of merged columns.
var mergings = map[string]*preprocess.Merging{
	"cells":    {Resolution: 5 * minute},
	"weighed":  {Resolution: 5 * minute, HalfLife: 60 * minute},
	"distinct": {Resolution: 5 * minute, Distinct: true},
}

// mergedVisits are of one hot entity: n orders over two hours, some late, some of one time, of that many sources. Each asks for a column of each kind, and adds to
// "later" what it sees.
func mergedVisits(r *rand.Rand, n, sources int) []preprocess.Visit {
	visits, offsets := make([]preprocess.Visit, n), make([]int64, sources)
	for i := range visits {
		at := int64(t0) + int64(i)*120*minute/int64(n)
		if r.IntN(4) == 0 {
			at -= r.Int64N(10 * minute)
		}
		source := r.IntN(sources)
		offsets[source] += 1 + r.Int64N(3)
		v := preprocess.Visit{
			ID: schemas.OrderID(strconv.Itoa(i)), At: at / 1e6 * 1e6, Content: uint64(i),
			Arrival: preprocess.Arrival{Millis: t0/1000 + int64(i), Source: int32(source), Offset: offsets[source]},
		}
		for _, name := range []string{"cells", "weighed", "distinct"} {
			value := float64(r.IntN(2000)) / 4
			if r.IntN(20) == 0 {
				value = math.NaN()
			}
			v.Asks = append(v.Asks, mergedAsk("c", name, name, value, v.At))
		}
		later := mergedAsk("c", "later", "cells", 0, v.At)
		later.Adds = preprocess.AddSeen
		v.Asks = append(v.Asks, later)
		visits[i] = v
	}
	return visits
}

func mergedAsk(key, column, merging string, value float64, at int64) preprocess.Ask {
	return preprocess.Ask{Key: key, Column: column, Merge: mergings[merging], Value: value, From: at - 60*minute, To: at, Keep: 60 * minute}
}

// seeMerged exchanges in parts of random sizes, and keeps all that was seen. What a visit adds to "later" is how many points it saw there.
func seeMerged(ctx context.Context, s preprocess.Store, visits []preprocess.Visit, r *rand.Rand) ([]preprocess.Found, error) {
	var all []preprocess.Found
	for len(visits) > 0 {
		n := min(len(visits), 1+r.IntN(200))
		batch := slices.Clone(visits[:n])
		for i := range batch {
			batch[i].Asks = slices.Clone(batch[i].Asks)
		}
		var found []preprocess.Found
		err := s.Exchange(ctx, batch, func(i int, f *preprocess.Found) {
			seen := *f
			seen.Views = nil
			for _, v := range f.Views {
				seen.Views = append(seen.Views, preprocess.View{
					Points: slices.Clone(v.Points), Cells: slices.Clone(v.Cells), Sightings: slices.Clone(v.Sightings),
				})
			}
			batch[i].Asks[3].Value = float64(len(f.Views[3].Points))
			found = append(found, seen)
		})
		if err != nil {
			return nil, err
		}
		all, visits = append(all, found...), visits[n:]
	}
	return all, nil
}

func mustSeeMerged(t *testing.T, s preprocess.Store, visits []preprocess.Visit, r *rand.Rand) []preprocess.Found {
	t.Helper()
	found, err := seeMerged(t.Context(), s, visits, r)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func sameFound(t *testing.T, what string, want, got []preprocess.Found) {
	t.Helper()
	for i := range want {
		if slices.EqualFunc(want[i].Views, got[i].Views, sameView) && want[i].First == got[i].First && want[i].Again == got[i].Again {
			continue // cmp takes a millisecond for it
		}
		if diff := cmp.Diff(want[i], got[i], cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("%s: visit %d sees (-want +got):\n%s", what, i, diff)
		}
	}
}

func sameView(v, w preprocess.View) bool {
	bits := math.Float64bits
	return slices.EqualFunc(v.Points, w.Points, preprocess.Point.Equal) && slices.EqualFunc(v.Cells, w.Cells, func(c, d preprocess.Cell) bool {
		same := bits(c.LastValue) == bits(d.LastValue)
		c.LastValue, d.LastValue = 0, 0
		return same && c == d
	}) && slices.Equal(v.Sightings, w.Sightings)
}

// TestMergedColumnIsAsInMemory: of one source, bit for bit, however it was cut into calls.
func TestMergedColumnIsAsInMemory(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			open := fresh(dial(t, server.start(t)))
			for seed := range uint64(3) {
				r := rand.New(rand.NewPCG(1, seed))
				visits := mergedVisits(r, 1500, 1)
				want := mustSeeMerged(t, memstore.New(memstore.Config{}), visits, r)
				if len(want[1499].Views[0].Cells) == 0 || len(want[1499].Views[2].Sightings) == 0 {
					t.Fatal("nothing was merged")
				}
				sameFound(t, "seed "+strconv.FormatUint(seed, 10), want, mustSeeMerged(t, open(), visits, r))
			}
		})
	}
}

// TestSlowMergedColumnIsAsInMemory: of entities whose points grow old about as fast as they become many.
func TestSlowMergedColumnIsAsInMemory(t *testing.T) {
	open := fresh(dial(t, startMiniredis(t)))
	for _, n := range []int{1300, 1600, 1900} {
		r := rand.New(rand.NewPCG(2, uint64(n)))
		visits := mergedVisits(r, n, 1)
		for i := range visits {
			for j := range visits[i].Asks {
				a := &visits[i].Asks[j]
				a.From, a.Keep = a.To-20*minute, 31*minute // the latest order is 10 minutes late
			}
		}
		want := mustSeeMerged(t, memstore.New(memstore.Config{}), visits, r)
		sameFound(t, strconv.Itoa(n)+" orders", want, mustSeeMerged(t, open(), visits, r))
	}
}

// counted is how many orders a view shows.
func counted(v preprocess.View) int64 {
	n := int64(len(v.Points))
	for _, c := range v.Cells {
		n += c.Orders
	}
	return n
}

// askForAll lets each visit see all that was ever kept, which is everything.
func askForAll(visits []preprocess.Visit) {
	for i := range visits {
		for j := range visits[i].Asks {
			a := &visits[i].Asks[j]
			a.From, a.To, a.Keep = 0, t0+1e12, 1e12
		}
	}
}

// TestMergedColumnOfSeveralSources: each source's part is its own, and a visit sees all of them.
func TestMergedColumnOfSeveralSources(t *testing.T) {
	open := fresh(dial(t, startMiniredis(t)))
	r := rand.New(rand.NewPCG(3, 3))
	visits := mergedVisits(r, 3000, 3)
	askForAll(visits)
	for i, f := range mustSeeMerged(t, open(), visits, r) {
		if n := counted(f.Views[0]); n != int64(i)+1 {
			t.Fatalf("visit %d sees %d orders", i, n)
		}
		for _, v := range f.Views {
			points := slices.IsSortedFunc(v.Points, func(p, q preprocess.Point) int { return order(p.Before(&q), q.Before(&p)) })
			cells := slices.IsSortedFunc(v.Cells, func(c, d preprocess.Cell) int { return order(c.Start < d.Start, d.Start < c.Start) })
			sightings := slices.IsSortedFunc(v.Sightings, func(x, y preprocess.Sighting) int { return order(x.Value < y.Value, y.Value < x.Value) })
			if !points || !cells || !sightings {
				t.Fatalf("visit %d sees things that are not in order", i)
			}
		}
	}
}

func order(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	default:
		return 0
	}
}

// TestMergedColumnAfterAFault: each pipeline fails once, in each way, and what is seen and left is the same.
func TestMergedColumnAfterAFault(t *testing.T) {
	cfg := startMiniredis(t)
	visits := mergedVisits(rand.New(rand.NewPCG(4, 4)), 900, 2)
	calls := slices.Collect(slices.Chunk(visits, 90))
	run := func(s preprocess.Store) preprocess.View {
		for _, call := range calls {
			untilDone(t, func() error {
				_, err := seeMerged(t.Context(), s, call, rand.New(rand.NewPCG(4, uint64(len(call)))))
				return err
			})
		}
		probe := visits[len(visits)-1]
		probe.ID, probe.Arrival.Offset = "probe", math.MaxInt64
		var found []preprocess.Found
		untilDone(t, func() (err error) {
			found, err = storetest.Exchange(t.Context(), s, []preprocess.Visit{probe})
			return err
		})
		return found[0].Views[0]
	}
	want := run(redisstore.New(dial(t, cfg), redisstore.Config{Timeout: patient}))
	for _, mode := range []string{"refused", "cut short", "done"} {
		for n := 0; ; n++ {
			f := &fault{at: n, mode: mode}
			client := dial(t, cfg)
			client.AddHook(f)
			got := run(redisstore.New(client, redisstore.Config{Prefix: mode + strconv.Itoa(n) + ":", Timeout: patient}))
			if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Fatalf("pipeline %d %s (-want +got):\n%s", n, mode, diff)
			}
			if f.seen <= n {
				break
			}
		}
	}
}

// TestStaleWriterOfAMergedColumnDoesNoHarm: a worker that has lost its partition writes what it had read before the new owner went on.
func TestStaleWriterOfAMergedColumnDoesNoHarm(t *testing.T) {
	cfg := startMiniredis(t)
	visits := mergedVisits(rand.New(rand.NewPCG(5, 5)), 60, 1)
	askForAll(visits)
	owner := redisstore.New(dial(t, cfg), redisstore.Config{Timeout: patient})
	slow := dial(t, cfg)
	held := &holder{at: 1, meanwhile: func() {
		for _, batch := range [][]preprocess.Visit{visits[20:40], visits[40:59]} { // first what the slow one is at
			if _, err := storetest.Exchange(t.Context(), owner, batch); err != nil {
				t.Error(err)
			}
		}
	}}
	slow.AddHook(held)
	if _, err := storetest.Exchange(t.Context(), owner, visits[:20]); err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.Exchange(t.Context(), redisstore.New(slow, redisstore.Config{Timeout: patient}), visits[20:40]); err != nil {
		t.Fatal(err)
	}
	key := redisstore.DefaultPrefix + "{c}:m:cells"
	if n := partsIn(t, slow, key); n != 2 {
		t.Fatalf("%d parts stand in Redis, want the owner's and the slow one's", n)
	}
	found, err := storetest.Exchange(t.Context(), owner, visits[59:])
	if err != nil {
		t.Fatal(err)
	}
	if n := counted(found[0].Views[0]); n != 60 {
		t.Errorf("%d orders are seen, want 60", n)
	}
	if n := partsIn(t, slow, key); n != 1 {
		t.Errorf("%d parts are left after the owner wrote again", n)
	}
	if n := slow.HLen(t.Context(), key).Val(); n > 2 {
		t.Errorf("%d fields are left after the owner wrote again", n)
	}
}

// partsIn is how many parts of a merged column hold anything.
func partsIn(t *testing.T, client redis.UniversalClient, key string) (n int) {
	t.Helper()
	for _, part := range client.HVals(t.Context(), key).Val() {
		if part != "" {
			n++
		}
	}
	return n
}

// TestAMergedColumnIsWholeAfterTheServerHadNoRoomForIt: a server without room refuses what would take some, and goes on to take out what it is told to.
func TestAMergedColumnIsWholeAfterTheServerHadNoRoomForIt(t *testing.T) {
	server := miniredis.RunT(t)
	var full atomic.Bool
	server.Server().SetPreHook(func(c *redisserver.Peer, command string, _ ...string) bool {
		if full.Load() && command == "HSET" {
			c.WriteError("OOM command not allowed when used memory > 'maxmemory'.")
			return true
		}
		return false
	})
	visits := mergedVisits(rand.New(rand.NewPCG(6, 6)), 60, 2)
	askForAll(visits)
	s := redisstore.New(dial(t, redisstore.DialConfig{Addrs: []string{server.Addr()}, Timeout: patient}), redisstore.Config{Timeout: patient})
	if _, err := storetest.Exchange(t.Context(), s, visits[:30]); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if _, err := storetest.Exchange(t.Context(), s, visits[30:59]); err == nil {
		t.Fatal("a server without room takes orders")
	}
	full.Store(false)
	if _, err := storetest.Exchange(t.Context(), s, visits[30:59]); err != nil {
		t.Fatal(err)
	}
	found, err := storetest.Exchange(t.Context(), s, visits[59:])
	if err != nil {
		t.Fatal(err)
	}
	if n := counted(found[0].Views[0]); n != 60 {
		t.Errorf("%d orders are seen, want 60", n)
	}
}

func TestMergedRoundTrip(t *testing.T) {
	for name, merging := range mergings {
		rapid.Check(t, func(t *rapid.T) {
			m := drawMerged(t, merging)
			blob := redisstore.AppendMerged(nil, &m)
			got, err := redisstore.ReadMerged(string(blob), m.Applied[0].Source, m.Applied[0].Offset, merging)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(shown(&m), shown(&got), cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
				t.Fatalf("%s (-written +read):\n%s", name, diff)
			}
		})
	}
}

// shown is all of a merged column that has a name.
func shown(m *preprocess.Merged) []any {
	return []any{m.Points(), m.Newest(), m.Merging, m.Cells, m.Sightings, m.Level, m.Applied}
}

func drawMerged(t *rapid.T, merging *preprocess.Merging) preprocess.Merged {
	m := preprocess.Merged{Merging: *merging}
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	width := rapid.Int64Range(1, 1e10).Draw(t, "width")
	for i := range rapid.IntRange(1, 1200).Draw(t, "points") {
		value := math.Float64frombits(r.Uint64())
		if r.IntN(3) == 0 {
			value = float64(r.IntN(50))
		}
		at := t0 + r.Int64N(width) - 1e9*r.Int64N(2)
		m.Add(preprocess.Point{
			At: at, Value: value,
			Ref: &preprocess.Ref{
				ID:      schemas.OrderID(strconv.Itoa(r.IntN(1e9)) + "-" + strconv.Itoa(i)),
				Arrival: preprocess.Arrival{Millis: at/1000 + r.Int64N(1000), Source: -7, Offset: int64(i) * 5},
			},
		}, 1e12)
	}
	return m
}

// TestMergedColumnIsSmall: a cold one's points take some 30 bytes each, and a hot one's part is below 64 KiB, with a cell for each 5 minutes of a day.
func TestMergedColumnIsSmall(t *testing.T) {
	for name, merging := range mergings {
		r := rand.New(rand.NewPCG(7, 7))
		m := preprocess.Merged{Merging: *merging}
		add := func(i int, at int64) {
			m.Add(preprocess.Point{
				At: at, Value: float64(r.IntN(1e6)) / 100,
				Ref: &preprocess.Ref{
					ID:      schemas.OrderID(fmt.Sprintf("%08d-0000-4000-8000-%012d", r.IntN(1e8), i)),
					Arrival: preprocess.Arrival{Millis: at/1000 + 40 + r.Int64N(100), Source: 3, Offset: int64(1e9 + 100*i)},
				},
			}, 25*60*minute)
		}
		for i := range 5 {
			add(i, t0+r.Int64N(1e9))
		}
		const idBytes = 36
		if n := len(redisstore.AppendMerged(nil, &m)); n > 5*(30+idBytes) {
			t.Errorf("%s: 5 points take %d bytes", name, n)
		}
		for i := range 200_000 {
			add(5+i, t0+1e9+int64(i)*2*24*60*minute/200_000)
		}
		if !merging.Distinct && len(m.Cells) < 288 {
			t.Fatalf("%s: %d cells", name, len(m.Cells))
		}
		if n := len(redisstore.AppendMerged(nil, &m)); n > 64<<10 || n < 10<<10 {
			t.Errorf("%s: a hot column takes %d bytes", name, n)
		}
	}
}

func FuzzReadMerged(f *testing.F) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, merging := range mergings {
		for _, n := range []int{1, 5, 500} {
			m := preprocess.Merged{Merging: *merging}
			for i := range n {
				m.Add(preprocess.Point{At: t0 + int64(i)*minute, Value: r.Float64(), Ref: &preprocess.Ref{ID: "o", Arrival: preprocess.Arrival{Offset: int64(i)}}}, 1e12)
			}
			f.Add(string(redisstore.AppendMerged(nil, &m)))
		}
	}
	f.Fuzz(func(t *testing.T, blob string) {
		merging := mergings["cells"]
		m, err := redisstore.ReadMerged(blob, 1, 2, merging)
		if err != nil {
			return
		}
		again, err := redisstore.ReadMerged(string(redisstore.AppendMerged(nil, &m)), 1, 2, merging)
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if diff := cmp.Diff(shown(&m), shown(&again), cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("what was read, written and read (-before +after):\n%s", diff)
		}
	})
}

func TestMergedColumnThatIsNotOursIsRefused(t *testing.T) {
	client := dial(t, startMiniredis(t))
	for field, blob := range map[string]string{"0:1": "secret", "0:x": "", "secret": "secret", "00:1": "", "0:2": "\x01\xff\xff\xff\xff\x0f"} {
		s := redisstore.New(client, redisstore.Config{Prefix: field, Timeout: patient})
		if err := client.HSet(t.Context(), field+"{c}:m:cells", field, blob).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := storetest.Exchange(t.Context(), s, mergedVisits(rand.New(rand.NewPCG(9, 9)), 1, 1))
		want := `exchanging 1 visits with Redis: reading column "cells": it holds bytes that are not ours`
		if err == nil || err.Error() != want {
			t.Errorf("field %q: %v", field, err)
		}
	}
}
