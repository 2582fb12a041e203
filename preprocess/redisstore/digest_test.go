package redisstore_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

// digestKeep is what columns of the digest's tests are kept for. Their history takes up twice that.
const digestKeep = 60 * minute

func digestConfig(prefix string) redisstore.Config {
	merging := mergings["cells"]
	return redisstore.Config{Prefix: prefix, Timeout: patient, Set: "one", Columns: []preprocess.ColumnUse{
		{Entity: "c:", Column: "x", Keep: digestKeep * time.Microsecond},
		{Entity: "c:", Column: "*", Keep: digestKeep * time.Microsecond},
		{Entity: "c:", Column: "seen", Keep: digestKeep * time.Microsecond},
		{Entity: "c:", Column: "hot", Merge: merging, Keep: digestKeep * time.Microsecond},
		{Entity: "c:", Keep: digestKeep * time.Microsecond},
	}}
}

// digestVisits are orders of a few entities, some late, some delivered again, some repeats; of each entity's orders every third is labelled.
func digestVisits(r *rand.Rand, n int) []preprocess.Visit {
	var visits []preprocess.Visit
	for i := range n {
		at := int64(t0) + int64(i)*2*digestKeep/int64(n) - r.Int64N(2)*r.Int64N(10*minute)
		key := "c:" + strconv.Itoa(r.IntN(3)) + "}" // the brace is quoted in Redis
		ask := preprocess.Ask{Key: key, Column: "x", Value: float64(i), From: at - 30*minute, To: at, Keep: digestKeep}
		orders, seen, hot, marks := ask, ask, ask, ask
		orders.Column, seen.Column, hot.Column = "*", "seen", "hot"
		seen.Adds, hot.Merge, marks.Marks = preprocess.AddSeen, mergings["cells"], true
		v := preprocess.Visit{
			ID: schemas.OrderID("o" + strconv.Itoa(i)), At: at, Content: uint64(i), Labelled: []string{key},
			Arrival: preprocess.Arrival{Millis: at / 1000, Offset: int64(i)}, Asks: []preprocess.Ask{ask, orders, seen, hot, marks},
		}
		visits = append(visits, v)
		if r.IntN(10) == 0 {
			again := v
			again.Arrival.Offset += int64(n)
			visits = append(visits, again)
		}
	}
	return visits
}

// play brings a store to the end of a history that is cut into calls at random, parts of it delivered again, and labels before and after their orders.
func play(t *testing.T, s *redisstore.Store, visits []preprocess.Visit, r *rand.Rand) {
	t.Helper()
	labels := make(map[schemas.OrderID]schemas.Label)
	for i := range visits {
		if i%3 == 0 {
			labels[visits[i].ID] = schemas.Label{ID: visits[i].ID, KnownAt: time.UnixMicro(visits[i].At).UTC(), Fraud: true}
		}
	}
	for from := 0; from < len(visits); {
		to := min(len(visits), from+1+r.IntN(40))
		for i := from; i < to; i++ {
			if l, ok := labels[visits[i].ID]; ok && r.IntN(2) == 0 {
				mustLearn(t, s, l)
				delete(labels, l.ID)
			}
		}
		if _, err := storetest.Exchange(t.Context(), s, visits[from:to]); err != nil {
			t.Fatal(err)
		}
		if r.IntN(4) == 0 {
			to = max(from, to-r.IntN(10)) // the commit was lost
		}
		from = max(from+1, to)
	}
	for _, l := range labels {
		mustLearn(t, s, l)
	}
}

func mustDigest(t *testing.T, s *redisstore.Store) redisstore.StateDigest {
	t.Helper()
	d, err := s.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDigestDependsOnTheOrdersAlone(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			visits := digestVisits(rand.New(rand.NewPCG(1, 1)), 400)
			var want redisstore.StateDigest
			for i := range uint64(4) {
				prefix := "d" + strconv.FormatUint(i, 10) + "*[" // a pattern, were it taken for one
				s := redisstore.New(client, digestConfig(prefix))
				play(t, s, visits, rand.New(rand.NewPCG(2, i)))
				if err := client.Set(t.Context(), prefix+"d:{o1}", "a decision", time.Hour).Err(); err != nil {
					t.Fatal(err)
				}
				got := mustDigest(t, s)
				if i == 0 {
					want = got
				}
				if got != want {
					t.Errorf("cut in another way it is %+v, want %+v", got, want)
				}
			}
			if want.Orders != 400 || want.Columns != 9 || want.Merged != 3 || want.Decisions != 1 || want.Labels == 0 || want.Marks == 0 || want.Points < 400 || want.Points > 1000 {
				t.Errorf("it counts %+v", want)
			}
		})
	}
}

func TestDigestTellsAnyDifference(t *testing.T) {
	client := dial(t, startMiniredis(t))
	ctx := t.Context()
	s := redisstore.New(client, digestConfig("p:"))
	visits := digestVisits(rand.New(rand.NewPCG(3, 3)), 60)
	play(t, s, visits, rand.New(rand.NewPCG(3, 4)))
	if err := client.Set(ctx, "p:d:{o1}", "a decision", 0).Err(); err != nil {
		t.Fatal(err)
	}
	known := []redisstore.StateDigest{mustDigest(t, s)}
	last := visits[len(visits)-1]
	key := "{" + "c:" + last.Asks[0].Key[2:3] + "%7D}"
	for _, change := range [][]any{
		{"expire", "p:{o:o1}", 1},                                        // no difference: see below
		{"zpopmax", "p:" + key + ":c:x"},                                 // a point less
		{"zpopmax", "p:" + key + ":l"},                                   // a mark less
		{"set", "p:o:{o2}", client.Get(ctx, "p:o:{o1}").Val()},           // another claim
		{"sadd", "p:l:{o1}", 12},                                         // another label
		{"sadd", "p:x:{o1}", "c:9"},                                      // another place for it
		{"set", "p:d:{o1}", "another decision"},                          // another decision
		{"del", "p:" + key + ":m:hot"},                                   // a merged column less
		{"zadd", "p:" + key + ":c:*", last.At, memberOf("odd", last.At)}, // a point more
		{"rename", "p:{c:0%7D}:c:seen", "p:{c:0%7D}:c:other"},            // another column
		{"set", "p:o:{new}", client.Get(ctx, "p:o:{o1}").Val()},          // a claim more
		{"set", "p:somebody's", "not of the state, so no difference"},    // no difference: see below
		{"hset", "p:sets", "one", `{"newest":5,"columns":[]}`},           // no difference, or nearly: what is too old counts now
		{"pexpire", "p:" + key + ":c:x", 1e9},                            // no difference
		{"zadd", "p:" + key + ":c:x", last.At - 3*digestKeep, "corrupt"}, // not read any more
	} {
		if err := client.Do(ctx, change...).Err(); err != nil {
			t.Fatalf("%v: %v", change, err)
		}
		d, err := s.Digest(ctx)
		switch {
		case change[len(change)-1] == "corrupt":
			if err == nil {
				t.Error("a member that is not ours is digested")
			}
			continue
		case err != nil:
			t.Fatal(err)
		}
		differs := !slices.Contains(known, d)
		if none := change[0] == "expire" || change[0] == "pexpire" || change[1] == "p:somebody's"; differs == none && change[0] != "hset" {
			t.Errorf("after %v it differs: %v", change[:2], differs)
		}
		known = append(known, d)
	}
}

// memberOf is a point of the column of orders alone.
func memberOf(id string, at int64) string {
	return string(binary.BigEndian.AppendUint64([]byte(id+"\x00"), uint64(at))) + "\x00\x00\x00"
}
