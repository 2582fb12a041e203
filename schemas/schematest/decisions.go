package schematest

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"verdict/schemas"
)

// Decision returns a decision with everything in it.
func Decision() schemas.Decision {
	features := schemas.Version{Name: "card", Version: "1", Hash: "0123456789abcdef"}
	layout, err := schemas.NewLayout(features, []string{"amount", "terminal_fraud_rate_30d", "seconds_since_last"})
	if err != nil {
		panic(err) // unreachable: the names are distinct
	}
	return schemas.Decision{
		OrderID:    "1102483",
		Action:     schemas.Review,
		Score:      0.4127,
		OccurredAt: time.Date(2018, 7, 25, 12, 0, 0, 0, time.UTC),
		DecidedAt:  time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC),
		Model:      schemas.Version{Name: "card", Version: "1", Hash: "89abcdef01234567"},
		Features:   features,
		Policy:     schemas.PolicyVersion{Version: schemas.Version{Name: "card", Version: "4", Hash: "fedcba9876543210"}, Rule: "very_large"},
		Reasons: []schemas.Reason{
			{Feature: "terminal_fraud_rate_30d", Value: 0.31, Contribution: 1.84},
			{Feature: "seconds_since_last", Value: math.NaN(), Contribution: -0.25},
		},
		Degraded:    []string{"features"},
		Challengers: []schemas.Challenger{{Name: "card", Version: "2", Score: 0.3911}},
		Inputs:      schemas.FeatureVector{Layout: layout, Values: []float64{75.81, 0.31, math.NaN()}},
		Source:      schemas.Source{Topic: "orders", Partition: 3, Offset: 1 << 40},
		Content:     0x00ff00ff12345678,
	}
}

// AnyDecision draws decisions of every shape that can be written: any finite or missing number, and any UTF-8 in names.
func AnyDecision() *rapid.Generator[schemas.Decision] {
	return rapid.Custom(func(t *rapid.T) schemas.Decision {
		d := schemas.Decision{
			OrderID:    schemas.OrderID(rapid.StringMatching(`[A-Za-z0-9._:-]{1,128}`).Draw(t, "order")),
			Action:     rapid.SampledFrom([]schemas.Action{schemas.Approve, schemas.Review, schemas.Reject, ""}).Draw(t, "action"),
			Score:      number().Draw(t, "score"),
			OccurredAt: instant().Draw(t, "occurred"),
			DecidedAt:  instant().Draw(t, "decided"),
			Model:      version().Draw(t, "model"),
			Features:   version().Draw(t, "features"),
			Policy:     schemas.PolicyVersion{Version: version().Draw(t, "policy")},
			Degraded:   rapid.SampledFrom([][]string{nil, {"model"}, {"features", "model"}}).Draw(t, "degraded"),
			Source:     schemas.Source{Topic: rapid.String().Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset")},
			Content:    rapid.Uint64().Draw(t, "content"),
		}
		if d.Policy.Name != "" {
			d.Policy.Rule = rapid.String().Draw(t, "rule")
		}
		for range rapid.IntRange(0, 3).Draw(t, "reasons") {
			d.Reasons = append(d.Reasons, schemas.Reason{Feature: rapid.String().Draw(t, "feature"), Value: number().Draw(t, "value"), Contribution: number().Draw(t, "contribution")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "challengers") {
			d.Challengers = append(d.Challengers, schemas.Challenger{Name: rapid.String().Draw(t, "name"), Version: rapid.String().Draw(t, "version"), Score: number().Draw(t, "score")})
		}
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 20, rapid.ID[string]).Draw(t, "names")
		layout, err := schemas.NewLayout(d.Features, names)
		if err != nil {
			panic(err) // unreachable: the names are distinct
		}
		d.Inputs = schemas.FeatureVector{Layout: layout, Values: rapid.SliceOfN(number(), len(names), len(names)).Draw(t, "inputs")}
		return d
	})
}

// number draws finite doubles, the odd ones often, and NaN for missing.
func number() *rapid.Generator[float64] {
	odd := []float64{0, math.Copysign(0, -1), 1, math.SmallestNonzeroFloat64, 0x1p-1022, math.MaxFloat64, 1e20, 1e21, 1e-6, 1e-7, 1 << 53, 1<<63 - 1024, 1 << 63, 1 << 64, math.NaN()}
	return rapid.OneOf(rapid.Float64(), rapid.SampledFrom(odd), rapid.Map(rapid.Uint64(), func(bits uint64) float64 {
		if f := math.Float64frombits(bits); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
		return math.NaN()
	}))
}

// instant draws times of whole microseconds.
func instant() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(1, 7258118400*1e6-1), func(us int64) time.Time { return time.UnixMicro(us).UTC() })
}

func version() *rapid.Generator[schemas.Version] {
	return rapid.Custom(func(t *rapid.T) schemas.Version {
		if rapid.Bool().Draw(t, "none") {
			return schemas.Version{}
		}
		return schemas.Version{Name: rapid.StringN(1, 20, -1).Draw(t, "name"), Version: rapid.String().Draw(t, "version"), Hash: rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "hash")}
	})
}
