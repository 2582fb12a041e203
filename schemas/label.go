package schemas

// NewLabel reads a label: {order_id, fraud, known_at, …}. The error is a *Malformed with code id_format, label_fraud, time_missing or timestamp_range.
func NewLabel(fields Record) (Label, error) {
	o, err := bind(fields, Binding{ID: Path{"order_id"}, Time: Path{"known_at"}}, "the time when the label became known")
	if err != nil {
		return Label{}, err
	}
	fraud, ok := labelFraud(fields.Get("fraud"))
	if !ok {
		const detail = "must be true or false (or 1 or 0)"
		return Label{}, &Malformed{Code: "label_fraud", Detail: "the label's fraud " + detail, Faults: []Fault{{Pointer: "/fraud", Detail: detail}}}
	}
	return Label{ID: o.ID, Fraud: fraud, KnownAt: o.At}, nil
}

func labelFraud(v Value) (fraud, ok bool) {
	switch n := v.Number(); {
	case v.Kind() == Bool:
		return v.Bool(), true
	case n == 0 || n == 1:
		return n == 1, true
	default:
		return false, false
	}
}
