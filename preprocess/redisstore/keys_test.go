package redisstore_test

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

type kind struct {
	name   string
	key    *regexp.Regexp // after the prefix
	keep   time.Duration
	entity bool // it belongs to an entity, not to an order
}

// kinds are all kinds of keys that a store writes, and how long each lives beyond Config.Lag: the longest Ask.Keep of a column, else Config.Keep.
var kinds = []kind{
	{"claim on an id", regexp.MustCompile(`^o:\{[^{}]+\}$`), time.Hour, false},
	{"further entities of a label", regexp.MustCompile(`^x:\{[^{}]+\}$`), time.Hour, false},
	{"versions of a label", regexp.MustCompile(`^l:\{[^{}]+\}$`), time.Hour, false},
	{"merged column", regexp.MustCompile(`^\{[^}]+\}:m:.+$`), 1e12 * time.Microsecond, true},
	{"column", regexp.MustCompile(`^\{[^}]+\}:c:.+$`), 1e12 * time.Microsecond, true},
	{"marks", regexp.MustCompile(`^\{[^}]+\}:l$`), time.Hour, true},
	{"feature sets", regexp.MustCompile(`^sets$`), time.Hour, false},
}

// checkExpiry looks at each key under a prefix: its kind is known, and it expires in time. It returns how many there are of each kind.
func checkExpiry(t *testing.T, client redis.UniversalClient, prefix string) map[string]int {
	t.Helper()
	count := make(map[string]int)
	for _, key := range keysOf(t, client, prefix) {
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.key.MatchString(key[len(prefix):]) })
		if at < 0 {
			t.Errorf("key %q is of no known kind: say in kinds how long it lives", key)
			continue
		}
		count[kinds[at].name]++
		ttl, err := client.PTTL(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if want := kinds[at].keep + time.Minute; ttl > want || ttl < want-30*time.Second {
			t.Errorf("key %q, a %s, expires in %v, want %v", key, kinds[at].name, ttl, want)
		}
	}
	return count
}

// expiring are the settings under which checkExpiry's times hold.
func expiring(prefix string) redisstore.Config {
	return redisstore.Config{
		Prefix: prefix, Keep: time.Hour, Lag: time.Minute, Timeout: patient,
		Set: "one", Columns: []preprocess.ColumnUse{{Entity: "customer:", Column: "x", Keep: time.Minute}},
	}
}

// everyKind is calls that write every kind of key: history's, and of an entity that has nothing but columns of which history knows none.
func everyKind() []func(ctx context.Context, s preprocess.Store) error {
	return append(history(), func(ctx context.Context, s preprocess.Store) error {
		v := visit(200, 60)
		v.Asks = []preprocess.Ask{merged("m", 5), {Key: "s", Column: "seen", Adds: preprocess.AddSeen, To: t0 + 1000, Keep: 1e12}}
		_, err := look(ctx, s, []preprocess.Visit{v})
		return err
	})
}

// merged asks for a merged column, of cells of ten microseconds.
func merged(key string, value float64) preprocess.Ask {
	ask := points(key, "merged", value)
	ask.Merge = &preprocess.Merging{Resolution: 10}
	return ask
}

// TestEveryKeyExpires: after labels before and after their orders, repeats, and a feature set that asks for more.
func TestEveryKeyExpires(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			s := redisstore.New(client, expiring("e:"))
			for _, call := range everyKind() {
				if err := call(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			count := checkExpiry(t, client, "e:")
			for _, k := range kinds {
				if count[k.name] == 0 {
					t.Errorf("there was no %s to look at", k.name)
				}
			}
			if all := len(keysOf(t, client, "")); all != len(keysOf(t, client, "e:")) {
				t.Errorf("%d keys in all, some outside of the prefix", all)
			}
		})
	}
}

// TestEveryKeyExpiresAfterAFault: of a pipeline that was cut short, and then done again, as the worker does.
func TestEveryKeyExpiresAfterAFault(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			for n := 0; ; n++ {
				f := &fault{at: n, mode: "cut short"}
				client, prefix := dial(t, cfg), "f"+strconv.Itoa(n)+":"
				client.AddHook(f)
				s := redisstore.New(client, expiring(prefix))
				for _, call := range everyKind() {
					untilDone(t, func() error { return call(t.Context(), s) })
				}
				if count := checkExpiry(t, dial(t, cfg), prefix); len(count) != len(kinds) {
					t.Fatalf("the kinds of keys are %v", count)
				}
				if f.seen <= n {
					break
				}
			}
		})
	}
}

// TestColumnsArePruned: what is older than Keep leaves Redis as new orders come.
func TestColumnsArePruned(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			s := redisstore.New(client, redisstore.Config{Timeout: patient})
			for n := range 50 {
				v := visit(n, int64(n)*100)
				v.Asks[0].Keep, v.Asks[2].Keep = 1000, 1000
				if _, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{v}); err != nil {
					t.Fatal(err)
				}
				if err := s.Learn(t.Context(), []schemas.Label{label(n, 1, true)}); err != nil {
					t.Fatal(err)
				}
			}
			for key, want := range map[string]int64{"{c}:c:x": 11, "{d}:c:*": 50, "{c}:l": 11} {
				if n := client.ZCard(t.Context(), redisstore.DefaultPrefix+key).Val(); n != want {
					t.Errorf("%s holds %d, want %d", key, n, want)
				}
			}
		})
	}
}
