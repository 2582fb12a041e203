package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

const spec = `name: small
version: 1
event: {id: order_id, time: occurred_at}
entities:
  customer: [customer_id]
features:
  amount: {value: amount}
  n: {count: "*", by: customer, window: 1d}
  mean: {mean: amount, by: customer, window: 1d}
  frauds: {sum: fraud, by: customer, window: 7d}
`

// newStore returns an empty store.
func newStore() *memstore.Store { return memstore.New(memstore.Config{}) }

func location(tb testing.TB, s string) *replay.Location {
	tb.Helper()
	at, err := replay.ParseLocation(s)
	if err != nil {
		tb.Fatal(err)
	}
	return &at
}

// config returns a replay of orders through the feature set in file.
func config(tb testing.TB, file, orders string) replay.Config {
	tb.Helper()
	features, err := preprocess.Load(file, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return replay.Config{
		Orders: *location(tb, orders), Features: features, File: file, Store: memstore.New(memstore.Config{}), Lateness: 30 * 24 * time.Hour,
	}
}

// small returns a replay of orders through the small feature set, which writes features.csv to the folder out.
func small(tb testing.TB, orders string) (cfg replay.Config, out string) {
	tb.Helper()
	out = tb.TempDir()
	cfg = config(tb, put(tb, "small.yaml", []byte(spec)), orders)
	cfg.Out, cfg.Write = out, replay.CSV
	return cfg, out
}

// put writes a file of that name and returns its path.
func put(tb testing.TB, name string, text []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func read(tb testing.TB, dir, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func lines(text []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\n'})
}

func run(tb testing.TB, cfg replay.Config) replay.Summary {
	tb.Helper()
	done, err := replay.Run(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

// order returns a line of the order n of a customer, so many hours after 2026-01-01.
func order(n int, customer string, hours, amount float64) string {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours * float64(time.Hour)))
	return fmt.Sprintf(`{"order_id":"o%d","occurred_at":%q,"customer_id":%q,"amount":%g}`, n, at.Format(time.RFC3339Nano), customer, amount) + "\n"
}

func label(n int, fraud bool, hours float64) string {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours * float64(time.Hour)))
	return fmt.Sprintf(`{"order_id":"o%d","fraud":%t,"known_at":%q}`, n, fraud, at.Format(time.RFC3339Nano)) + "\n"
}

func TestReplayWritesRowsInOrderWithMissingEmpty(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(
		order(1, "a", 0, 10)+order(2, "a", 1, 20.5)+`{"order_id":3,"occurred_at":1767236400000,"customer_id":7,"amount":null}`+"\n\n"+order(4, "a", 30, 1e-7))))
	run(t, cfg)
	want := "order_id,amount,n,mean,frauds\no1,10,1,10,0\no2,20.5,2,15.25,0\n3,,1,,0\no4,1e-07,1,1e-07,0\n"
	if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
		t.Error(diff)
	}
}

func TestReplayReleasesALabelToOrdersOfItsTimeAndLater(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 9.999, 1)+order(3, "a", 10, 1)+order(4, "a", 20, 1)+order(5, "a", 40, 1))))
	// The first is known at the very time of o3; it is withdrawn before o5. What becomes known after the last order changes nothing.
	cfg.Labels = location(t, put(t, "labels.jsonl", []byte(label(1, false, 39)+label(2, true, 20)+label(1, true, 10)+label(3, true, 99))))
	done := run(t, cfg)
	want := "order_id,amount,n,mean,frauds\no1,1,1,1,0\no2,1,2,1,0\no3,1,3,1,1\no4,1,4,1,2\no5,1,2,1,1\n"
	if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
		t.Error(diff)
	}
	if done.Labels != 4 {
		t.Errorf("%d labels, want 4", done.Labels)
	}
}

