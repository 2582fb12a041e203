package replay_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer"
	"verdict/consumer/replay"
	"verdict/schemas"
)

// decided returns what a replay of orders and labels decides: here it stands for what was decided live.
func decided(t *testing.T, orders, labels string) []schemas.Decision {
	t.Helper()
	cfg, out := deciding(t, put(t, "orders.jsonl", []byte(orders)))
	if labels != "" {
		cfg.Labels = location(t, put(t, "labels.jsonl", []byte(labels)))
	}
	run(t, cfg)
	var all []schemas.Decision
	for _, line := range lines([]byte(read(t, out, "decisions.jsonl"))) {
		d, err := schemas.DecodeDecision(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// verify replays orders and labels, and compares with what was decided live.
func verify(t *testing.T, orders, labels string, was []schemas.Decision) (*replay.Verification, string) {
	t.Helper()
	cfg, out := deciding(t, put(t, "orders.jsonl", []byte(orders)))
	if labels != "" {
		cfg.Labels = location(t, put(t, "labels.jsonl", []byte(labels)))
	}
	cfg.Live, cfg.Verify = location(t, put(t, "decisions.jsonl", written(was))), true
	return run(t, cfg).Verified, read(t, out, "differences.jsonl")
}

func written(all []schemas.Decision) []byte {
	var text []byte
	for i := range all {
		text = append(schemas.AppendDecision(text, &all[i]), '\n')
	}
	return text
}

// told returns the kinds of difference and how often each occurred.
func told(v *replay.Verification) map[string]int64 {
	all := make(map[string]int64)
	for _, d := range v.Differences {
		all[d.Kind] = d.Count
	}
	return all
}

func TestVerifyFindsARepetitionEqual(t *testing.T) {
	orders, labels := history(2000)
	cfg, out := deciding(t, put(t, "orders.jsonl", orders))
	cfg.Labels = location(t, put(t, "labels.jsonl", labels))
	digest := run(t, cfg).Digests[0].Digest
	live := read(t, out, "decisions.jsonl")
	v, differences := verify(t, string(orders), string(labels), decided(t, string(orders), string(labels)))
	if v.Compared != 2000 || v.Same != 2000 || len(v.Differences) != 0 || v.Unexplained != 0 || differences != "" || v.Digest != digest {
		t.Errorf("%s, want 2000 equal and the digest %s", v, digest)
	}

	// Of one that has features alone, the features are compared.
	cfg, _ = small(t, put(t, "orders.jsonl", orders))
	cfg.Labels = location(t, put(t, "labels.jsonl", labels))
	cfg.Live, cfg.Verify = location(t, put(t, "decisions.jsonl", []byte(live))), true
	if v := run(t, cfg).Verified; v.Same != 2000 {
		t.Errorf("features alone: %s", v)
	}
	cfg, _ = small(t, put(t, "orders.jsonl", orders)) // without labels they are not the same
	cfg.Live, cfg.Verify = location(t, put(t, "decisions.jsonl", []byte(live))), true
	if v := run(t, cfg).Verified; v.Unexplained == 0 {
		t.Errorf("features alone, without labels: %s", v)
	}
}

// apart are orders of customers of their own, so that no other order is a reason for anything.
func apart(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(order(i, fmt.Sprint("c", i), float64(i), float64(i)))
	}
	return text.String()
}

func TestVerifyNamesEachDifference(t *testing.T) {
	next := math.Nextafter(2, 3)
	for name, tc := range map[string]struct {
		change func(all []schemas.Decision) []schemas.Decision
		want   map[string]int64
		bad    int64
	}{
		"a feature, in its last bit": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Inputs.Values[0] = next
			return all
		}, map[string]int64{replay.Unknown: 1}, 1},
		"an action": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Action = schemas.Reject
			return all
		}, map[string]int64{replay.Unknown: 1}, 1},
		"an action of another policy": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Action, all[2].Policy.Hash = schemas.Reject, "0123456789abcdef"
			return all
		}, map[string]int64{replay.OtherPolicy: 1}, 0},
		"another policy, and the same action": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Policy.Hash = "0123456789abcdef"
			return all
		}, map[string]int64{}, 0},
		"another feature set": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Features.Hash, all[2].Inputs.Values[1] = "0123456789abcdef", 7
			return all
		}, map[string]int64{replay.OtherFeatures: 1}, 0},
		"an order of another content": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Content++
			all[2].Inputs.Values[0] = 7
			return all
		}, map[string]int64{replay.OtherContent: 1}, 0},
		"no features": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Inputs = schemas.FeatureVector{}
			all[2].Degraded, all[2].Action = []string{"features"}, schemas.Reject
			return all
		}, map[string]int64{replay.Degraded: 1}, 0},
		"no features, and nothing that says so": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Inputs = schemas.FeatureVector{}
			return all
		}, map[string]int64{replay.Unknown: 1}, 1},
		"a feature, where the model could not be had": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Inputs.Values[0], all[2].Degraded = 7, []string{"model"}
			return all
		}, map[string]int64{replay.Unknown: 1}, 1},
		"a feature, where features were not all there": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Inputs.Values[1], all[2].Degraded = 7, []string{"features_stale"}
			return all
		}, map[string]int64{replay.Degraded: 1}, 0},
		"a cost that could not be had": {func(all []schemas.Decision) []schemas.Decision {
			all[2].Degraded, all[2].Action = []string{"cost"}, schemas.Review
			return all
		}, map[string]int64{replay.Degraded: 1}, 0},
		"one that is not there": {func(all []schemas.Decision) []schemas.Decision {
			return slices.Delete(all, 2, 3)
		}, map[string]int64{replay.Missing: 1}, 1},
		"one that was written again": {func(all []schemas.Decision) []schemas.Decision {
			return append(all, all[2])
		}, map[string]int64{}, 0},
		"two that are not the same": {func(all []schemas.Decision) []schemas.Decision {
			all = append(all, all[2])
			all[len(all)-1].Action = schemas.Reject
			return all
		}, map[string]int64{replay.Torn: 1}, 1},
		"an order that the history lacks": {func(all []schemas.Decision) []schemas.Decision {
			all = append(all, all[2])
			all[len(all)-1].OrderID = "other"
			return all
		}, map[string]int64{replay.NotReplayed: 1}, 1},
		"an end before the history's": {func(all []schemas.Decision) []schemas.Decision {
			return all[:4]
		}, map[string]int64{}, 0},
	} {
		v, differences := verify(t, apart(6), "", tc.change(decided(t, apart(6), "")))
		if diff := cmp.Diff(tc.want, told(v)); diff != "" || v.Unexplained != tc.bad {
			t.Errorf("%s: %d unexplained: %s", name, v.Unexplained, diff)
		}
		total := int64(0)
		for kind, n := range tc.want {
			total += n
			if !strings.Contains(differences, `"kind":"`+kind+`"`) || !strings.Contains(v.String(), kind) {
				t.Errorf("%s: %s is not told: %s\n%s", name, kind, differences, v)
			}
		}
		if n := strings.Count(differences, "\n"); int64(n) != total {
			t.Errorf("%s: %d lines in differences.jsonl, want %d", name, n, total)
		}
	}
}

