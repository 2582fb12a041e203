package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/preprocess"
)

func newDiffCommand() *cobra.Command {
	var files []string
	var schema string
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff --features OLD --features NEW",
		Short: "Say what changes from one feature set to another",
		Long: `Say what changes from one feature set to another: features added, removed, changed (and those that read the same and mean something else), moved in the
vector; entities and the fields of id and time; what of the state is needed that was not kept, or not for long enough, which verdict backfill warms up.`,
		Example: "  verdict diff --features card-1.yaml --features card-2.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(files) != 2 {
				return fmt.Errorf("%w usage: --features is wanted twice: the old set and the new one", errInvalid)
			}
			d, err := compare(files, schema)
			if err != nil {
				return fmt.Errorf("%w: %w", errInvalid, err)
			}
			if asJSON {
				to := json.NewEncoder(c.OutOrStdout())
				to.SetEscapeHTML(false)
				return to.Encode(d)
			}
			_, err = io.WriteString(c.OutOrStdout(), diffText(d))
			return err
		},
	}
	c.Flags().StringArrayVar(&files, "features", nil, "a feature set: `FILE`; first the old one, then the new one")
	c.Flags().StringVar(&schema, "schema", "", "what an order looks like: `FILE` .avsc or JSON Schema (else any object)")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON: one object; durations in nanoseconds")
	return c
}

func compare(files []string, schemaFile string) (*preprocess.Diff, error) {
	schema, err := loadSchema(cmp.Or(schemaFile, anySchema))
	if err != nil {
		return nil, err
	}
	from, bad := preprocess.Load(files[0], schema)
	to, worse := preprocess.Load(files[1], schema)
	if err := errors.Join(bad, worse); err != nil {
		return nil, err
	}
	return preprocess.Compare(from, to), nil
}

// diffText writes a diff for people.
func diffText(d *preprocess.Diff) string {
	var b strings.Builder
	fmt.Fprintf(&b, "features %s (%s) -> %s (%s)\n", d.From, d.From.Hash, d.To, d.To.Hash)
	if d.From.Hash == d.To.Hash {
		b.WriteString("\nthe same: they differ in nothing that counts\n")
		return b.String()
	}
	diffFeatures(&b, d)
	diffState(&b, d)
	diffModels(&b, d)
	return b.String()
}

func diffFeatures(b *strings.Builder, d *preprocess.Diff) {
	if len(d.Event) > 0 {
		b.WriteString("\nevent (every window and every claim on an id follows it)\n")
		for _, c := range d.Event {
			fmt.Fprintf(b, "  ~ %s\n", changeText(c))
		}
	}
	if len(d.Entities) > 0 {
		b.WriteString("\nentities\n")
		for _, c := range d.Entities {
			switch {
			case c.Was == "":
				fmt.Fprintf(b, "  + %s %s\n", c.Key, c.Is)
			case c.Is == "":
				fmt.Fprintf(b, "  - %s %s\n", c.Key, c.Was)
			default:
				fmt.Fprintf(b, "  ~ %s\n", changeText(c))
			}
		}
	}
	if len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.Moved) == 0 {
		b.WriteString("\nno feature changes\n")
		return
	}
	b.WriteString("\nfeatures\n")
	for _, f := range d.Added {
		fmt.Fprintf(b, "  + %s  %s\n", f.Name, definitionText(f))
	}
	for _, f := range d.Removed {
		fmt.Fprintf(b, "  - %s  %s\n", f.Name, definitionText(f))
	}
	for _, f := range d.Changed {
		parts := make([]string, len(f.Changes))
		for i, c := range f.Changes {
			parts[i] = changeText(c)
		}
		text := strings.Join(parts, "; ")
		switch because := strings.Join(f.Because, ", "); {
		case because == "":
		case text == "":
			text = "reads the same and means something else: " + because + " changed"
		default:
			text += "; and " + because + " changed"
		}
		fmt.Fprintf(b, "  ~ %s  %s\n", f.Name, text)
	}
	for _, m := range d.Moved {
		fmt.Fprintf(b, "  > %s  place %d -> %d in the vector\n", m.Name, m.From+1, m.To+1)
	}
}

func definitionText(f preprocess.Definition) string {
	parts := make([]string, len(f.Says))
	for i, c := range f.Says {
		parts[i] = c.Key + ": " + c.Is
	}
	return strings.Join(parts, ", ")
}

func changeText(c preprocess.Change) string {
	text := cmp.Or(c.Was, "none") + " -> " + cmp.Or(c.Is, "none")
	if c.Key == "" {
		return text
	}
	return c.Key + ": " + text
}

// diffState says what of the state is needed, and what not any more.
func diffState(b *strings.Builder, d *preprocess.Diff) {
	if len(d.State) == 0 {
		b.WriteString("\nstate: all that the new set needs is kept already; it can be rolled out at once\n")
		return
	}
	warms := false
	b.WriteString("\nstate, by entity and what is kept of its orders (state.lateness comes on top)\n")
	for _, n := range d.State {
		warms = warms || n.Warms()
		switch {
		case n.Was == 0:
			fmt.Fprintf(b, "  + %s %s: %s back, not kept yet\n", n.Entity, n.Column, back(n.Is))
		case n.Is == 0:
			fmt.Fprintf(b, "  - %s %s: %s back, not needed any more; it expires\n", n.Entity, n.Column, back(n.Was))
		case n.Warms():
			fmt.Fprintf(b, "  ~ %s %s: %s back, kept for %s\n", n.Entity, n.Column, back(n.Is), back(n.Was))
		default:
			fmt.Fprintf(b, "  - %s %s: %s back instead of %s\n", n.Entity, n.Column, back(n.Is), back(n.Was))
		}
	}
	if warms {
		b.WriteString("  what has a + or a ~ is for verdict backfill to warm up before the new set decides\n")
	} else {
		b.WriteString("  all that the new set needs is kept already; it can be rolled out at once\n")
	}
}

// diffModels says whether models go on working.
func diffModels(b *strings.Builder, d *preprocess.Diff) {
	b.WriteString("\nmodels\n")
	if len(d.Missing) > 0 {
		fmt.Fprintf(b, "  a bundle of %s that takes one of these cannot score the new vectors: %s\n", d.From, strings.Join(d.Missing, ", "))
	} else {
		fmt.Fprintf(b, "  a bundle of %s finds all of its inputs by name in the new vectors\n", d.From)
	}
	if len(d.Changed) > 0 {
		names := make([]string, len(d.Changed))
		for i, f := range d.Changed {
			names[i] = f.Name
		}
		fmt.Fprintf(b, "  it was trained on other values of: %s\n", strings.Join(names, ", "))
	}
	if d.From.String() != d.To.String() {
		fmt.Fprintf(b, "  verdict refuses it beside %s until its bundle.yaml says features: %s\n", d.To, d.To)
	}
}

// back writes how far back, as people do: 18d1h, where Go's is 433h0m0s.
func back(d time.Duration) string {
	const day = 24 * time.Hour
	whole, rest := days(d.Truncate(day)), d%day
	if rest == 0 {
		return whole
	}
	text := rest.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if d < day {
		return text
	}
	return whole + text
}
