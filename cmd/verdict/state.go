package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"verdict/preprocess/redisstore"
)

func newStateCommand() *cobra.Command {
	f := siteFlags{}
	c := &cobra.Command{
		Use:   "state",
		Short: "Say what the store holds: a digest to compare two states by, how many keys of each kind, and which feature sets are at work on it",
		Long: `Say what the store holds. The digest is equal for two states exactly when they hold the same points, labels, claims on ids and first decisions. How long
these still live, and what waits to be dropped, has no part in it. It reads every key under the prefix: on a large store that takes a while.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.load(os.Environ())
			if err != nil {
				return err
			}
			client := redisstore.Dial(dialConfig(&cfg.Redis))
			store := redisstore.New(client, storeConfig(&cfg, nil))
			err = tellDigest(c.Context(), c.OutOrStdout(), store)
			if err == nil {
				err = tellSets(c.Context(), c.OutOrStdout(), store)
			}
			return errors.Join(err, client.Close())
		},
	}
	f.register(c)
	return c
}

// tellDigest writes the digest of a store, and what it is of.
func tellDigest(ctx context.Context, to io.Writer, store *redisstore.Store) error {
	d, err := store.Digest(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(to, "digest %x\norders %d, labels of %d, decisions %d; points %d in %d columns, merged parts %d, marks %d\n",
		d.SHA256, d.Orders, d.Labels, d.Decisions, d.Points, d.Columns, d.Merged, d.Marks)
	return nil
}

// tellSets writes which feature sets are at work.
func tellSets(ctx context.Context, to io.Writer, store *redisstore.Store) error {
	sets, err := store.Sets(ctx)
	if err != nil {
		return err
	}
	for _, hash := range slices.Sorted(maps.Keys(sets)) {
		fmt.Fprintf(to, "feature set %s keeps %d columns\n", hash, len(sets[hash]))
	}
	return nil
}
