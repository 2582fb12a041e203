package backtest

// headline returns the main candidate's figures.
func headline(r *Report) Headline {
	f := &r.Candidates[0]
	h := Headline{
		Candidate: f.Name, Orders: r.Period.Counted, Frauds: r.Period.Frauds, BaseRate: r.Period.BaseRate, AUC: f.AUC, AveragePrecision: f.AveragePrecision,
		PrecisionAt100: missing(), CardPrecisionAt100: missing(), PrecisionAtBudget: f.Budget.Precision, RecallAtBudget: f.Budget.Recall,
		FraudAmountCaught: f.Caught, FraudAmountCaughtPart: f.CaughtPart, HonestAmountBlocked: f.Blocked, Cost: f.Cost, ExpectedCost: f.ExpectedCost,
		Brier: f.Brier, ECE: f.ECE, Flips: missing(), FlipWorth: missing(), AUCGain: missing(), AveragePrecisionGain: missing(),
	}
	for _, at := range f.AtK {
		if at.K == 100 {
			h.PrecisionAt100, h.CardPrecisionAt100 = at.Precision, at.Card
		}
	}
	if m := against(r); m != nil {
		h.Flips, h.FlipCount, h.FlipWorth, h.AUCGain, h.AveragePrecisionGain = m.FlipsPart, m.Flips, m.Worth, m.AUC.Gain, m.AP.Gain
	}
	h.ScorePSIMax, h.PSIMax, h.MissingMax = r.Drift.Scores[0].Max, r.Drift.Scores[0].Max, missing()
	if !h.PSIMax.Missing() {
		h.PSIMaxOf = "score"
	}
	for _, d := range r.Drift.Features {
		if !d.Max.Missing() && (h.PSIMax.Missing() || d.Max > h.PSIMax) {
			h.PSIMax, h.PSIMaxOf = d.Max, d.Name
		}
		for i, part := range d.Missing {
			if !r.Drift.Weeks[i].Small {
				h.MissingMax = larger(h.MissingMax, part)
			}
		}
	}
	return h
}

// against returns the comparison of which the headline's flips and gains are: the main candidate with live, or else with the second candidate. Nil when there
// is neither.
func against(r *Report) *Comparison {
	if len(r.Comparisons) == 0 {
		return nil
	}
	return &r.Comparisons[0] // live with the first, or else the second with the first: see pairsOf
}
