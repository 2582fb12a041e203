package preprocess_test

import (
	"flag"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
)

// TestOnRedisToo runs the random tests on Redis: the one in process, and a real one.
func TestOnRedisToo(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) { onRedis(t, miniredis.RunT(t).Addr(), "200") })
	t.Run("redis", func(t *testing.T) { onRedis(t, redistest.Start(t).Addr(), "200") })
}

// onRedis makes fewer checks than in memory, since each makes some hundred round trips, unless -rapid.checks says how many.
func onRedis(t *testing.T, address, checks string) {
	t.Helper()
	flags := flag.Lookup("rapid.checks")
	if before := flags.Value.String(); before == flags.DefValue {
		if err := flags.Value.Set(checks); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flags.Value.Set(before) }()
	}
	client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{address}, Timeout: 30 * time.Second})
	t.Cleanup(func() { _ = client.Close() })
	stores := 0
	open := func() preprocess.Store {
		stores++
		return redisstore.New(client, redisstore.Config{Prefix: strconv.Itoa(stores) + ":", Timeout: 30 * time.Second, Keep: time.Hour})
	}
	t.Run("words", func(t *testing.T) { featuresAreWhatTheWordsSay(t, open) })
	t.Run("batches", func(t *testing.T) { batchesDoNotMatter(t, open) })
	t.Run("delivered again", func(t *testing.T) { deliveredAgain(t, open) })
	t.Run("any order", func(t *testing.T) { anyOrderEndsInOneState(t, open) })
	t.Run("looks", func(t *testing.T) { looksAreVectors(t, open) })
	t.Run("merged", func(t *testing.T) { mergedOrdersCount(t, open) })
	t.Run("late", func(t *testing.T) { lateOrdersSeeNoFuture(t, open) })
	t.Run("hot delivered again", func(t *testing.T) { hotDeliveredAgain(t, open, 2) })
}
