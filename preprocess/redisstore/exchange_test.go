package redisstore_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
)

// counter counts pipelines, and commands by name.
type counter struct {
	pipelines int
	commands  map[string]int
}

func (c *counter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.pipelines++
		for _, cmd := range cmds {
			c.commands[cmd.Name()]++
		}
		return next(ctx, cmds)
	}
}

// TestHotEntityIsReadOnceACall: however many of the orders are its own, and in one pipeline.
func TestHotEntityIsReadOnceACall(t *testing.T) {
	client := dial(t, startMiniredis(t))
	c := &counter{commands: map[string]int{}}
	client.AddHook(c)
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	const orders = 100
	var visits []preprocess.Visit
	for n := range orders {
		v := visit(n, int64(n))
		v.Asks = v.Asks[:3] // two columns and the marks
		visits = append(visits, v)
	}
	found, err := storetest.Exchange(t.Context(), s, visits)
	if err != nil {
		t.Fatal(err)
	}
	for n := range found {
		if len(found[n].Views[0].Points) != n+1 {
			t.Fatalf("visit %d sees %d points", n, len(found[n].Views[0].Points))
		}
	}
	want := map[string]int{"echo": 1, "set": orders, "smembers": orders, "zrangebyscore": 3, "zadd": 2, "zremrangebyscore": 3, "pexpire": 2}
	if diff := cmp.Diff(want, c.commands); diff != "" || c.pipelines != 1 {
		t.Errorf("%d pipelines, commands (-want +got):\n%s", c.pipelines, diff)
	}
}

// TestPointsWithoutTheirClaimCameBefore: of a call that failed, one server of a cluster did its part and another did not. Done again, it is told so: of what
// a visit sees, some may have come after it.
func TestPointsWithoutTheirClaimCameBefore(t *testing.T) {
	client := dial(t, startMiniredis(t))
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	visits := []preprocess.Visit{visit(1, 10), visit(2, 5)}
	mustLook(t, s, visits...)
	if err := client.Del(t.Context(), redisstore.DefaultPrefix+"o:{o1}", redisstore.DefaultPrefix+"o:{o2}").Err(); err != nil {
		t.Fatal(err)
	}
	found, err := storetest.Exchange(t.Context(), s, append(visits, visit(3, 20)))
	if err != nil {
		t.Fatal(err)
	}
	if !found[0].Again || !found[1].Again || found[2].Again {
		t.Errorf("that they were there before is told of %v, %v and %v", found[0].Again, found[1].Again, found[2].Again)
	}
}

// TestFirstValueOfAPointStays: a redelivery may have seen more, and give its point another value. Where the two stand side by side, since the first was
// not read for some reason, it is the one whose bytes come first, whichever was written first.
func TestFirstValueOfAPointStays(t *testing.T) {
	client := dial(t, startMiniredis(t))
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	later := func(n int, at int64, value float64) preprocess.Visit {
		v := visit(n, at)
		ask := points("c", "later", value)
		ask.Adds, ask.To = preprocess.AddSeen, t0+5
		v.Asks = []preprocess.Ask{ask}
		return v
	}
	value := func(n int) float64 {
		probe := visit(n, 100)
		probe.Asks = []preprocess.Ask{points("c", "later", 0)}
		probe.Asks[0].Adds = preprocess.AddNothing
		found, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{probe})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(found[0].Views[0].Points); n != 1 {
			t.Fatalf("%d points are seen", n)
		}
		return found[0].Views[0].Points[0].Value
	}
	for _, v := range []float64{3, 1, 4} {
		mustExchange(t, s, later(1, 10, v))
	}
	if got := value(50); got != 3 {
		t.Errorf("%v stands, want what was written first", got)
	}
	key := redisstore.DefaultPrefix + "{c}:c:later"
	first := client.ZRange(t.Context(), key, 0, -1).Val()
	if err := client.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	mustExchange(t, s, later(1, 10, 2))
	if err := client.ZAdd(t.Context(), key, redis.Z{Score: t0 + 10, Member: first[0]}).Err(); err != nil {
		t.Fatal(err)
	}
	if got := value(51); got != 2 {
		t.Errorf("%v stands of 2 and 3", got)
	}
}

// mustExchange adds what the asks say, also after they were seen.
func mustExchange(t *testing.T, s preprocess.Store, visits ...preprocess.Visit) {
	t.Helper()
	if _, err := storetest.Exchange(t.Context(), s, visits); err != nil {
		t.Fatal(err)
	}
}