func TestVerifySaysWhichFeaturesDiffer(t *testing.T) {
	was := decided(t, apart(3), "")
	was[1].Inputs.Values[0], was[1].Inputs.Values[2] = 7, math.NaN()
	_, differences := verify(t, apart(3), "", was)
	want := `"features":{"amount":{"live":7,"replayed":1},"mean":{"live":null,"replayed":1}}`
	if !strings.Contains(differences, want) || !strings.Contains(differences, `"source":{"topic":"orders.jsonl","partition":0,"offset":1}`) {
		t.Errorf("%s does not have %s", differences, want)
	}
}

func TestVerifyFindsWhoArrivedLate(t *testing.T) {
	a, b, c := order(1, "a", 0.5, 1), order(2, "a", 1, 1), order(3, "z", 1, 1)
	was := decided(t, b+c+a, "") // live had a after b, so that b did not count it
	v, differences := verify(t, a+b+c, "", was)
	if diff := cmp.Diff(map[string]int64{replay.LateArrival: 1}, told(v)); diff != "" || v.Unexplained != 0 {
		t.Error(diff)
	}
	if !strings.Contains(differences, `"detail":"orders.jsonl/0 offset 2 of the same customer`) || v.Differences[0].Example != "o2" {
		t.Errorf("%s: %+v", differences, v.Differences)
	}
	// What is made of the order alone no other order can change, nor one that lies where no window reaches.
	for place, want := range map[int]string{0: "nothing that was found changes amount", 1: ""} {
		was := decided(t, b+c+a, "")
		was[0].Inputs.Values[place] = 9
		v, _ := verify(t, a+b+c, "", was)
		if kind := map[bool]string{true: replay.Unknown, false: replay.LateArrival}[want != ""]; told(v)[kind] != 1 || want != "" && v.Differences[0].Detail != want {
			t.Errorf("feature %d: %s", place, v)
		}
	}
	// The other way round, too: live counted a, and the history has it behind b.
	if v, _ := verify(t, b+c+a, "", decided(t, a+b+c, "")); told(v)[replay.LateArrival] != 1 || v.Unexplained != 0 {
		t.Errorf("%s", v)
	}
	// An order of another customer is no reason.
	was = decided(t, b+c+order(1, "q", 0.5, 1), "")
	was[0].Inputs.Values[0] = 9
	if v, _ := verify(t, order(1, "q", 0.5, 1)+b+c, "", was); told(v)[replay.Unknown] != 1 {
		t.Errorf("%s", v)
	}
}

