package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// forgetFlags are the flags of verdict forget.
type forgetFlags struct {
	site        siteFlags
	entities    []string
	orders      []string
	dryRun, yes bool
}

func newForgetCommand() *cobra.Command {
	f := forgetFlags{}
	c := &cobra.Command{
		Use:   "forget --entity NAME=KEY [--order ID] -c verdict.yaml",
		Short: "Remove what the store keeps of a customer, or of another entity, and of its orders",
		Long: `Remove what the store keeps of a customer, or of another entity, and of its orders: points, marks and labels, claims on ids, first decisions. Of what is kept
by several fields (pairs of customer and terminal) all that has the key goes. The topics keep the orders until their retention ends, and verdict rebuild
reads them: docs/operations.md says what else there is to do. Counts are printed, and no key.`,
		Example: `  verdict forget -c verdict.yaml --entity customer=42 --dry-run
  verdict forget -c verdict.yaml --entity 'pair=["42","T1"]' --yes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	f.site.register(c)
	c.Flags().StringArrayVar(&f.entities, "entity", nil, "the entity's name in the features and its `NAME=KEY`, as orders have it (several fields: a JSON array); may be repeated")
	c.Flags().StringArrayVar(&f.orders, "order", nil, "also the claim, labels and decision of this order `ID`; may be repeated")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only count")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return c
}

func (f *forgetFlags) run(c *cobra.Command) error {
	cfg, err := f.site.load(os.Environ())
	if err != nil {
		return err
	}
	subjects, orders, err := f.subjects(&cfg)
	if err != nil {
		return fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	client := redisstore.Dial(dialConfig(&cfg.Redis))
	store := redisstore.New(client, storeConfig(&cfg, nil))
	err = f.forget(c, store, subjects, orders)
	return errors.Join(err, client.Close())
}

func (f *forgetFlags) forget(c *cobra.Command, store *redisstore.Store, subjects []preprocess.Subject, orders []schemas.OrderID) error {
	ctx, out := c.Context(), c.OutOrStdout()
	if f.dryRun || !f.yes {
		to := out
		if !f.dryRun {
			to = c.ErrOrStderr()
		}
		found, err := store.Forget(ctx, subjects, orders, true)
		if err != nil {
			return interrupted(ctx, err)
		}
		tellForgotten(to, "to be removed", &found)
		if f.dryRun {
			return nil
		}
		if err := confirm(c.InOrStdin(), c.ErrOrStderr()); err != nil {
			return err
		}
	}
	done, err := store.Forget(ctx, subjects, orders, false)
	if err != nil {
		return interrupted(ctx, err)
	}
	tellForgotten(out, "removed", &done)
	fmt.Fprintln(c.ErrOrStderr(), "the topics still have these orders: until their retention ends, a rebuild or a backfill brings them back; forget again after one")
	return nil
}

func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted: the same command goes on with the rest")
	}
	return err
}

func tellForgotten(to io.Writer, what string, n *redisstore.Forgotten) {
	fmt.Fprintf(to, "%s: entities %d, columns %d with %d points, merged parts %d, marks %d; orders %d with claims %d, labels %d, decisions %d\n",
		what, n.Entities, n.Columns, n.Points, n.Merged, n.Marks, n.Orders, n.Claims, n.Labels, n.Decisions)
}

// subjects reads what is to be forgotten. No error repeats a key.
func (f *forgetFlags) subjects(cfg *Config) (subjects []preprocess.Subject, orders []schemas.OrderID, err error) {
	if len(f.entities)+len(f.orders) == 0 {
		return nil, nil, errors.New("nothing is named: --entity NAME=KEY, --order ID")
	}
	for _, id := range f.orders {
		if !schemas.OrderID(id).Valid() {
			return nil, nil, errors.New("--order: that is not an order's id")
		}
		orders = append(orders, schemas.OrderID(id))
	}
	if len(f.entities) == 0 {
		return nil, orders, nil
	}
	if cfg.Features == "" {
		return nil, nil, errors.New("the config names no features, which say what the entities are")
	}
	schema, err := loadSchema(cfg.Orders.Schema)
	if err != nil {
		return nil, nil, err
	}
	features, err := preprocess.Load(cfg.Features, schema)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range f.entities {
		name, key, ok := strings.Cut(text, "=")
		if !ok {
			return nil, nil, errors.New("--entity wants NAME=KEY")
		}
		values := []string{key}
		if len(features.Entities()[name]) > 1 {
			values = nil
			if err := json.Unmarshal([]byte(key), &values); err != nil {
				return nil, nil, fmt.Errorf(`--entity %s: its key is made of several fields, and wanted as a JSON array of texts: '%s=["…","…"]'`, name, name)
			}
		}
		subject, err := features.Subject(name, values...)
		if err != nil {
			return nil, nil, fmt.Errorf("--entity: %w", err)
		}
		subjects = append(subjects, subject)
	}
	return subjects, orders, nil
}
