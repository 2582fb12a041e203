package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"verdict/consumer"
	"verdict/schemas"
)

func newDLQListCommand() *cobra.Command {
	f := dlqFlags{}
	var asJSON, done bool
	c := &cobra.Command{
		Use:   "list -c verdict.yaml",
		Short: "List the dead letters that are not done with, and count them by error code",
		Example: `  verdict dlq list -c verdict.yaml --since 1h
  verdict dlq list -c verdict.yaml --code schema_unknown,schema_unavailable --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := f.open(nil)
			if err != nil {
				return err
			}
			d.choice.done = done
			out := bufio.NewWriter(c.OutOrStdout())
			err = d.list(c.Context(), out, asJSON)
			return cmp.Or(err, out.Flush())
		},
	}
	f.registerFilters(c)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON: one object")
	c.Flags().BoolVar(&done, "all", false, "also those that were retried or dropped")
	return c
}

// dlqLine is a letter of the list. Nothing of what its record says stands in it: neither key nor value.
type dlqLine struct {
	Partition  int32           `json:"partition"`
	Offset     int64           `json:"offset"`
	Time       time.Time       `json:"time"`
	Code       string          `json:"code"`
	Detail     string          `json:"detail"`
	Source     *schemas.Source `json:"source"` // nil: the letter does not say
	SourceTime *time.Time      `json:"source_time"`
	Bytes      int64           `json:"bytes"`    // of the value
	LeftOut    bool            `json:"left_out"` // the letter has no value, since the topic would not take one of that size
	Retries    int             `json:"retries"`
	Done       *dlqMark        `json:"done"` // nil: not done with
}

func newDLQLine(l *consumer.Letter, mark *dlqMark) dlqLine {
	line := dlqLine{
		Partition: l.Record.Partition, Offset: l.Record.Offset, Time: l.Record.Time.UTC(), Code: l.Code, Detail: l.Detail,
		Bytes: max(l.LeftOut, int64(len(l.Record.Value))), LeftOut: l.Short(), Retries: l.Retries, Done: mark,
	}
	if l.Source.Topic != "" {
		line.Source = &l.Source
	}
	if !l.SourceTime.IsZero() {
		line.SourceTime = &l.SourceTime
	}
	return line
}

// text is a line of the table.
func (l *dlqLine) text() string {
	source, bytes, rest := "-", strconv.FormatInt(l.Bytes, 10), ""
	if l.Source != nil {
		source = consumer.SourceText(*l.Source)
	}
	if l.LeftOut {
		bytes += " left out"
	}
	if l.Retries > 0 {
		rest = fmt.Sprintf("  retried %s before", times(l.Retries))
	}
	if l.Done != nil {
		rest += "  " + l.Done.Action + " " + l.Done.At.Format(time.RFC3339)
	}
	at := position{l.Partition, l.Offset}
	return strings.TrimRight(fmt.Sprintf(dlqColumns, at, l.Time.Format("2006-01-02T15:04:05.000Z"), cmp.Or(l.Code, "-"), source, bytes+rest), " ")
}

const dlqColumns = "%-12s  %-24s  %-22s  %-24s  %s"

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// list writes the chosen letters as they are read, so that any number takes no memory.
func (d *dlq) list(ctx context.Context, out io.Writer, asJSON bool) error {
	marks, err := d.readMarks(ctx)
	if err != nil {
		return err
	}
	byCode, n := make(map[string]int), 0
	if asJSON {
		fmt.Fprint(out, `{"letters":[`)
	}
	err = d.letters(ctx, marks, func(l *consumer.Letter, mark *dlqMark) error {
		line := newDLQLine(l, mark)
		byCode[line.Code]++
		n++
		if asJSON {
			text, err := json.Marshal(&line)
			if n > 1 {
				fmt.Fprint(out, ",")
			}
			fmt.Fprintf(out, "\n%s", text)
			return err
		}
		if n == 1 {
			fmt.Fprintf(out, dlqColumns+"\n", "place", "time", "code", "from", "bytes")
		}
		_, err := fmt.Fprintln(out, line.text())
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		counts, err := json.Marshal(byCode)
		fmt.Fprintf(out, "\n],\"codes\":%s,\"total\":%d}\n", counts, n)
		return err
	}
	if n > 0 {
		fmt.Fprintln(out)
	}
	for _, code := range slices.SortedFunc(maps.Keys(byCode), func(a, b string) int { return cmp.Or(byCode[b]-byCode[a], cmp.Compare(a, b)) }) {
		fmt.Fprintf(out, "%6d  %s\n", byCode[code], cmp.Or(code, "without a code"))
	}
	fmt.Fprintf(out, "%6d  in all\n", n)
	return nil
}

func newDLQShowCommand() *cobra.Command {
	f := dlqFlags{}
	raw := false
	c := &cobra.Command{
		Use:   "show PARTITION:OFFSET -c verdict.yaml",
		Short: "Show a dead letter: headers, key and value",
		Long: `Show a dead letter: headers, key and value. What an order says is shown here and by no other command: ids and card data may be among it. Text is escaped
where a terminal would take it for a command, and bytes that are no text are shown in hexadecimal.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := f.open(args)
			if err != nil {
				return err
			}
			d.choice.done = true
			return d.show(c.Context(), c.OutOrStdout(), raw)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&raw, "raw", false, "the value alone, byte for byte as it came")
	return c
}

func (d *dlq) show(ctx context.Context, out io.Writer, raw bool) error {
	marks, err := d.readMarks(ctx)
	if err != nil {
		return err
	}
	found := false
	err = d.letters(ctx, marks, func(l *consumer.Letter, mark *dlqMark) error {
		found = true
		if raw {
			_, err := out.Write(l.Record.Value)
			return err
		}
		_, err := io.WriteString(out, dlqText(l, mark))
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("no dead letter lies at %s", d.choice.positions[0])
	}
	return err
}

// dlqText writes all of a letter.
func dlqText(l *consumer.Letter, mark *dlqMark) string {
	line := newDLQLine(l, mark)
	var b strings.Builder
	fmt.Fprintln(&b, line.text())
	fmt.Fprintf(&b, "%s\n\nheaders\n", escaped(l.Detail))
	for _, h := range l.Record.Headers {
		fmt.Fprintf(&b, "  %s: %s\n", escaped(h.Key), shown(h.Value, "  "))
	}
	fmt.Fprintf(&b, "\nkey\n  %s\n", shown(l.Record.Key, "  "))
	fmt.Fprintf(&b, "\nvalue\n  %s\n", shown(l.Record.Value, "  "))
	return b.String()
}

// shown writes bytes for people: text as it is, but for what moves a cursor; anything else in hexadecimal.
func shown(value []byte, indent string) string {
	switch {
	case value == nil:
		return "null"
	case utf8.Valid(value) && strings.IndexFunc(string(value), func(r rune) bool { return r < ' ' && !unicode.IsSpace(r) }) < 0:
		return escaped(string(value))
	default:
		dump := strings.TrimRight(hex.Dump(value), "\n")
		return fmt.Sprintf("%d bytes\n%s", len(value), indent+strings.ReplaceAll(dump, "\n", "\n"+indent))
	}
}

// escaped writes a text so that a terminal takes none of it for a command and it stays on its line.
func escaped(text string) string {
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