func TestReplayWritesFromSinceAndReadsBeforeUntil(t *testing.T) {
	// o5 lies behind o4 in the file and before it in time: what is at --until or later is passed over, not the end.
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 1, 2)+order(3, "a", 2, 3)+order(4, "a", 3, 4)+order(5, "a", 2.5, 5))))
	cfg.Since, cfg.Until = time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	done := run(t, cfg)
	want := "order_id,amount,n,mean,frauds\no2,2,2,1.5,0\no3,3,3,2,0\no5,5,4,2.75,0\n"
	if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
		t.Error(diff)
	}
	if done.Orders != 4 || done.Rows != 3 || done.After != 1 {
		t.Errorf("%+v: want 4 orders, 3 rows, 1 after", done)
	}
}

func TestReplayGivesARepeatNoSecondRow(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(1, "a", 0, 1)+order(2, "a", 1, 2)+order(1, "a", 0, 9))))
	done := run(t, cfg)
	want := "order_id,amount,n,mean,frauds\no1,1,1,1,0\no2,2,2,1.5,0\n"
	if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
		t.Error(diff)
	}
	if done.Repeats != 2 || done.Conflicts != 1 {
		t.Errorf("%d repeats and %d conflicts, want 2 and 1", done.Repeats, done.Conflicts)
	}
}

func TestReplayCountsLateOrders(t *testing.T) {
	cfg, _ := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 100, 1)+order(2, "a", 99, 2)+order(3, "a", 10, 2)+order(4, "a", 100, 2))))
	cfg.Lateness = 24 * time.Hour
	done := run(t, cfg)
	if want := "2 late, the latest by 3.8 days (1 beyond the lateness)"; done.Late != 2 || done.TooLate != 1 || done.Latest != 90*time.Hour || !strings.Contains(done.String(), want) {
		t.Errorf("want %q in %q", want, done)
	}
}

func TestReplayRefusesWhatHasNothingOfWhatIsAskedFor(t *testing.T) {
	orders := put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 1, 1)))
	for name, tc := range map[string]struct {
		change func(cfg *replay.Config)
		want   string
	}{
		"an empty file":          {func(cfg *replay.Config) { cfg.Orders = *location(t, put(t, "empty.jsonl", nil)) }, "there is no record in"},
		"no order in the file":   {func(cfg *replay.Config) { cfg.Orders = *location(t, put(t, "x.jsonl", []byte("{}\n[]\n"))) }, "none of the 2 records of"},
		"all before since":       {func(cfg *replay.Config) { cfg.Since = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }, "lie before 2027-01-01"},
		"all behind until":       {func(cfg *replay.Config) { cfg.Until = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }, "lie at 2025-01-01T00:00:00Z or later"},
		"labels that are orders": {func(cfg *replay.Config) { cfg.Labels = location(t, orders) }, "none of the 2 records of"},
	} {
		cfg, out := small(t, orders)
		tc.change(&cfg)
		if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrNothing) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %v (%v)", name, left, err)
		}
	}
}

func TestReplayBuriesMalformedLinesAndGoesOn(t *testing.T) {
	long := `{"order_id":"long","occurred_at":"2026-01-01T00:00:00Z","customer_id":"` + strings.Repeat("x", replay.MaxLine) + `","amount":1}` + "\n"
	longer := `{"order_id":"` + strings.Repeat("y", 1<<20) + `"}` + "\n"
	secret := `{"order_id":"o 5 4111111111111111","occurred_at":"2026-01-01T00:00:00Z"}` + "\n"
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+"{\"order_id\":\n"+long+order(2, "a", 1, 2)+longer+secret+`[1]`+"\n"+order(3, "a", 2, 3))))
	cfg.Labels = location(t, put(t, "labels.jsonl", []byte(`{"order_id":"o1","known_at":"2026-01-01T00:00:00Z"}`+"\n"+label(1, false, 9))))
	var told bytes.Buffer
	cfg.Stderr = &told
	done := run(t, cfg)
	if want := "order_id,amount,n,mean,frauds\no1,1,1,1,0\no2,2,2,1.5,0\no3,3,3,2,0\n"; read(t, out, "features.csv") != want {
		t.Errorf("features.csv: %s", cmp.Diff(want, read(t, out, "features.csv")))
	}
	var got []string
	for _, line := range lines([]byte(read(t, out, "dead-letters.jsonl"))) {
		rec, err := schemas.DecodeJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(filepath.Base(rec.Get("file").Str()), ":", rec.Get("line").Int(), " ", rec.Get("code").Str()))
	}
	want := []string{"labels.jsonl:1 label_fraud", "orders.jsonl:2 json_syntax", "orders.jsonl:3 too_large", "orders.jsonl:5 too_large", "orders.jsonl:6 id_format", "orders.jsonl:7 schema_mismatch"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if done.DeadLetters != 6 {
		t.Errorf("%d dead letters, want 6", done.DeadLetters)
	}
	if !strings.Contains(told.String(), "orders.jsonl:2: json_syntax") || !strings.Contains(told.String(), "not shown") {
		t.Errorf("told: %s", told.String())
	}
	if strings.Contains(told.String()+read(t, out, "dead-letters.jsonl"), "4111") {
		t.Error("a dead letter tells what the order says")
	}
}

