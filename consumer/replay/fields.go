package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"verdict/preprocess"
	"verdict/schemas"
)

// ErrFeatures is wrapped by Run's error when the feature set is at fault: it names a field that no order has, or a column that a file has already.
var ErrFeatures = errors.New("the feature set does not fit")

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

// checkFields says which fields of a feature set none of the orders has. Without a schema nothing else would: a misspelt field is missing in every order.
func checkFields(cfg *Config, orders []item) error {
	unseen := slices.Clone(cfg.Features.Fields())
	for i := range orders {
		rec := orders[i].fields
		unseen = slices.DeleteFunc(unseen, func(u preprocess.FieldUse) bool { return has(rec, u.Path) })
		if len(unseen) == 0 {
			return nil
		}
	}
	names := fieldNames(orders)
	if len(names) == 0 {
		return nil // no line was an object: each is a dead letter, which says more
	}
	var faults []error
	for _, u := range unseen {
		faults = append(faults, fmt.Errorf("%s:%d: no order has the field %q%s", cfg.File, u.Line, u.Path, schemas.Meant(u.Path.String(), names)))
	}
	return fmt.Errorf("%w the first %d orders (a field that is rarely set can be declared with --schema):\n%w", ErrFeatures, len(orders), errors.Join(faults...))
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
