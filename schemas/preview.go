package schemas

// Preview is a decision that was not made: what one would be, with all that went into it.
type Preview struct {
	Decision      Decision // with Inputs
	Base          float64  // what the contributions are added to; NaN when the model cannot tell
	Contributions []Reason // of all inputs of the model, to its raw score; empty when it cannot tell
}

// AppendPreview appends a preview as the API returns it: the public decision, then inputs (null is missing), base (null when the model cannot tell) and
// contributions.
func AppendPreview(dst []byte, p *Preview) []byte {
	dst = appendInputs(appendPublic(dst, &p.Decision), &p.Decision.Inputs)
	dst = appendNumber(append(dst, `,"base":`...), p.Base)
	dst = append(dst, `,"contributions":[`...)
	for i := range p.Contributions {
		dst = appendReason(appendComma(dst, i), &p.Contributions[i])
	}
	return append(dst, "]}"...)
}