// history returns orders of some customers over some days, with repeats, late ones and orders of one time, and labels.
func history(n int) (orders, labels []byte) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		hours := float64(i) / 10
		if rnd.IntN(20) == 0 {
			hours -= float64(rnd.IntN(30))
		}
		line := order(i, fmt.Sprint("c", rnd.IntN(20)), max(0, hours), float64(rnd.IntN(10000))/100)
		orders = append(orders, line...)
		if rnd.IntN(30) == 0 {
			orders = append(orders, line...)
		}
		if rnd.IntN(10) == 0 {
			labels = append(labels, label(i, rnd.IntN(4) > 0, hours+float64(rnd.IntN(100)))...)
		}
	}
	return orders, labels
}

func TestReplayDoesNotDependOnTheBatchSize(t *testing.T) {
	orders, labels := history(3000)
	var want string
	for _, batch := range []int{1, 7, 1000} {
		cfg, out := small(t, put(t, "orders.jsonl", orders))
		cfg.Labels, cfg.Batch = location(t, put(t, "labels.jsonl", labels)), batch
		run(t, cfg)
		got := read(t, out, "features.csv")
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("batches of %d: %s", batch, diff)
		}
	}
	if !strings.Contains(want, ",3\n") {
		t.Error("no order saw three frauds: the history is too tame to tell")
	}
}

func TestReplayReadsEverySource(t *testing.T) {
	orders, _ := history(2500)
	cfg, out := small(t, put(t, "orders.jsonl", orders))
	run(t, cfg)
	want := read(t, out, "features.csv")

	half := bytes.IndexByte(orders[len(orders)/2:], '\n') + len(orders)/2
	gz := append(gzipped(t, orders[:half]), gzipped(t, orders[half:])...) // two members, as of files that were put together
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string][]byte{
		"orders.jsonl.gz": gz, "orders.jsonl.zst": z.EncodeAll(orders, nil), "crlf.jsonl": bytes.ReplaceAll(orders, []byte("\n"), []byte("\r\n")),
		"open-end.jsonl": bytes.TrimSuffix(orders, []byte("\n")), "bom.jsonl": append([]byte("\xef\xbb\xbf"), orders...),
		"plain.avro": container(t, orders, nil), "snappy.avro": container(t, orders, ocf.SnappyCodec()), "zstandard.avro": container(t, orders, ocf.MustZstdCodec(nil, nil)),
	}
	for name, text := range sources {
		cfg, out := small(t, put(t, name, text))
		run(t, cfg)
		if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	cfg, _ = small(t, "-")
	var stdout bytes.Buffer
	cfg.Stdin, cfg.Stdout = bytes.NewReader(orders), &stdout
	run(t, cfg)
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Errorf("from stdin to stdout: %s", diff)
	}
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return gz.Bytes()
}

