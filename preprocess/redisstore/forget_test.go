package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// subject is an entity of customers by a field that is called c.
func subject(t *testing.T, value string) preprocess.Subject {
	t.Helper()
	features, err := preprocess.Parse("f.yaml", []byte("name: t\nversion: 1\nevent: {id: id, time: at}\nentities: {customer: [c]}\nfeatures: {n: {count: '*', by: customer, window: 1d}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := features.Subject("customer", value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decide(t *testing.T, client redis.UniversalClient, prefix string, visits []preprocess.Visit) {
	t.Helper()
	for i := range visits {
		if err := client.Set(t.Context(), prefix+"d:{"+string(visits[i].ID)+"}", visits[i].Content, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatIsForgottenIsAsIfItHadNeverCome holds a state after Forget against one that was never told of the customer.
func TestWhatIsForgottenIsAsIfItHadNeverCome(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			visits := digestVisits(rand.New(rand.NewPCG(1, 1)), 400)
			others := slices.DeleteFunc(slices.Clone(visits), func(v preprocess.Visit) bool { return v.Asks[0].Key == "c:1}" })
			fraud := make(map[schemas.OrderID]bool)
			for i, v := range visits {
				fraud[v.ID] = i%3 == 0
			}
			fill := func(prefix string, visits []preprocess.Visit) *redisstore.Store {
				s := redisstore.New(client, digestConfig(prefix))
				for i := range visits {
					if _, err := look(t.Context(), s, visits[i:i+1]); err != nil {
						t.Fatal(err)
					}
					if v := visits[i]; fraud[v.ID] {
						mustLearn(t, s, schemas.Label{ID: v.ID, KnownAt: time.UnixMicro(v.At), Fraud: true})
					}
				}
				decide(t, client, prefix, visits)
				return s
			}
			all, want := fill("all*", visits), mustDigest(t, fill("others", others)) // what is compared has no prefix in it
			before := mustDigest(t, all)
			one := []preprocess.Subject{subject(t, "1}")}
			count := func(dry bool) redisstore.Forgotten {
				n, err := all.Forget(t.Context(), one, nil, dry)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			counted := count(true)
			if mustDigest(t, all) != before {
				t.Fatal("counting has changed the state")
			}
			done := count(false)
			got := mustDigest(t, all)
			if got != want || done != counted {
				t.Errorf("left %+v, want %+v; counted %+v, removed %+v", got, want, counted, done)
			}
			if done.Orders != before.Orders-want.Orders || done.Claims != done.Orders || done.Decisions != done.Orders || done.Labels != before.Labels-want.Labels || done.Entities != 1 {
				t.Errorf("%+v of %+v, of which %+v stay", done, before, want)
			}
			if again := count(false); again != (redisstore.Forgotten{}) {
				t.Errorf("a second time: %+v", again)
			}
		})
	}
}

// errCut is a connection that is lost.
var errCut = errors.New("cut")

// cutAfter fails all pipelines but the first n.
type cutAfter struct{ n *int }

func (c cutAfter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c cutAfter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c cutAfter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if *c.n--; *c.n < 0 {
			return errCut
		}
		return next(ctx, cmds)
	}
}

// TestAForgetThatIsBrokenOffIsMadeGood breaks Forget off at each of its pipelines; what it then could not tell any more would stay for ever.
func TestAForgetThatIsBrokenOffIsMadeGood(t *testing.T) {
	cfg := startMiniredis(t)
	client := dial(t, cfg)
	visits := digestVisits(rand.New(rand.NewPCG(1, 1)), 60)
	for i := range visits { // nothing but the points tells whose the orders are
		visits[i].Labelled = nil
	}
	one := []preprocess.Subject{subject(t, "1}")}
	for broken := 0; ; broken++ {
		prefix := "b" + strconv.Itoa(broken)
		s := redisstore.New(client, redisstore.Config{Prefix: prefix, Timeout: patient})
		if _, err := look(t.Context(), s, visits); err != nil {
			t.Fatal(err)
		}
		decide(t, client, prefix, visits)
		n, cut := broken, dial(t, cfg)
		cut.AddHook(cutAfter{&n})
		_, err := redisstore.New(cut, redisstore.Config{Prefix: prefix, Timeout: patient}).Forget(t.Context(), one, nil, false)
		if err == nil {
			if broken < 6 {
				t.Errorf("it took %d pipelines", broken)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if _, err := s.Forget(t.Context(), one, nil, false); err != nil {
			t.Fatal(err)
		}
		for _, v := range visits {
			for _, kind := range []string{"o", "d"} {
				there := client.Exists(t.Context(), prefix+kind+":{"+string(v.ID)+"}").Val() == 1
				if mine := v.Asks[0].Key == "c:1}"; mine == there {
					t.Fatalf("broken off at %d: %s of an order of %s: %v", broken, kind, v.Asks[0].Key, there)
				}
			}
		}
	}
}

func TestOrdersAreForgottenByName(t *testing.T) {
	client := dial(t, startMiniredis(t))
	s := redisstore.New(client, redisstore.Config{Prefix: "n:", Timeout: patient})
	visits := digestVisits(rand.New(rand.NewPCG(1, 1)), 10)
	if _, err := look(t.Context(), s, visits); err != nil {
		t.Fatal(err)
	}
	mustLearn(t, s, schemas.Label{ID: "o3", KnownAt: time.UnixMicro(t0), Fraud: true})
	decide(t, client, "n:", visits)
	got, err := s.Forget(t.Context(), nil, []schemas.OrderID{"o3", "unknown"}, false)
	if want := (redisstore.Forgotten{Orders: 2, Claims: 1, Labels: 1, Decisions: 1}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