func TestVerifyKnowsThatTimesDoNotOrderPartitions(t *testing.T) {
	a, b := order(1, "a", 0.5, 1), order(2, "a", 1, 1)
	for apart, want := range map[time.Duration]string{300 * time.Millisecond: replay.Concurrent, 3 * time.Second: replay.LateArrival, -3 * time.Second: replay.Unknown} {
		was := decided(t, b+a, "")
		was[0].Source.Partition, was[0].DecidedAt = 1, was[1].DecidedAt.Add(-apart) // b, before a
		if v, _ := verify(t, a+b, "", was); told(v)[want] != 1 {
			t.Errorf("%s apart: %s", apart, v)
		}
	}
}

func TestVerifyFindsLabelsThatCameLate(t *testing.T) {
	orders := order(1, "a", 0, 1) + order(2, "a", 10, 1) + order(3, "b", 10, 1)
	v, _ := verify(t, orders, label(1, true, 5), decided(t, orders, "")) // live had not heard of it
	if diff := cmp.Diff(map[string]int64{replay.LateLabel: 1}, told(v)); diff != "" {
		t.Error(diff)
	}
	if v, _ := verify(t, orders, label(3, true, 5), withAmount(decided(t, orders, ""), 1)); told(v)[replay.Unknown] != 1 || told(v)[replay.LateLabel] != 1 {
		t.Errorf("a label of another customer is taken for a reason: %s", v)
	}

	// Where the labels lie in a topic, their records tell when they came: the decision was made at 10:00.
	for second, want := range map[int]string{0: replay.Unknown, 10 * 3600: replay.LateLabel, 11 * 3600: replay.LateLabel} {
		s := newShop(t)
		s.write(t, "labels", 0, second, []byte(label(1, true, 5)))
		cfg, _ := deciding(t, put(t, "orders.jsonl", []byte(orders)))
		at := s.location(consumer.Labels, "labels")
		cfg.Labels, cfg.Live, cfg.Verify = &at, location(t, put(t, "decisions.jsonl", written(decided(t, orders, "")))), true
		if v := run(t, cfg).Verified; told(v)[want] != 1 {
			t.Errorf("a label that came after %d s: %s", second, v)
		}
	}
}

func withAmount(all []schemas.Decision, i int) []schemas.Decision {
	all[i].Inputs.Values[0]++
	return all
}

func TestVerifyKnowsThatTheHistoryBeginsLater(t *testing.T) {
	a, b := order(1, "a", 0, 1), order(2, "a", 1, 1)
	v, _ := verify(t, b, "", decided(t, a+b, ""))
	if diff := cmp.Diff(map[string]int64{replay.OtherHistory: 1}, told(v)); diff != "" || v.Unexplained != 0 {
		t.Error(diff)
	}
}

func TestVerifyTellsWhatIsCertainBeforeWhatIsPossible(t *testing.T) {
	// a is another order than live had, so that b's mean differs too; c of the same customer was decided elsewhere at about b's time.
	a, b, c := order(1, "a", 0, 1), order(2, "a", 1, 1), order(3, "a", 1, 1)
	was := decided(t, order(1, "a", 0, 9)+b+c, "")
	was[2].Source.Partition, was[2].DecidedAt = 1, was[1].DecidedAt.Add(100*time.Millisecond)
	others := strings.Join(strings.SplitAfter(apart(9), "\n")[4:], "") // most contents are those that live had
	v, differences := verify(t, a+b+c+others, "", append(was, decided(t, others, "")...))
	if diff := cmp.Diff(map[string]int64{replay.OtherContent: 3}, told(v)); diff != "" {
		t.Errorf("%s\n%s", diff, differences)
	}
}

func TestVerifyReadsDecisionsFromATopic(t *testing.T) {
	s := newShop(t)
	for i, line := range bytes.SplitAfter(written(decided(t, apart(20), "")), []byte("\n")) {
		if len(line) > 0 {
			s.write(t, "orders", int32(i%3), i, line)
		}
	}
	s.write(t, "orders", 0, 99, []byte("no decision"))
	cfg, _ := deciding(t, put(t, "orders.jsonl", []byte(apart(20))))
	at := s.location(consumer.Orders, "orders")
	cfg.Live, cfg.Verify = &at, true
	if v := run(t, cfg).Verified; v.Same != 20 || v.Alien != 1 {
		t.Errorf("%s", v)
	}
}

func TestVerifyLooksAtWhatIsWrittenAlone(t *testing.T) {
	was := decided(t, apart(6), "")
	for i := range 3 {
		was[i].Inputs.Values[0] = 99 // before --since
	}
	cfg, _ := deciding(t, put(t, "orders.jsonl", []byte(apart(6))))
	cfg.Since = time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	cfg.Live, cfg.Verify = location(t, put(t, "decisions.jsonl", written(was))), true
	if v := run(t, cfg).Verified; v.Same != 3 || v.Compared != 3 || v.Unexplained != 0 {
		t.Errorf("%s", v)
	}
}