// container writes orders as an Avro object container file.
func container(t *testing.T, orders []byte, codec ocf.Codec) []byte {
	t.Helper()
	schema := avro.MustParse(`{"type":"record","name":"Order","fields":[{"name":"order_id","type":"string"},
		{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"customer_id","type":["null","string"]},{"name":"amount","type":"double"}]}`)
	type row struct {
		ID       string    `avro:"order_id"`
		At       time.Time `avro:"occurred_at"`
		Customer *string   `avro:"customer_id"`
		Amount   float64   `avro:"amount"`
	}
	var text bytes.Buffer
	w, err := ocf.NewWriter(&text, schema, ocf.WithCodec(codec))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines(orders) {
		rec, err := schemas.DecodeJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		at, err := schemas.ParseTime(rec.Get("occurred_at"))
		if err != nil {
			t.Fatal(err)
		}
		customer := rec.Get("customer_id").Str()
		if err := w.Encode(&row{rec.Get("order_id").Str(), at, &customer, rec.Get("amount").Number()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func TestReplayRefusesAFieldThatNoOrderHas(t *testing.T) {
	orders := put(t, "orders.jsonl", []byte(`{"order_id":"o1","occurred_at":"2026-01-01T00:00:00Z","customer":{"id":"a"},"amounts":3}`+"\n"))
	cfg, out := small(t, orders)
	_, err := replay.Run(t.Context(), cfg)
	if !errors.Is(err, replay.ErrFeatures) {
		t.Fatalf("error %v, want ErrFeatures", err)
	}
	for _, want := range []string{cfg.File + `:7: no order has the field "amount"; did you mean amounts?`, `:5: no order has the field "customer_id"; did you mean customer.id?`, "--schema"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\ndoes not say %s", err, want)
		}
	}
	empty(t, out)
}

func TestReplayRefusesAFeatureNamedLikeAColumnOfTheFile(t *testing.T) {
	for format, name := range map[replay.Format]string{replay.CSV: "order_id", replay.Parquet: "occurred_at"} {
		cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1))))
		features, err := preprocess.Parse("clash.yaml", []byte(strings.Replace(spec, "  mean:", "  "+name+":", 1)), nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Features, cfg.Write = features, format
		if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrFeatures) {
			t.Errorf("%s: error %v, want ErrFeatures", name, err)
		}
		empty(t, out)
	}
}

// empty fails the test when the folder has anything in it.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("%s was left behind", f.Name())
	}
}

func TestReplayLeavesNoFileWhenItBreaksOff(t *testing.T) {
	orders, _ := history(20_000)
	gz := gzipped(t, orders)
	t.Run("a source cut short", func(t *testing.T) {
		cfg, out := small(t, put(t, "orders.jsonl.gz", gz[:len(gz)*9/10]))
		if _, err := replay.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "after line") {
			t.Errorf("error %v, want one that says after which line", err)
		}
		empty(t, out)
	})
	t.Run("interrupted before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg, out := small(t, put(t, "orders.jsonl", orders))
		cancel()
		if _, err := replay.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		empty(t, out)
	})
	t.Run("full disk", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("there is no /dev/full here")
		}
		defer func() { _ = full.Close() }()
		cfg, out := small(t, put(t, "orders.jsonl", orders))
		cfg.Stdout = full
		if _, err := replay.Run(t.Context(), cfg); err == nil {
			t.Error("no error")
		}
		empty(t, out)
	})
}

// cancelling is a store that ends its caller's context at some call.
type cancelling struct {
	preprocess.Store
	after  int
	cancel context.CancelFunc
}

func (c *cancelling) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if c.after--; c.after == 0 {
		c.cancel()
	}
	return c.Store.Exchange(ctx, visits, see)
}

func TestParseLocationRefusesWhatItCannotRead(t *testing.T) {
	for source, want := range map[string]string{
		"kafka://broker:9092/orders": "kafka:// is not a source of a replay: give", "orders.csv": "not a source", "orders.parquet.gz": "not a source", "": "not a source",
	} {
		if _, err := replay.ParseLocation(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", source, err, want)
		}
	}
}

func TestReplayKeepsToItsPace(t *testing.T) {
	orders, _ := history(500)
	dir := put(t, "orders.jsonl", orders)
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := small(t, dir)
		cfg.Rate, cfg.Batch = 100, 50
		done := run(t, cfg)
		if want := time.Duration(done.Orders-50) * 10 * time.Millisecond; done.Elapsed != want { // the first batch goes at once
			t.Errorf("%d orders at 100 a second took %v, want %v", done.Orders, done.Elapsed, want)
		}
	})
}
