package schemas

import "errors"

// NewLabel reads a label: {order_id, fraud, known_at, …}. The error is a *Malformed with code id_format, label_fraud, time_missing or timestamp_range.
func NewLabel(fields Record) (Label, error) {
	o, err := bind(fields, Binding{ID: Path{"order_id"}, Time: Path{"known_at"}}, "the time when the label became known")
	var wrong *Malformed
	if err != nil && !errors.As(err, &wrong) {
		return Label{}, err // unreachable: bind knows no other
	}
	fraud, ok := labelFraud(fields.Get("fraud"))
	if !ok {
		const detail = "must be true or false (or 1 or 0)"
		if wrong == nil {
			wrong = &Malformed{Code: "label_fraud", Detail: "the label's fraud " + detail}
		}
		wrong.Faults = append(wrong.Faults, Fault{Pointer: "/fraud", Detail: detail})
	}
	if wrong != nil {
		return Label{}, wrong
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
