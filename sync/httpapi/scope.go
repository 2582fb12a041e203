package httpapi

import (
	"fmt"
	"strings"

	"verdict/schemas"
)

// Scope is a set of what a caller may do; a route asks for one of them. The zero Scope is nothing, which open routes ask for.
type Scope uint8

// What there is to be allowed. None includes another: admin alone decides no order.
const (
	ScopeDecide  Scope = 1 << iota // orders are sent, alone or in batches
	ScopeRead                      // kept decisions are read
	ScopePreview                   // what would be decided is asked, with features and contributions
	ScopeLabel                     // it is told what became of orders
	ScopeAdmin                     // metrics, and whatever says something of the service and nothing of an order
)

// scopeNames are the scopes in the order of their bits.
func scopeNames() []string { return []string{"decide", "read", "preview", "label", "admin"} }

// has says whether all of need is in s.
func (s Scope) has(need Scope) bool { return s&need == need }

// String returns the names with commas between.
func (s Scope) String() string {
	var all []string
	for i, name := range scopeNames() {
		if s.has(1 << i) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ",")
}

// ParseScopes reads names with commas between, as String writes them. At least one is wanted, and an unknown one is an error with the nearest right name.
func ParseScopes(text string) (Scope, error) {
	var s Scope
	for name := range strings.SplitSeq(text, ",") {
		one := scopeNamed(name)
		if one == 0 {
			return 0, fmt.Errorf("unknown scope %q%s", name, schemas.Meant(name, scopeNames()))
		}
		s |= one
	}
	return s, nil
}

// scopeNamed returns 0 for a name that is no scope's.
func scopeNamed(name string) Scope {
	for i, n := range scopeNames() {
		if n == name {
			return 1 << i
		}
	}
	return 0
}
