package redisstore_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// Sizes of the memory test: the Handbook's shape. A customer has about 60 orders in the 30 days of its longest window, a terminal about 40.
const (
	memoryCustomers, perCustomer = 100, 60
	memoryOrders                 = memoryCustomers * perCustomer
	memoryTerminals              = memoryOrders / 40
	memoryDays                   = 30
)

// idForms are ids as shops have them, and what may be taken with them: a quarter more than was measured, as it is not the same in each Redis.
var idForms = []struct {
	name     string
	id       func(n int) string
	anOrder  float64 // bytes, all in all
	packed   int64   // bytes of a point in a column of 60
	unpacked int64   // of one in a column of 1,000
}{
	{"7 digits", func(n int) string { return strconv.Itoa(1_000_000 + n) }, 550, 55, 150},
	{"UUID", func(n int) string { return fmt.Sprintf("%08x-9a1b-4c2d-8e3f-%012x", n, n) }, 710, 108, 190},
}

// TestMemoryOfTheHandbooksFeatures measures what the features of deploy/example take in a real Redis. What it logs is the table of DESIGN.md.
func TestMemoryOfTheHandbooksFeatures(t *testing.T) {
	set, err := preprocess.Load("../../deploy/example/handbook.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range idForms {
		t.Run(form.name, func(t *testing.T) {
			client := dial(t, startRedis(t))
			empty := usedMemory(t, client)
			store := dial(t, redisstore.DialConfig{Addrs: []string{client.(*redis.Client).Options().Addr}, Timeout: patient})
			s := redisstore.New(store, redisstore.Config{Timeout: patient})
			orders, labels := memoryHistory(t, set, form.id)
			x := preprocess.NewExtractor(set, s, 0)
			for batch := range slices.Chunk(orders, poll) {
				if _, err := x.Extract(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			before := usedMemory(t, client)
			for batch := range slices.Chunk(labels, poll) {
				mustLearn(t, s, batch...)
			}
			_ = store.Close() // its connections have buffers on the server
			kinds := memoryByKind(t, client)
			all := usedMemory(t, client)
			inKeys := 0
			for _, name := range slices.Sorted(maps.Keys(kinds)) {
				k := kinds[name]
				inKeys += k.bytes
				t.Logf("%-28s %6d keys of %6.0f bytes", name, k.keys, float64(k.bytes)/float64(k.keys))
			}
			keys, anOrder := float64(client.DBSize(t.Context()).Val()), float64(all-empty)/memoryOrders
			t.Logf("%d orders: %.0f bytes an order, %.0f of them for its label; the tables of %.0f keys take %.0f a key",
				memoryOrders, anOrder, float64(all-before)/memoryOrders, keys, float64(all-empty-inKeys)/keys)
			if anOrder > form.anOrder {
				t.Errorf("%.0f bytes an order are more than %.0f", anOrder, form.anOrder)
			}
		})
	}
}

// memoryHistory is the orders of a month, each customer's and each terminal's at even distances, and the labels of all: one in a hundred is a fraud,
// which a twentieth of the terminals share.
func memoryHistory(t *testing.T, set *preprocess.FeatureSet, id func(int) string) ([]preprocess.Arrived, []schemas.Label) {
	t.Helper()
	start := time.UnixMicro(t0).UTC()
	var orders []preprocess.Arrived
	var labels []schemas.Label
	for n := range memoryOrders {
		at := start.Add(time.Duration(n) * memoryDays * 24 * time.Hour / memoryOrders).Truncate(time.Second)
		terminal := n % memoryTerminals
		fields, err := schemas.DecodeJSON(fmt.Appendf(nil, `{"order_id":%q,"occurred_at":%q,"customer_id":"%d","terminal_id":"%d","amount":%d.%02d}`,
			id(n), at.Format(time.RFC3339), 1000+n%memoryCustomers, 5000+terminal, 10+n%90, n%100))
		if err != nil {
			t.Fatal(err)
		}
		o, err := schemas.NewOrder(fields, set.Binding(), nil)
		if err != nil {
			t.Fatal(err)
		}
		orders = append(orders, preprocess.Arrived{Order: o, Content: uint64(n) * 0x9e3779b97f4a7c15, Arrival: preprocess.Arrival{Millis: at.UnixMilli() + 40, Source: int32(n % 12), Offset: 5_000_000 + int64(n)/12}})
		labels = append(labels, schemas.Label{ID: o.ID, Fraud: terminal%20 == 0 && n/memoryTerminals%5 == 0, KnownAt: at.Add(7 * 24 * time.Hour)})
	}
	return orders, labels
}

type memory struct{ keys, bytes int }

// memoryByKind sums what Redis says that each key takes, its name and its entry in the table of keys included.
func memoryByKind(t *testing.T, client redis.UniversalClient) map[string]memory {
	t.Helper()
	sums := make(map[string]memory)
	for _, key := range keysOf(t, client, redisstore.DefaultPrefix) {
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.key.MatchString(key[len(redisstore.DefaultPrefix):]) })
		if at < 0 {
			t.Fatalf("key %q is of no known kind", key)
		}
		name := kinds[at].name
		if kinds[at].entity {
			entity, _, _ := strings.Cut(key[len(redisstore.DefaultPrefix)+1:], ":")
			name += " of a " + strings.TrimSuffix(entity, "_id")
		}
		bytes, err := client.MemoryUsage(t.Context(), key, 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		sums[name] = memory{sums[name].keys + 1, sums[name].bytes + int(bytes)}
	}
	return sums
}

// usedMemory is all that Redis has allocated, in bytes.
func usedMemory(t *testing.T, client redis.UniversalClient) int {
	t.Helper()
	info, err := client.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "\r\nused_memory:")
	number, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no used_memory in %q", info)
	}
	return n
}

