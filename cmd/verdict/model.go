package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// newModelCommand looks at model files and bundles without anything else running.
func newModelCommand() *cobra.Command {
	c := &cobra.Command{Use: "model", Short: "Score rows with a model, look into it, or check it", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return c.Help()
	}}
	c.AddCommand(newModelPredictCommand(), newModelInspectCommand(), newModelCheckCommand())
	return c
}

// modelFlag adds --model, which each of the subcommands needs.
func modelFlag(c *cobra.Command, path *string) *cobra.Command {
	c.Flags().StringVar(path, "model", "", "a LightGBM text model, an XGBoost model (.json, .ubj), or a bundle's folder")
	_ = c.MarkFlagRequired("model") // unreachable: the flag is defined in the line above
	return c
}

func newModelPredictCommand() *cobra.Command {
	var path, rows string
	var how predictMode
	c := &cobra.Command{
		Use:   "predict",
		Short: "Score the rows of a CSV file: one line a row, in order",
		Long: "predict prints one line a row, in order; several outputs are separated by commas. The columns of the rows are matched to the model's inputs by\n" +
			"name where the header has these names, else by position. An empty cell or NaN is missing.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openModel(path)
			if err == nil && m.bundle != nil {
				_, err = m.bundle.CheckGolden(path)
			}
			if err != nil {
				return fmt.Errorf("%w model: %w", errInvalid, err)
			}
			in, err := openRows(rows, c.InOrStdin())
			if err != nil {
				return fmt.Errorf("%w rows: %w", errInvalid, err)
			}
			defer in.Close()
			return predictRows(c.OutOrStdout(), m, in, rows, how)
		},
	}
	c.Flags().StringVar(&rows, "rows", "", "a CSV file with a header; - reads stdin")
	c.Flags().BoolVar(&how.raw, "raw", false, "the sum of the trees, without transform or calibration")
	c.Flags().BoolVar(&how.contributions, "contributions", false, "instead of the score: each input's part in the raw score, and last the expected score")
	_ = c.MarkFlagRequired("rows") // unreachable: the flag is defined above
	return modelFlag(c, &path)
}

func newModelInspectCommand() *cobra.Command {
	var path string
	c := &cobra.Command{Use: "inspect", Short: "Say what a model or a bundle holds", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		m, err := openModel(path)
		if err != nil {
			return fmt.Errorf("%w model: %w", errInvalid, err)
		}
		m.describe(c.OutOrStdout())
		return nil
	}}
	return modelFlag(c, &path)
}

func newModelCheckCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a model, and a bundle's golden rows, also by a second engine",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openModel(path)
			if err == nil {
				err = m.check(c.OutOrStdout(), path)
			}
			if err != nil {
				return fmt.Errorf("%w model: %w", errInvalid, err)
			}
			return nil
		},
	}
	return modelFlag(c, &path)
}

// opened is a model as the subcommands see it: a file, or a bundle's.
type opened struct {
	model  *treemodel.Model // nil: it is served elsewhere
	engine scorer.Engine
	file   string         // the model's own
	bundle *scorer.Bundle // nil for a file
}

// openModel reads a model file or a bundle, whose golden rows are left to check.
func openModel(path string) (*opened, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	o := &opened{file: path}
	if !info.IsDir() {
		o.model, err = treemodel.OpenAny(path)
		o.engine = o.model
		return o, err
	}
	loaders := modelLoaders()
	for format, load := range loaders {
		loaders[format] = func(file string, inputs []string) (scorer.Engine, error) {
			engine, err := load(file, inputs)
			o.model, _ = engine.(*treemodel.Model)
			o.engine, o.file = engine, file
			return engine, err
		}
	}
	o.bundle, err = scorer.OpenBundle(path, loaders)
	return o, err
}

// inputs returns the names that the model's inputs go by.
func (o *opened) inputs() []string {
	if o.bundle != nil {
		return o.bundle.Layout().Names
	}
	return o.engine.Inputs()
}

