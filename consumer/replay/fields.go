package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"verdict/schemas"
)

// What Run's error wraps when a file of the user's is at fault.
var (
	// ErrFeatures says that the feature set names a field that no order has, takes a text for a number, or has a feature named like a column of a file.
	ErrFeatures = errors.New("the feature set does not fit")
	// ErrNothing says that a source has nothing of what is asked for: no orders at all, or none of that time, or no labels but other records.
	ErrNothing = errors.New("there is nothing to replay")
	// ErrResume says that there is no interrupted replay that could be gone on with: its files or its sources are not there any more as they were, or it was another.
	ErrResume = errors.New("cannot resume")
	// ErrReport says that a report is to read a field that no order has.
	ErrReport = errors.New("the report does not fit")
	// ErrLive says that what was decided live cannot be compared with.
	ErrLive = errors.New("the live decisions cannot be compared with")
	// ErrPolicy says that a rule names a field that no order has.
	ErrPolicy = errors.New("the policy does not fit")
)

const (
	peekOrders = 10_000
	peekBytes  = 64 << 20 // of text, so that long lines do not make it a matter of memory
	peekNames  = 1_000    // distinct field names that are remembered, to suggest one
)

// peek reads the first orders ahead. They stay in memory and are polled like all others.
func (t *transport) peek(ctx context.Context) error {
	orders, bytes := 0, 0
	var first []item
	for orders < peekOrders && bytes < peekBytes {
		items, err := t.orders.next(ctx)
		if errors.Is(err, io.EOF) {
			break // Poll comes to it again
		}
		if err != nil {
			return err
		}
		orders += len(items)
		for i := range items {
			bytes += len(items[i].raw)
		}
		first = append(first, items...)
	}
	t.ahead = first
	return nil
}

// checkFields holds the fields that the feature set and the policy name against the orders. Without a schema nothing else would: a misspelt field is
// missing in every order, and a rule about it never matches.
func checkFields(cfg *Config, orders []item) error {
	if !anyFields(orders) {
		return nil
	}
	names := sync.OnceValue(func() []string { return fieldNames(orders) }) // most replays never want them
	faults := []error{checkUses(ErrFeatures, cfg.File, cfg.Features.Fields(), orders, names)}
	var checked []string
	for i := range cfg.Candidates {
		policy := cfg.Candidates[i].Policy
		if policy == nil || slices.Contains(checked, policy.File()) {
			continue
		}
		checked = append(checked, policy.File())
		faults = append(faults, checkUses(ErrPolicy, policy.File(), policy.Fields(), orders, names))
	}
	return errors.Join(faults...)
}

// anyFields says whether any line was an object. If none was, each is a dead letter, which says more than a field that is not there.
func anyFields(orders []item) bool {
	return slices.ContainsFunc(orders, func(it item) bool { return len(it.fields) > 0 })
}

// checkUses says which of the fields that a file names no order has, or none as the number that is wanted.
func checkUses(misfit error, file string, uses []schemas.FieldUse, orders []item, names func() []string) error {
	var faults []error
	for _, u := range uses {
		if fault := checkUse(u, orders, names); fault != "" {
			faults = append(faults, fmt.Errorf("%s:%d: %s", file, u.Line, fault))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w the first %d orders (a field that is rarely set can be declared with --schema):\n%w", misfit, len(orders), errors.Join(faults...))
}

// checkUse returns what is wrong with one use of a field, "" when nothing is. A field that is null in every order may well be a number in later ones.
func checkUse(u schemas.FieldUse, orders []item, names func() []string) string {
	there, other := false, schemas.Missing
	for i := range orders {
		if !has(orders[i].fields, u.Path) {
			continue
		}
		there = true
		if !u.Number {
			return ""
		}
		switch kind := orders[i].fields.At(u.Path).Kind(); kind {
		case schemas.Int, schemas.Float, schemas.Bool:
			return ""
		case schemas.Missing:
		default:
			other = kind
		}
	}
	switch {
	case !there:
		return fmt.Sprintf("no order has the field %q%s", u.Path, schemas.Meant(u.Path.String(), append(slices.Clip(u.Names), names()...)))
	case other == schemas.String:
		return fmt.Sprintf("the field %q is a string in every order, where a number or a boolean is wanted: give it an encode", u.Path)
	case other != schemas.Missing:
		return fmt.Sprintf("the field %q is a value of kind %s in every order, where a number or a boolean is wanted", u.Path, other)
	default:
		return ""
	}
}

// has says whether a record has a field, be it null.
func has(rec schemas.Record, path schemas.Path) bool {
	for level, name := range path {
		i := slices.IndexFunc(rec, func(f schemas.Field) bool { return f.Name == name })
		if i < 0 {
			return false
		}
		if level == len(path)-1 {
			return true
		}
		rec = rec[i].Value.Object()
	}
	return false
}

// fieldNames returns the dotted paths of the fields that the orders have.
func fieldNames(orders []item) []string {
	seen := make(map[string]bool)
	for i := range orders {
		addNames(seen, "", orders[i].fields)
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func addNames(seen map[string]bool, prefix string, rec schemas.Record) {
	for _, f := range rec {
		if len(seen) >= peekNames {
			return
		}
		seen[prefix+f.Name] = true
		addNames(seen, prefix+f.Name+".", f.Value.Object())
	}
}
