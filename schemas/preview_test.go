package schemas_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
)

func TestPreviewIsTheDecisionAndAllThatWentIntoIt(t *testing.T) {
	layout, err := schemas.NewLayout(schemas.Version{Name: "card", Version: "1"}, []string{"amount", "mean"})
	if err != nil {
		t.Fatal(err)
	}
	p := schemas.Preview{
		Decision:      schemas.Decision{OrderID: "o1", Action: schemas.Review, Score: 0.5, Inputs: schemas.FeatureVector{Layout: layout, Values: []float64{49.5, math.NaN()}}},
		Base:          -2.25,
		Contributions: []schemas.Reason{{Feature: "mean", Value: math.NaN(), Contribution: -1}, {Feature: "amount", Value: 49.5, Contribution: 0.5}},
	}
	public := strings.TrimSuffix(string(schemas.AppendPublic(nil, &p.Decision)), "}")
	want := public + `,"inputs":{"amount":49.5,"mean":null},"base":-2.25,"contributions":[{"feature":"mean","value":null,"contribution":-1},{"feature":"amount","value":49.5,"contribution":0.5}]}`
	if diff := cmp.Diff(want, string(schemas.AppendPreview(nil, &p))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.Base, p.Contributions = math.NaN(), nil
	if got := string(schemas.AppendPreview(nil, &p)); !strings.HasSuffix(got, `,"base":null,"contributions":[]}`) {
		t.Errorf("without contributions: %s", got)
	}
}
