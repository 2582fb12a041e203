package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"verdict/preprocess"
)

// doctorWait is how long one question to a server may take: who does not answer within that will not answer a caller.
const doctorWait = 2 * time.Second

func newDoctorCommand() *cobra.Command {
	var file, role, principal string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor -c verdict.yaml",
		Short: "Look at everything that serve needs, and say what is wrong and what to do",
		Long: `Look at everything that serve needs: files, secrets, brokers, topics, rights, consumer groups, Redis, clocks, the schema registry. Each line is ok, warning or
error, with what to do; then come the rights that each role needs on Kafka, ready to paste. All is looked at although some of it fails, and nothing is
written anywhere. The exit code is 1 when there is an error.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := newDoctor(configFileOr(file), role, principal)
			if err != nil {
				return err
			}
			found := d.examine(c.Context())
			if asJSON {
				err = found.json(c.OutOrStdout())
			} else {
				_, err = io.WriteString(c.OutOrStdout(), found.text())
			}
			if err == nil && found.Errors > 0 {
				err = fmt.Errorf("doctor found %s", count(found.Errors, "error"))
			}
			return err
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the config of serve; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
	c.Flags().StringVar(&role, "role", "all", "whose rights are looked at, with the config's credentials: all, scorer, api")
	c.Flags().StringVar(&principal, "principal", "", "who is to have the rights that are printed: `User:NAME`; without it a name for each role")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON: one object")
	return c
}

// doctor is an examination of a site.
type doctor struct {
	cfg       Config
	file      string
	role      string
	principal string
	features  *preprocess.FeatureSet // nil: it could not be read
}

func newDoctor(file, role, principal string) (*doctor, error) {
	if role != "all" && role != "api" && role != "scorer" {
		return nil, fmt.Errorf("%w usage: --role %q is not all, scorer or api", errInvalid, role)
	}
	cfg, err := loadConfig(file, os.Environ())
	if err == nil {
		err = cfg.validate()
	}
	if err == nil {
		_, err = newLog(cfg.Log)
	}
	return &doctor{cfg: cfg, file: file, role: role, principal: principal}, err
}

// The states of a finding.
const (
	doctorOK      = "ok"
	doctorWarning = "warning"
	doctorError   = "error"
)

// finding is one line of an examination.
type finding struct {
	Status string `json:"status"` // ok, warning, error
	About  string `json:"about"`  // what was looked at, in words that do not change: "kafka topic orders"
	Says   string `json:"says"`   // what was found
	Do     string `json:"do"`     // what to do; "" when it is ok
}

// findings are the lines about one thing.
type findings []finding

func (f *findings) ok(about, format string, args ...any) {
	*f = append(*f, finding{doctorOK, about, fmt.Sprintf(format, args...), ""})
}

func (f *findings) warn(about, says, do string) {
	*f = append(*f, finding{doctorWarning, about, says, do})
}

func (f *findings) fault(about, says, do string) {
	*f = append(*f, finding{doctorError, about, says, do})
}

// okUnless says that a thing is ok where nothing else was said of it.
func (f *findings) okUnless(about, format string, args ...any) {
	for _, one := range *f {
		if one.About == about && one.Status != doctorOK {
			return
		}
	}
	f.ok(about, format, args...)
}

// examination is all that was found.
type examination struct {
	Findings findings            `json:"findings"`
	OK       int                 `json:"ok"`
	Warnings int                 `json:"warnings"`
	Errors   int                 `json:"errors"`
	ACLs     map[string][]string `json:"acls"` // :: role → commands that give it its rights
}

// examine looks at everything, at the same time, and tells it in one order.
func (d *doctor) examine(ctx context.Context) examination {
	files := d.files()
	parts := []func(context.Context) findings{d.secrets, d.kafka, d.redis, d.registry}
	found, all := make([]findings, len(parts)), sync.WaitGroup{}
	for i, look := range parts {
		all.Go(func() { found[i] = look(ctx) })
	}
	all.Wait()
	e := examination{Findings: files, ACLs: d.acls()}
	for _, one := range found {
		e.Findings = append(e.Findings, one...)
	}
	for _, one := range e.Findings {
		switch one.Status {
		case doctorOK:
			e.OK++
		case doctorWarning:
			e.Warnings++
		default:
			e.Errors++
		}
	}
	return e
}

func (e *examination) json(to io.Writer) error {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(e)
}

func (e *examination) text() string {
	var b strings.Builder
	for _, f := range e.Findings {
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Status, f.About, f.Says)
		if f.Do != "" {
			fmt.Fprintf(&b, "         %s\n", strings.ReplaceAll(f.Do, "\n", "\n         "))
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %s, %s\n", e.OK, count(e.Warnings, "warning"), count(e.Errors, "error"))
	for _, role := range doctorRoles() {
		fmt.Fprintf(&b, "\n# rights of %s\n%s\n", role, strings.Join(e.ACLs[role], "\n"))
	}
	return b.String()
}

// count writes how many there are of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// consult puts a question to a server, which has doctorWait to answer.
func consult[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	return question(ctx)
}
