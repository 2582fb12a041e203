package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"verdict/preprocess"
	"verdict/schemas"
)

func newCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check",
		Short: "Read every file that serve would read, and say all that is wrong with them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, badForm := loadConfig(configFileOr(file), os.Environ())
			if badForm != nil && cfg.Features == "" && cfg.Model == "" && cfg.Policy == "" {
				return badForm // nothing could be read
			}
			bad := errors.Join(badForm, cfg.validate())
			_, badLog := newLog(cfg.Log)
			p, badParts := loadParts(&cfg)
			access, badAccess := loadAccess(&cfg.API, slog.New(slog.DiscardHandler))
			if err := errors.Join(bad, badLog, badParts, badAccess); err != nil {
				return err
			}
			v := p.features.Version()
			fmt.Fprintf(c.OutOrStdout(), "features %s (%s): %d features, looking back %s\n", v, v.Hash, len(p.features.Layout().Names), days(p.features.Keep()))
			for _, a := range p.features.Approximations() {
				fmt.Fprintln(c.OutOrStdout(), " ", approximationText(a))
			}
			for _, part := range p.scorer.Parts() {
				fmt.Fprintln(c.OutOrStdout(), part)
			}
			if fields := p.scorer.Policy().Fields(); p.schema == nil && len(fields) > 0 {
				fmt.Fprintln(c.OutOrStdout(), "  orders.schema is any: nothing says whether orders have the fields that the policy names:", fieldNames(fields))
			}
			for _, away := range p.scorer.Away() {
				fmt.Fprintln(c.OutOrStdout(), " ", away)
			}
			for _, part := range access.parts() {
				fmt.Fprintln(c.OutOrStdout(), part)
			}
			fmt.Fprintln(c.OutOrStdout(), "all good")
			return nil
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the config of serve; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
	return c
}

// fieldNames returns what fields are called, each once.
func fieldNames(fields []schemas.FieldUse) string {
	var names []string
	for _, f := range fields {
		if name := f.Path.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// approximationText says what a resolution costs.
func approximationText(a preprocess.Approximation) string {
	text := fmt.Sprintf("%s has a resolution: the far edge of its window is off by up to %s", a.Feature, back(a.FarEdge))
	if a.SampledBeyond > 0 {
		text += fmt.Sprintf("; of more than %d values a sample is counted, with a standard error of about %.0f %%", a.SampledBeyond, 100*a.SampleError)
	}
	switch {
	case a.SampledBeyond > 0:
		return text + fmt.Sprintf("; a late order misses values that came again after it, where its entity had more than %d orders since", a.MergedBeyond)
	case a.Delayed:
		return text + fmt.Sprintf("; where an entity had more than %d orders in the time of the delay, the near edge moves back by up to %s", a.MergedBeyond, back(a.NearEdge))
	default:
		return text + fmt.Sprintf("; for a late order whose entity had more than %d orders since, the near edge moves back by up to %s", a.MergedBeyond, back(a.NearEdge))
	}
}
