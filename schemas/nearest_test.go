package schemas_test

import (
	"testing"

	"verdict/schemas"
)

func TestNearestFindsWhatWasMeant(t *testing.T) {
	known := []string{"amount", "customer_id", "terminal_id", "payment.card.fingerprint", "hour", "a"}
	tests := []struct{ name, want string }{
		{"amuont", "amount"},
		{"Amount", "amount"},
		{"amonut", "amount"},
		{"custmer_id", "customer_id"},
		{"terminal", "terminal_id"},
		{"fingerprint", "payment.card.fingerprint"},
		{"hoür", "hour"},
		{"", ""},
		{"zzzzzz", ""},
		{"xy", ""},
	}
	for _, test := range tests {
		if got := schemas.Nearest(test.name, known); got != test.want {
			t.Errorf("Nearest(%q) = %q, want %q", test.name, got, test.want)
		}
	}
	if got := schemas.Nearest("amount", nil); got != "" {
		t.Errorf("Nearest among none = %q", got)
	}
}
