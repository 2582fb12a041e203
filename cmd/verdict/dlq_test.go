package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// verdict runs a command to its end.
func verdict(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &err
	exit := (*exec.ExitError)(nil)
	if bad := cmd.Run(); bad != nil && !errors.As(bad, &exit) {
		t.Fatal(bad)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// letters is what verdict dlq list --json says.
type letters struct {
	Letters []struct {
		Partition, Offset int64
		Code              string
		Source            *schemas.Source
		Bytes, Retries    int64
		LeftOut           bool `json:"left_out"`
		Done              *struct{ Action string }
	}
	Codes map[string]int
	Total int
}

func listLetters(t *testing.T, ctx context.Context, config string, args ...string) letters {
	t.Helper()
	code, out, stderr := verdict(t, ctx, append([]string{"dlq", "list", "--json", "-c", config}, args...)...)
	var l letters
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 {
		t.Fatalf("%d, %v: %s%s", code, err, out, stderr)
	}
	return l
}

// awaitLetters waits until so many letters are not done with.
func awaitLetters(t *testing.T, ctx context.Context, config string, n int) letters {
	t.Helper()
	for {
		code, out, _ := verdict(t, ctx, "dlq", "list", "--json", "-c", config)
		var l letters
		if err := json.Unmarshal([]byte(out), &l); err == nil && code == 0 && l.Total >= n {
			return l
		}
		if ctx.Err() != nil {
			t.Fatalf("%d letters came", l.Total)
		}
	}
}

// topics makes the site's topics, as serve would, but with one partition each.
func (s site) topics(t *testing.T, ctx context.Context) {
	t.Helper()
	admin := kadm.NewClient(s.client(t))
	for _, name := range []string{"orders", "orders.sync", "labels", "decisions", "replies", "orders.dlq"} {
		if _, err := admin.CreateTopic(ctx, 1, -1, nil, s.topic(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADeadLetterThatIsRetriedIsDecidedOnceWithTheFeaturesOfItsPlace has an order refused for its time, the limit raised, and the order tried again, three
// times over; between its first place and the second come others of its customer.
func TestADeadLetterThatIsRetriedIsDecidedOnceWithTheFeaturesOfItsPlace(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 3*time.Minute)
	s.topics(t, ctx)
	c := s.client(t)
	order := func(i int, age time.Duration) event {
		at := time.Now().UTC().Add(-age).Truncate(time.Second)
		id := fmt.Sprintf("o%d", i)
		return event{ID: id, At: at, line: fmt.Appendf(nil, `{"order_id":%q,"occurred_at":%q,"customer_id":"c","terminal_id":"7","amount":%d}`, id, at.Format(time.RFC3339), 10+i)}
	}
	h := history{orders: []event{order(0, 10*time.Hour), order(1, 3*time.Hour), order(2, 2*time.Hour), order(3, 5*time.Hour), order(4, time.Minute)}}
	bad := h.orders[3] // 5 h old, tried again before the last
	strict, open := s.config(t, "", "events: {max_age: 4h}"), s.config(t, "", "")

	produce := func(e event) {
		s.produce(t, ctx, c, "orders", e.line, kgo.RecordHeader{Key: "x", Value: []byte("mine")})
	}
	scorer := start(t, "serve", "--role", "scorer", "-c", open)
	produce(h.orders[0])
	s.decisions(t, ctx, 1)
	_ = scorer.interrupt()
	scorer = start(t, "serve", "--role", "scorer", "-c", strict)
	for _, e := range []event{bad, h.orders[1], h.orders[2]} {
		produce(e)
	}
	found := awaitLetters(t, ctx, strict, 1)
	if l := found.Letters[0]; found.Total != 1 || l.Code != "timestamp_range" || *l.Source != (schemas.Source{Topic: s.topic("orders"), Offset: 1}) || l.Bytes != int64(len(bad.line)) {
		t.Fatalf("%+v", found)
	}
	s.decisions(t, ctx, 3)

	// Under the limit that stands it comes back as another letter, which says that it was tried once.
	retry := func(args ...string) {
		if code, out, stderr := verdict(t, ctx, append([]string{"dlq", "retry", "--yes", "-c", open}, args...)...); code != 0 || !strings.Contains(out, "retried 1\n") {
			t.Fatalf("%d: %s%s", code, out, stderr)
		}
	}
	retry("--code", "timestamp_range")
	found = awaitLetters(t, ctx, strict, 1)
	if l := found.Letters[0]; found.Total != 1 || l.Retries != 1 || l.Offset != 1 {
		t.Fatalf("%+v", found)
	}
	_ = scorer.interrupt()
	scorer = start(t, "serve", "--role", "scorer", "-c", open)
	retry("0:1")
	if left := listLetters(t, ctx, open); left.Total != 0 {
		t.Fatalf("%+v", left)
	}
	// As a retry that was killed before it had noted what it did, and both once more.
	retry("0:1", "--again")
	retry("0:0", "--again")
	produce(h.orders[4])
	got := s.decisions(t, ctx, 5) // fails where an order has two decisions
	for id, w := range h.replayed(t) {
		if diff := firstDifference(w, got[id]); diff != "" {
			t.Errorf("order %s: %s", id, diff)
		}
	}
	if all := listLetters(t, ctx, open, "--all"); all.Total != 2 || all.Letters[0].Done == nil || all.Letters[1].Done.Action != "retried" {
		t.Errorf("%+v", all)
	}
	s.sentAgain(t, ctx, 4, []kgo.RecordHeader{
		{Key: "x", Value: []byte("mine")},
		{Key: "verdict.retry", Value: []byte("1")},
		{Key: "verdict.retry.of", Value: []byte(s.topic("orders.dlq") + "/0/0")},
	})
	_ = scorer.interrupt()
}

// sentAgain holds the headers of a record of orders against those that it should have.
func (s site) sentAgain(t *testing.T, ctx context.Context, offset int64, want []kgo.RecordHeader) {
	t.Helper()
	c := s.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic("orders"): {0: kgo.NewOffset().At(offset)}}))
	if diff := cmp.Diff(want, s.next(t, ctx, c).Headers); diff != "" {
		t.Error(diff)
	}
}

// TestOrdersOfAnUnknownSchemaAreRetriedWhenItIsKnown also drops a letter, and shows one.
func TestOrdersOfAnUnknownSchemaAreRetriedWhenItIsKnown(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	s.topics(t, ctx)
	registry, _ := schematest.Registry(t)
	config := s.config(t, "", fmt.Sprintf("registry: {urls: [%q]}", registry.URL()))
	scorer := start(t, "serve", "--role", "scorer", "-c", config)
	c := s.client(t)
	orderSchema, _ := schemas.DefaultText("order")
	body, err := schematest.AvroOrder(1, 1) // the first schema that a registry is given
	if err != nil {
		t.Fatal(err)
	}
	s.produce(t, ctx, c, "orders.sync", body)
	awaitLetters(t, ctx, config, 1)
	s.produce(t, ctx, c, "labels", []byte("{\x1b[31m"))
	found := awaitLetters(t, ctx, config, 2)
	if diff := cmp.Diff(map[string]int{"schema_unknown": 1, "json_syntax": 1}, found.Codes); diff != "" {
		t.Fatal(diff)
	}
	if code, out, stderr := verdict(t, ctx, "dlq", "show", "0:1", "-c", config); code != 0 || !strings.Contains(out, "__connect.errors.topic: "+s.topic("labels")) ||
		!strings.Contains(out, "1b 5b 33 31 6d") || strings.Contains(out, "\x1b") {
		t.Errorf("%d: %s%s", code, out, stderr)
	}
	if code, out, _ := verdict(t, ctx, "dlq", "show", "--raw", "0:0", "-c", config); code != 0 || out != string(body) {
		t.Errorf("%d: %q", code, out)
	}
	if code, out, stderr := verdict(t, ctx, "dlq", "drop", "--from-topic", s.topic("labels"), "-y", "-c", config); code != 0 || out != "dropped 1\n" {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	if id := schematest.Register(t, registry, s.topic("orders")+"-value", orderSchema); id != 1 {
		t.Fatalf("the schema has id %d", id)
	}
	_ = scorer.interrupt() // for ten seconds it takes for unknown what was
	scorer = start(t, "serve", "--role", "scorer", "-c", config)
	retry := []string{"dlq", "retry", "--all", "-c", config}
	if code, out, stderr := verdict(t, ctx, append(retry, "--dry-run")...); code != 0 || out != "1 to be sent to "+s.topic("orders")+"\n" {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	if code, _, _ := verdict(t, ctx, retry...); code != 2 || listLetters(t, ctx, config).Total != 1 {
		t.Fatalf("without --yes where nobody can be asked: %d", code)
	}
	if code, out, stderr := verdict(t, ctx, append(retry, "--yes")...); code != 0 || out != "retried 1\n" {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	s.next(t, ctx, s.client(t, fromStart(s, "decisions")...))
	if left := listLetters(t, ctx, config); left.Total != 0 {
		t.Errorf("%+v", left)
	}
	_ = scorer.interrupt()
}

// TestRetryLooksUpWhatALetterLeftOut has a letter without its value, as it is written where the letters' topic takes none of that size.
func TestRetryLooksUpWhatALetterLeftOut(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	s.topics(t, ctx)
	c := s.client(t)
	value := []byte(strings.Repeat("a long order ", 1000))
	s.produce(t, ctx, c, "orders", value)
	letter := func(offset, size int) {
		s.produce(t, ctx, c, "orders.dlq", nil, kgo.RecordHeader{Key: "verdict.error.code", Value: []byte("too_large")},
			kgo.RecordHeader{Key: "verdict.source", Value: fmt.Appendf(nil, "%s/0/%d", s.topic("orders"), offset)},
			kgo.RecordHeader{Key: "verdict.error.value_bytes", Value: fmt.Append(nil, size)})
	}
	letter(0, len(value))
	letter(0, 5)
	letter(9, 5)
	config := s.config(t, "", "")
	if l := listLetters(t, ctx, config).Letters[0]; !l.LeftOut || l.Bytes != int64(len(value)) || l.Code != "too_large" {
		t.Fatalf("%+v", l)
	}
	if code, out, stderr := verdict(t, ctx, "dlq", "retry", "-y", "0:0", "-c", config); code != 0 || out != "retried 1\n" {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	again := s.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic("orders"): {0: kgo.NewOffset().At(1)}}))
	if r := s.next(t, ctx, again); string(r.Value) != string(value) || string(r.Key) != "k" {
		t.Errorf("%q: %q", r.Key, r.Value)
	}
	code, out, stderr := verdict(t, ctx, "dlq", "retry", "-y", "0:1", "0:2", "-c", config)
	if code != 1 || out != "retried 0\n" || !strings.Contains(stderr, "0:2: its value of 5 bytes was left out") {
		t.Errorf("%d: %s%s", code, out, stderr)
	}
}

// TestARetryThatIsKilledLosesNothing kills one in its middle and has another do the rest. Some letters are there twice, as after a crash of their scorer.
func TestARetryThatIsKilledLosesNothing(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	s.topics(t, ctx)
	const n = 400
	c, writes := s.client(t), []*kgo.Record(nil)
	letter := func(i int) {
		writes = append(writes, &kgo.Record{Topic: s.topic("orders.dlq"), Value: fmt.Append(nil, i), Headers: []kgo.RecordHeader{
			{Key: "verdict.error.code", Value: []byte("json_syntax")}, {Key: "verdict.source", Value: fmt.Appendf(nil, "%s/0/%d", s.topic("orders"), 1000+i)},
		}})
	}
	for i := range n {
		letter(i)
		if i%10 == 0 {
			letter(i)
		}
	}
	if err := c.ProduceSync(ctx, writes...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	config := s.config(t, "", "")
	if all := listLetters(t, ctx, config, "--limit", "300"); all.Total != 300 {
		t.Fatalf("%d letters", all.Total)
	}
	cmd := exec.CommandContext(ctx, program, "dlq", "retry", "--all", "--yes", "--rate", "200", "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader, copies := s.client(t, fromStart(s, "orders")...), make(map[string]int)
	read := func(until int) {
		for len(copies) < until {
			copies[string(s.next(t, ctx, reader).Value)]++
		}
	}
	read(150)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed: that is how it ended
	left := listLetters(t, ctx, config).Total
	if left == 0 || left == len(writes) {
		t.Fatalf("%d letters are left", left)
	}
	code, out, stderr := verdict(t, ctx, "dlq", "retry", "--all", "--yes", "-c", config)
	if code != 0 || listLetters(t, ctx, config).Total != 0 {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	s.produce(t, ctx, c, "orders", []byte("end"))
	read(n + 1)
	twice := 0
	for _, many := range copies {
		twice += many - 1
	}
	t.Logf("killed in the middle: %d of %d letters were left, %d records were sent twice", left, len(writes), twice)
	if twice > 100 || len(copies) != n+1 {
		t.Errorf("%d records, %d of them twice", len(copies), twice)
	}
	if code, out, _ := verdict(t, ctx, "dlq", "retry", "--all", "--yes", "-c", config); code != 0 || out != "" {
		t.Errorf("%d: %q", code, out)
	}
}

func TestDLQSaysWhatIsWrongWithItsArguments(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", "")
	for args, want := range map[string]string{
		"":                           "list, show, retry or drop",
		"retry":                      "--all",
		"retry --all --code x":       "--all does not go with",
		"retry 0:1 --code x":         "not by both",
		"retry 01":                   "not PARTITION:OFFSET",
		"list --since yesterday":     "nor how long ago",
		"list --until -1h":           "--until",
		"list --since 1h --until 2h": "before --until",
		"drop --limit -1":            "--limit",
		"show":                       "arg",
	} {
		flags := []string{"-c", config}
		if args == "" {
			flags = nil
		}
		code, _, stderr := verdict(t, ctx, append([]string{"dlq"}, append(strings.Fields(args), flags...)...)...)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("dlq %s: %d, %q", args, code, stderr)
		}
	}
	if code, _, stderr := verdict(t, ctx, "dlq", "list", "-c", config); code != 1 || !strings.Contains(stderr, "there is no topic "+s.topic("orders.dlq")) {
		t.Errorf("%d: %s", code, stderr)
	}
}
