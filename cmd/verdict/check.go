package main

import (
	"errors"
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
			cfg, err := loadConfig(configFileOr(file), os.Environ())
			if err != nil {
				return err
			}
			bad := cfg.validate()
			_, badLog := newLog(cfg.Log)
			p, badParts := loadParts(&cfg)
			if err := errors.Join(bad, badLog, badParts); err != nil {
				return err
			}
			v := p.features.Version()
			fmt.Fprintf(c.OutOrStdout(), "features %s (%s): %d features, looking back %s\n", v, v.Hash, len(p.features.Layout().Names), days(p.features.Keep()))
			for _, part := range p.scorer.Parts() {
				fmt.Fprintln(c.OutOrStdout(), part)
			}
			fmt.Fprintln(c.OutOrStdout(), "all good")
			return nil
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the config of serve; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
	return c
}
