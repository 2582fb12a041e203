package treemodel_test

import "testing"

// The third opinion, beside LightGBM's recorded scores: leaves, which reads the file by code of its own.
func TestLeavesAgreesBitForBitWhereItIsRight(t *testing.T) {
	compared := 0
	for _, s := range samples(t) {
		t.Run(s.kind, func(t *testing.T) {
			m := parse(t, s)
			did, err := m.CrossCheck(s.text, s.rows)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := m.Info().AverageOutput || m.Info().Linear; did == wrong {
				t.Errorf("compared: %v, for a model that leaves scores wrong: %v", did, wrong)
			}
			if did {
				compared++
			}
		})
	}
	if compared < 20 {
		t.Errorf("only %d models were compared", compared)
	}
}

func TestCrossCheckSeesADifference(t *testing.T) {
	s := readSample(t, "binary")
	m := parse(t, s)
	other := readSample(t, "goss").text
	if _, err := m.CrossCheck(other, s.rows); err == nil {
		t.Fatal("the scores of two models passed as equal")
	}
}
