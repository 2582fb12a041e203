package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check",
		Short: "Read every file that serve would read, and say all that is wrong with them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, os.Environ())
			if err != nil {
				return err
			}
			if _, err := newLog(cfg.Log); err != nil {
				return err
			}
			p, err := loadParts(&cfg)
			if err != nil {
				return err
			}
			v := p.features.Version()
			fmt.Fprintf(c.OutOrStdout(), "features %s (%s): %d features, looking back %s\n", v, v.Hash, len(p.features.Layout().Names), p.features.Keep())
			for _, part := range p.scorer.Parts() {
				fmt.Fprintln(c.OutOrStdout(), part)
			}
			fmt.Fprintln(c.OutOrStdout(), "all good")
			return nil
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "verdict.yaml", "the config of serve")
	return c
}
