package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// written fills an empty server with at least one key of each kind, and returns all of them.
func written(t *testing.T, cfg redisstore.DialConfig, s preprocess.Store) []string {
	t.Helper()
	for _, call := range history() {
		if err := call(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := dial(t, cfg).Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"o:{o1}", "l:{o1}", "x:{o2}", "{c}:c:x", "{d}:c:*", "{c}:l", "{w}:l"} {
		if !strings.Contains("\n"+strings.Join(keys, "\n")+"\n", "\n"+redisstore.DefaultPrefix+part+"\n") {
			t.Fatalf("no key %s among %q", part, keys)
		}
	}
	return keys
}

func TestEveryKeyExpires(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			client := dial(t, cfg)
			s := redisstore.New(client, redisstore.Config{Keep: time.Hour, Lag: time.Minute, Timeout: patient})
			for _, key := range written(t, cfg, s) {
				want := time.Hour + time.Minute
				if strings.Contains(key, ":c:") {
					want = 1e12*time.Microsecond + time.Minute // Ask.Keep is longer than Config.Keep
				}
				ttl, err := client.PTTL(t.Context(), key).Result()
				if err != nil {
					t.Fatal(err)
				}
				if ttl > want || ttl < want-time.Minute {
					t.Errorf("key %q expires in %v, want %v", key, ttl, want)
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
				if _, err := s.Exchange(t.Context(), []preprocess.Visit{v}); err != nil {
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