// describe prints what the model holds, one fact a line.
func (o *opened) describe(out io.Writer) {
	line := func(name string, value any) { fmt.Fprintf(out, "%-14s %v\n", name, value) }
	if b := o.bundle; b != nil {
		line("bundle", b.Version())
		line("hash", b.Version().Hash)
		line("features", or(b.FeatureSet(), "any"))
		for _, note := range b.Notes() {
			line("note", note)
		}
	}
	if o.model == nil {
		line("file", filepath.Base(o.file))
		line("format", "remote: served elsewhere, and asked by the Open Inference Protocol")
		line("inputs", fmt.Sprintf("%d: %s", len(o.inputs()), strings.Join(o.inputs(), " ")))
		return
	}
	i := o.model.Info()
	line("file", filepath.Base(o.file))
	line("format", i.Format)
	line("objective", or(i.Objective, "none (custom)"))
	line("transform", i.Transform)
	line("outputs", i.Outputs)
	line("trees", i.Trees)
	line("leaves", fmt.Sprintf("%d, at most %d a tree, depth %d", i.Leaves, i.LargestTree, i.Depth))
	line("categorical", fmt.Sprintf("%d splits", i.Categorical))
	if i.AverageOutput {
		line("averaged", "yes (random forest)")
	}
	line("contributions", contributionsText(i.Contributions, i.Linear))
	line("inputs", fmt.Sprintf("%d: %s", len(o.inputs()), strings.Join(o.inputs(), " ")))
	if len(i.UnusedFeatures) > 0 {
		line("never split on", strings.Join(i.UnusedFeatures, " "))
	}
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// check runs a bundle's golden rows, and once more by the second engine where that is right. A file alone has been checked when it is open.
func (o *opened) check(out io.Writer, dir string) error {
	if o.model == nil {
		fmt.Fprintf(out, "%s: served elsewhere, %d inputs: it answers\n", filepath.Base(o.file), len(o.inputs()))
	} else {
		i := o.model.Info()
		fmt.Fprintf(out, "%s: %s, %d trees, %d leaves, %d inputs: sound\n", filepath.Base(o.file), i.Format, i.Trees, i.Leaves, len(i.Inputs))
	}
	if o.bundle == nil {
		return nil
	}
	golden, err := o.bundle.CheckGolden(dir)
	if err != nil {
		return err
	}
	if len(golden.Scores) > 0 {
		fmt.Fprintf(out, "golden.csv: %d rows score as they should\n", len(golden.Scores))
	}
	for _, note := range o.bundle.Notes() {
		fmt.Fprintln(out, "note:", note)
	}
	if o.model != nil && len(golden.Scores) > 0 {
		if err := o.crossCheck(out, golden); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "bundle %s (%s), for features %s: good\n", o.bundle.Version(), o.bundle.Version().Hash, or(o.bundle.FeatureSet(), "of any set"))
	return nil
}

// crossCheck asks the second engine for the golden rows too.
func (o *opened) crossCheck(out io.Writer, golden *scorer.Golden) error {
	text, err := os.ReadFile(o.file)
	if err != nil {
		return fmt.Errorf("reading it again: %w", err)
	}
	switch compared, err := o.model.CrossCheck(text, golden.Rows); {
	case err != nil:
		return fmt.Errorf("second engine: %w", err)
	case compared:
		fmt.Fprintln(out, "second engine (leaves): the same raw scores, bit for bit")
	default:
		fmt.Fprintln(out, "second engine (leaves): not asked, it does not score this kind of model right")
	}
	return nil
}

// contributionsText says whether a model gives contributions, and why it does not.
func contributionsText(gives, linear bool) string {
	switch {
	case gives:
		return "yes"
	case linear:
		return "no: leaves are linear models, of which LightGBM gives none either"
	default:
		return "no: the file has no counts, or a tree is too deep"
	}
}