// TestMemoryOfAColumn measures one column of one entity: Redis packs up to 128 points of up to 64 bytes; beyond, each is a node of a skip list.
func TestMemoryOfAColumn(t *testing.T) {
	client := dial(t, startRedis(t))
	for _, form := range idForms {
		s := redisstore.New(client, redisstore.Config{Prefix: form.name, Timeout: patient})
		from := 0
		for _, n := range []int{1, 10, 60, 128, 129, 1000, 10_000} {
			var visits []preprocess.Visit
			for ; from < n; from++ {
				at := int64(t0) + int64(from)*60_000_000
				visits = append(visits, preprocess.Visit{
					ID: schemas.OrderID(form.id(from)), At: at, Arrival: preprocess.Arrival{Millis: at/1000 + 40, Source: 3, Offset: 5_000_000 + int64(from)},
					Asks: []preprocess.Ask{{Key: "customer_id:1234", Column: "amount", Value: 12.34, From: at, To: at, Keep: 1e15}},
				})
			}
			mustLook(t, s, visits...)
			key := form.name + "{customer_id:1234}:c:amount"
			bytes, err := client.MemoryUsage(t.Context(), key, 0).Result()
			if err != nil {
				t.Fatal(err)
			}
			encoding := client.ObjectEncoding(t.Context(), key).Val()
			t.Logf("%-8s %6d points: %8d bytes, %4d a point, %s", form.name, n, bytes, bytes/int64(n), encoding)
			if packed := encoding == "listpack"; packed != (n <= 128) {
				t.Errorf("%d points with ids as %s are kept as %s", n, form.name, encoding)
			}
			if limit := map[int]int64{60: form.packed, 1000: form.unpacked}[n]; limit > 0 && bytes/int64(n) > limit {
				t.Errorf("a point of %d takes %d bytes, more than %d", n, bytes/int64(n), limit)
			}
		}
	}
}

// TestMemoryOfAMergedColumn measures a column with a resolution, of an entity that many orders come to: a day's window in cells of 5 minutes. Each
// partition of the topic has a part of its own, as it has a worker of its own. After a call that merged some there is beside it what it was before.
func TestMemoryOfAMergedColumn(t *testing.T) {
	client := dial(t, startRedis(t))
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	const orders, hours, call = 12_000, 28, 100
	for _, test := range []struct {
		kind       string
		partitions int
		limit      int64 // bytes
	}{{"cells", 1, 64 << 10}, {"distinct", 1, 64 << 10}, {"cells", 12, 12 * 40 << 10}} {
		entity := fmt.Sprintf("terminal_id:%s%d", test.kind, test.partitions)
		offsets, most, rest := make([]int64, test.partitions), int64(0), int64(math.MaxInt64)
		key := redisstore.DefaultPrefix + "{" + entity + "}:m:amount"
		for from := 0; from < orders; from += call {
			visits := make([]preprocess.Visit, call)
			for i := range visits {
				n := from + i
				at, partition := int64(t0)+int64(n)*hours*60*minute/orders, n*7%test.partitions
				offsets[partition] += 3
				visits[i] = preprocess.Visit{
					ID: schemas.OrderID(idForms[1].id(n) + test.kind + strconv.Itoa(test.partitions)), At: at,
					Arrival: preprocess.Arrival{Millis: at/1000 + 40 + int64(n%100), Source: int32(partition), Offset: 5_000_000 + offsets[partition]},
					Asks: []preprocess.Ask{{
						Key: entity, Column: "amount", Merge: mergings[test.kind], Value: float64(n*7919%1_000_000) / 100, From: at - 24*60*minute, To: at, Keep: 24 * 60 * minute,
					}},
				}
			}
			mustLook(t, s, visits...)
			if from < orders*3/4 {
				continue
			}
			bytes, err := client.MemoryUsage(t.Context(), key, 0).Result()
			if err != nil {
				t.Fatal(err)
			}
			most, rest = max(most, bytes), min(rest, bytes)
		}
		t.Logf("%-8s of %d orders from %2d partitions: from %d to %d bytes", test.kind, orders, test.partitions, rest, most)
		if rest > test.limit || most > 2*test.limit {
			t.Errorf("%s from %d partitions: %d bytes, and %d after a call that merged some, are more than %d, and twice that", test.kind, test.partitions, rest, most, test.limit)
		}
	}
}
