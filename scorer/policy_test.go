package scorer_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/scorer"
)

const goodPolicy = `name: card
version: 4
lists: {blocked_terminals: lists/blocked.txt}
rules:
  - {id: blocked_terminal, when: "terminal_id in list('blocked_terminals')", then: reject}
  - {id: trusted, when: "customer_id == 'c-1'", then: approve}
  - {id: very_large, when: "amount > 5000", then: review}
  - {id: both, when: "score > 0.2 && count_1d > 10", then: review}
thresholds: {review: 0.30, reject: 0.80}
on_degraded: review
`

const blocked = "\ufeff# whole line\nt-1\n  t-2  # why\n\n77\nt#3\r\n"

func loadPolicy(t *testing.T, policy, list string) (*scorer.Policy, error) {
	t.Helper()
	dir := folder(t, map[string]string{"policy.yaml": policy, "lists/blocked.txt": list})
	return scorer.LoadPolicy(filepath.Join(dir, "policy.yaml"), orderSchema(t), layoutOf(t, "count_1d", "amount"))
}

func orderSchema(t *testing.T) *schemas.Schema {
	t.Helper()
	s, err := schemas.ParseSchema("order.avsc", []byte(`{"type": "record", "name": "Order", "fields": [
		{"name": "order_id", "type": "string"}, {"name": "terminal_id", "type": ["null", "string"]}, {"name": "customer_id", "type": ["null", "string"]},
		{"name": "amount", "type": "double"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadPolicySaysWhatIsWrongAndWhere(t *testing.T) {
	swap := func(from, into string) string { return strings.Replace(goodPolicy, from, into, 1) }
	for name, c := range map[string]struct{ policy, want string }{
		"unknown key":      {goodPolicy + "threshold: 1\n", "policy.yaml:11: policy: unknown key threshold; did you mean thresholds?"},
		"rule key":         {swap("then: reject", "than: reject"), "policy.yaml:5: rule 1: unknown key than; did you mean then?"},
		"rule lacks":       {swap(", then: reject", ""), "policy.yaml:5: rule 1: then is missing"},
		"rule twice":       {swap("id: very_large", "id: trusted"), "policy.yaml:7: rule trusted stands twice"},
		"action":           {swap("then: reject", "then: decline"), `policy.yaml:5: rule 1: then: "decline" is no action: approve, review or reject`},
		"near action":      {swap("then: reject", "then: rejct"), "did you mean reject?"},
		"field":            {swap("amount >", "amuont >"), "policy.yaml:7: rule very_large: when: column 1: "},
		"nearest field":    {swap("amount >", "amuont >"), "amount?"},
		"list":             {swap("list('blocked_terminals')", "list('blocked_terminal')"), "policy.yaml:5: rule blocked_terminal: when: column 20: unknown list blocked_terminal"},
		"nearest list":     {swap("list('blocked_terminals')", "list('blocked_terminal')"), "did you mean blocked_terminals?"},
		"syntax":           {swap("amount > 5000", "amount >"), "policy.yaml:7: rule very_large: when: "},
		"no list file":     {swap("lists/blocked.txt", "lists/blokced.txt"), "policy.yaml:3: lists: blocked_terminals: "},
		"thresholds":       {swap("review: 0.30", "review: 0.90"), "policy.yaml:9: thresholds: review (0.9) is above reject (0.8)"},
		"threshold NaN":    {swap("review: 0.30", "review: .nan"), "policy.yaml:9: thresholds: review: a number is wanted"},
		"threshold text":   {swap("review: 0.30", "review: high"), `policy.yaml:9: thresholds: review: a number is wanted, not "high"`},
		"threshold key":    {swap("review: 0.30", "revew: 0.30"), "policy.yaml:9: thresholds: unknown key revew; did you mean review?"},
		"degraded":         {swap("on_degraded: review", "on_degraded: approve"), "policy.yaml:10: on_degraded: approve is not taken"},
		"nothing":          {"name: a\nversion: 1\n", "policy.yaml:1: a policy has rules, thresholds or cost"},
		"no version":       {swap("version: 4\n", ""), "policy.yaml:1: version is missing"},
		"rules no list":    {"name: a\nversion: 1\nrules: {id: x}\n", "policy.yaml:3: rules: a list is wanted, not a mapping"},
		"all at once":      {swap("then: reject", "then: no") + "foo: 1\n", "policy.yaml:11: policy: unknown key foo"},
		"rule not mapping": {"name: a\nversion: 1\nrules: [x]\n", `policy.yaml:3: rule 1: a mapping is wanted, not "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadPolicy(t, c.policy, blocked)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestPolicyHashFollowsItsLists(t *testing.T) {
	hash := func(policy, list string) string {
		t.Helper()
		p, err := loadPolicy(t, policy, list)
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Version(); v.Name != "card" || v.Version != "4" || len(v.Hash) != 16 {
			t.Fatalf("got %+v", v)
		}
		return p.Version().Hash
	}
	first := hash(goodPolicy, blocked)
	if again := hash(goodPolicy, blocked); again != first {
		t.Errorf("the same files hash to %s and %s", first, again)
	}
	if hash(goodPolicy, blocked+"t-9\n") == first {
		t.Error("another list leaves the hash")
	}
	if hash(goodPolicy+"# c\n", blocked) == first {
		t.Error("another file leaves the hash")
	}
}

func TestPolicySaysWhichFieldsItsRulesNameAndWhere(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"policy.yaml": "name: a\nversion: 1\nrules:\n  - {id: r, when: \"amonut > 5000 && payment.brand == 'x'\", then: review}\n" +
		"  - {id: s, when: \"scroe > 0.1 || score > 0.2 || count_1d > 3\", then: review}\n"}), "policy.yaml")
	p, err := scorer.LoadPolicy(file, nil, layoutOf(t, "count_1d"))
	if err != nil {
		t.Fatal(err)
	}
	meant := []string{"count_1d", "score"}
	want := []schemas.FieldUse{
		{Path: schemas.ParsePath("amonut"), Line: 4, Names: meant}, {Path: schemas.ParsePath("payment.brand"), Line: 4, Names: meant}, {Path: schemas.ParsePath("scroe"), Line: 5, Names: meant},
	}
	if diff := cmp.Diff(want, p.Fields()); diff != "" {
		t.Error(diff)
	}
	if p.File() != file {
		t.Errorf("read from %s, want %s", p.File(), file)
	}
}

func TestNewRefusesARuleOnTheScoreWithoutAModel(t *testing.T) {
	layout := layoutOf(t, "count_1d")
	file := filepath.Join(folder(t, map[string]string{
		"policy.yaml": "name: a\nversion: 1\nrules:\n  - {id: r, when: count_1d > 3, then: review}\n  - {id: s, when: count_1d > 1 && score > 0.2, then: review}\n",
	}), "policy.yaml")
	p, err := scorer.LoadPolicy(file, nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	_, err = scorer.New(scorer.Config{Layout: layout, Policy: p})
	if want := file + ":5: the rule reads the score, but there is no model"; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), ":4:") {
		t.Errorf("error %v, want %s", err, want)
	}
	file = filepath.Join(folder(t, map[string]string{"policy.yaml": "name: a\nversion: 1\nrules:\n  - {id: r, when: count_1d > 3, then: review}\n"}), "policy.yaml")
	if p, err = scorer.LoadPolicy(file, nil, layout); err != nil {
		t.Fatal(err)
	}
	if s, err := scorer.New(scorer.Config{Layout: layout, Policy: p}); err != nil || s.Policy() != p {
		t.Errorf("rules on features alone: %v", err)
	}
}
