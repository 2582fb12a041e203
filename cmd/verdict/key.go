package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"verdict/sync/httpapi"
)

func newKeyCommand() *cobra.Command {
	var scopes string
	var limit httpapi.Rate
	c := &cobra.Command{
		Use:   "key NAME",
		Short: "Make an API key, and its line for api.auth.keys_file",
		Long: "Makes an API key for a caller. The line on stdout goes into the file that api.auth.keys_file names, and holds the key's hash alone; the key itself is\n" +
			"shown once, on stderr:  verdict key shop --scopes decide,read >> keys.txt",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			allowed, err := httpapi.ParseScopes(scopes)
			if err == nil {
				err = limit.Check()
			}
			if err != nil {
				return fmt.Errorf("%w usage: %w", errInvalid, err)
			}
			key := httpapi.NewKey()
			line, err := httpapi.KeyLine(key, args[0], allowed, limit)
			if err != nil {
				return fmt.Errorf("%w usage: %w", errInvalid, err)
			}
			fmt.Fprintln(c.OutOrStdout(), line)
			fmt.Fprintln(c.ErrOrStderr(), key)
			return nil
		},
	}
	c.Flags().StringVar(&scopes, "scopes", "decide,read", "what the caller may do: "+allScopes)
	c.Flags().Float64Var(&limit.PerSecond, "rate", 0, "calls a second; 0: as api.rate says")
	c.Flags().IntVar(&limit.Burst, "burst", 0, "calls at once; 0: the rate rounded up")
	return c
}

const allScopes = "decide, read, preview, label, admin, with commas between"
