package replay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"verdict/consumer"
	"verdict/consumer/replay"
	"verdict/schemas"
	"verdict/scorer"
)

// rules returns a policy of rules alone, which reviews from the count n of a customer's orders on.
func rules(t *testing.T, cfg replay.Config, version, n string) *scorer.Policy {
	t.Helper()
	text := "name: small\nversion: " + version + "\nrules:\n  - {id: many, when: n > " + n + ", then: review}\n  - {id: others, when: n <= " + n + ", then: approve}\n"
	policy, err := scorer.LoadPolicy(put(t, "policy.yaml", []byte(text)), nil, cfg.Features.Layout())
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestEachCandidateDecidesAsItWouldAlone(t *testing.T) {
	orders, labels := history(2000)
	file, known := put(t, "orders.jsonl", orders), put(t, "labels.jsonl", labels)
	together, out := small(t, file)
	var alone []string
	var digests []replay.CandidateDigest
	for i, n := range []string{"1", "2", "5"} {
		cfg, one := small(t, file)
		cfg.Labels, cfg.Write, cfg.Decide = location(t, known), replay.NoFeatures, true
		policy := rules(t, cfg, string(rune('1'+i)), n)
		cfg.Candidates = []replay.Candidate{candidate(t, cfg, nil, policy)}
		digests = append(digests, run(t, cfg).Digests...)
		alone = append(alone, read(t, one, "decisions.jsonl"))
		together.Candidates = append(together.Candidates, candidate(t, together, nil, rules(t, together, string(rune('1'+i)), n)))
	}
	together.Labels, together.Decide = location(t, known), true
	done := run(t, together)
	for i, name := range []string{"decisions.jsonl", "decisions-2.jsonl", "decisions-3.jsonl"} {
		if read(t, out, name) != alone[i] {
			t.Errorf("%s is not what the candidate decides alone", name)
		}
	}
	if !slices.Equal(done.Digests, digests) || digests[0].Digest == digests[1].Digest || digests[0].Name != "small@1" {
		t.Errorf("digests %v, alone %v", done.Digests, digests)
	}
	for _, d := range digests {
		if !strings.Contains(done.String(), "digest "+d.Digest+" of the decisions by "+d.Name) {
			t.Errorf("%s does not tell %v", done, d)
		}
	}
}

// TestDigestIsEqualHoweverTheHistoryIsRead replays the same orders from a file and from topics, in batches of several sizes, with one and eight threads.
func TestDigestIsEqualHoweverTheHistoryIsRead(t *testing.T) {
	var text []byte
	s := newShop(t)
	for i := range 600 {
		line := order(i, string(rune('a'+i%7)), float64(i)/10, float64(i%50))
		text = append(text, line...)
		s.write(t, "orders", int32(i*i%3), i, []byte(line))
	}
	file := put(t, "orders.jsonl", text)
	var digests []string
	for _, threads := range []int{1, 8} {
		was := runtime.GOMAXPROCS(threads)
		for _, batch := range []int{1, 7, 1000} {
			cfg, _ := deciding(t, file)
			cfg.Batch = batch
			digests = append(digests, run(t, cfg).Digests[0].Digest)
			cfg.Orders, cfg.Store = s.location(consumer.Orders, "orders"), newStore()
			digests = append(digests, run(t, cfg).Digests[0].Digest)
		}
		runtime.GOMAXPROCS(was)
	}
	if len(slices.Compact(slices.Clone(digests))) != 1 {
		t.Errorf("digests %v", digests)
	}
	cfg, _ := deciding(t, put(t, "orders.jsonl", bytes.Replace(text, []byte(`"amount":3}`), []byte(`"amount":3.0000000000000004}`), 1)))
	if other := run(t, cfg).Digests[0].Digest; other == digests[0] {
		t.Error("another amount in the last bit has the same digest")
	}
}

// TestDigestIsWhatItsCommentSays computes one as any other program would.
func TestDigestIsWhatItsCommentSays(t *testing.T) {
	decisions := []schemas.Decision{
		{OrderID: "o1", Action: schemas.Review, Score: 0.25, Inputs: schemas.FeatureVector{Values: []float64{1, math.NaN(), -0.5}}},
		{OrderID: "o2", Score: math.NaN(), Inputs: schemas.FeatureVector{Values: []float64{math.Inf(1)}}},
	}
	var got, backwards replay.Digest
	want := new(big.Int)
	const missing = 0x7ff8000000000001
	for i, numbers := range [][]uint64{{math.Float64bits(0.25), math.Float64bits(1), missing, math.Float64bits(-0.5)}, {missing, missing}} {
		text := []byte(string(decisions[i].OrderID) + "\x00" + string(decisions[i].Action) + "\x00")
		for _, bits := range numbers {
			text = binary.BigEndian.AppendUint64(text, bits)
		}
		sum := sha256.Sum256(text)
		want.Add(want, new(big.Int).SetBytes(sum[:16]))
		got.Add(&decisions[i])
		backwards.Add(&decisions[1-i])
	}
	want.Mod(want, new(big.Int).Lsh(big.NewInt(1), 128))
	if text := hex.EncodeToString(want.FillBytes(make([]byte, 16))); got.String() != text || backwards.String() != text {
		t.Errorf("digest %s, backwards %s, want %s", got.String(), backwards.String(), text)
	}
}
