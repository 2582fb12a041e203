package replay_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/replay"
	"verdict/schemas"
)

// several returns the location of files with these texts.
func several(t *testing.T, texts ...[]byte) replay.Location {
	t.Helper()
	var all []replay.Location
	for _, text := range texts {
		all = append(all, *location(t, put(t, "orders.jsonl", text)))
	}
	at, err := replay.Files(all)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// timed returns orders of distinct times, in their order.
func timed(n int) [][]byte {
	var all [][]byte
	for i := range n {
		all = append(all, []byte(order(i, string(rune('a'+i%11)), float64(i)/20, float64(i%100))))
	}
	return all
}

func TestSeveralFilesAreMergedByEventTime(t *testing.T) {
	all := timed(4000)
	cfg, out := small(t, put(t, "orders.jsonl", bytes.Join(all, nil)))
	run(t, cfg)
	want := read(t, out, "features.csv")
	rnd := rand.New(rand.NewPCG(5, 6))
	var spread [4][]byte
	for _, line := range all {
		n := rnd.IntN(4)
		spread[n] = append(spread[n], line...)
	}
	days := func(order ...int) [][]byte {
		var texts [][]byte
		for _, i := range order {
			texts = append(texts, bytes.Join(all[i*1000:(i+1)*1000], nil))
		}
		return texts
	}
	for name, texts := range map[string][][]byte{"spread": spread[:], "days": days(0, 1, 2, 3), "days, in another order": days(2, 0, 3, 1), "one empty": append(days(1, 0, 3, 2), nil)} {
		cfg, out := small(t, "-")
		cfg.Orders = several(t, texts...)
		done := run(t, cfg)
		if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" || done.Late != 0 {
			t.Errorf("%s: %d late: %s", name, done.Late, diff)
		}
	}
}

func TestSeveralFilesOfOneTimeAreReadInTheirOrder(t *testing.T) {
	cfg, out := small(t, "-")
	cfg.Orders = several(t, []byte(order(1, "a", 1, 1)+order(2, "a", 2, 2)), []byte(order(3, "a", 1, 3)+order(4, "a", 2, 4)+order(5, "a", 1, 5)))
	run(t, cfg)
	var ids []string
	for _, line := range lines([]byte(read(t, out, "features.csv")))[1:] {
		ids = append(ids, strings.Split(string(line), ",")[0])
	}
	if diff := cmp.Diff([]string{"o1", "o3", "o2", "o4", "o5"}, ids); diff != "" { // o5 is late in its file, and no earlier for the merge
		t.Error(diff)
	}
}

func TestSeveralFilesSayWhereARecordLies(t *testing.T) {
	cfg, out := deciding(t, "-")
	cfg.Orders = several(t, []byte(order(1, "a", 1, 1)+"no order\n"), []byte("no order either\n"+order(2, "a", 0, 1)+order(1, "b", 5, 1)))
	done := run(t, cfg)
	letters, names := read(t, out, "dead-letters.jsonl"), cfg.Orders.Names()
	for _, want := range []string{`"file":"` + names[0] + `","line":2,"code":"json_syntax"`, `"file":"` + names[1] + `","line":1,"code":"json_syntax"`, `"file":"` + names[1] + `","line":3,"code":"order_conflict"`} {
		if !strings.Contains(letters, want) {
			t.Errorf("%s\ndoes not have %s", letters, want)
		}
	}
	var sources []schemas.Source
	for _, line := range lines([]byte(read(t, out, "decisions.jsonl"))) {
		d, err := schemas.DecodeDecision(line)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, d.Source)
	}
	if diff := cmp.Diff([]schemas.Source{{Topic: "orders.jsonl", Partition: 1, Offset: 1}, {Topic: "orders.jsonl"}}, sources); diff != "" || done.Conflicts != 1 {
		t.Error(diff, done)
	}
}

func TestLabelsOfSeveralFilesAreAllRead(t *testing.T) {
	orders, labels := history(1000)
	cfg, out := small(t, put(t, "orders.jsonl", orders))
	cfg.Labels = location(t, put(t, "labels.jsonl", labels))
	run(t, cfg)
	want := read(t, out, "features.csv")
	half := bytes.IndexByte(labels[len(labels)/2:], '\n') + len(labels)/2 + 1
	cfg, out = small(t, put(t, "orders.jsonl", orders))
	at := several(t, labels[half:], labels[:half])
	cfg.Labels = &at
	run(t, cfg)
	if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" {
		t.Error(diff)
	}
}

func TestSeveralFilesWithABrokenOneSayWhich(t *testing.T) {
	orders, _ := history(20_000)
	gz := gzipped(t, orders)
	broken, err := replay.Files([]replay.Location{*location(t, put(t, "whole.jsonl", orders[:1000])), *location(t, put(t, "broken.jsonl.gz", gz[:len(gz)/2]))})
	if err != nil {
		t.Fatal(err)
	}
	cfg, out := small(t, "-")
	cfg.Orders = broken
	if _, err := replay.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "broken.jsonl.gz: after line") {
		t.Errorf("error %v, want one that names the file", err)
	}
	empty(t, out)
}

func TestFilesRefusesWhatCannotBeMerged(t *testing.T) {
	s := newShop(t)
	one := *location(t, "a.jsonl")
	for want, all := range map[string][]replay.Location{
		"is no file": {one, *location(t, "-")}, "named twice": {one, one}, "no file is named": nil, "kafka://shop/orders is no file": {one, s.location(0, "orders")},
	} {
		if _, err := replay.Files(all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	if at, err := replay.Files([]replay.Location{one}); err != nil || at.String() != "a.jsonl" || !slices.Equal(at.Names(), []string{"a.jsonl"}) {
		t.Errorf("%v, %v", at, err)
	}
}

func TestAnOrderInTwoFilesIsARepeat(t *testing.T) {
	all := timed(4000)
	cfg, _ := small(t, "-")
	cfg.Orders = several(t, bytes.Join(all[:2000], nil), bytes.Join(all[1000:], nil)) // with repeats: claims hold where an order arrived
	done := run(t, cfg)
	if done.Orders != 5000 || done.Repeats != 1000 || done.Rows != 4000 {
		t.Errorf("%s", done)
	}
}
