package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"verdict/consumer/backtest"
	"verdict/preprocess"
	"verdict/schemas"
	"verdict/schemas/strictyaml"
	"verdict/scorer"
)

// promoteFlags are the flags of verdict promote.
type promoteFlags struct {
	report, model, policy, config, by string
	require                           []string
}

func newPromoteCommand() *cobra.Command {
	f := promoteFlags{}
	c := &cobra.Command{
		Use:   "promote --report report.json --model DIR --by NAME",
		Short: "Write the bundle and policy that a report passed with into verdict.yaml, and who did so into promotions.jsonl",
		Long: `Write the bundle and policy that a report passed with into verdict.yaml: the keys model and policy, and nothing else of the file. A line of promotions.jsonl
beside it says who, when, from which versions to which, and the hash of the report. serve reads the change by itself (reload), or when it starts.

Refused is a report that met no --require, of a part of a history, whose main candidate is another bundle or policy than those named here (by the hash of their
content), or of another feature set than the config has; and a config that would then not be valid.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.OutOrStdout(), os.Environ(), time.Now()) },
	}
	flags := c.Flags()
	flags.StringVar(&f.report, "report", "", "the report of verdict replay: `FILE`")
	flags.StringVar(&f.model, "model", "", "the bundle that it is of: `DIR`")
	flags.StringVar(&f.policy, "policy", "", "the policy that it is of: `FILE` (else the config's, if that is the one)")
	flags.StringVarP(&f.config, "config", "c", "", "the config of serve: `FILE` (./verdict.yaml)")
	flags.StringVar(&f.by, "by", "", "who promotes: `NAME`")
	flags.StringArrayVar(&f.require, "require", nil, "ask the report this now, beside what the replay asked if it did: `EXPR`")
	for _, name := range []string{"report", "model", "by"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // unreachable: all are defined above
		}
	}
	return c
}

// promotion is a line of promotions.jsonl.
type promotion struct {
	At       time.Time       `json:"at"`
	By       string          `json:"by"`
	Report   string          `json:"report"`
	Hash     string          `json:"report_sha256"`
	Require  string          `json:"require"`
	Digest   string          `json:"digest"` // of the replay's decisions
	Features schemas.Version `json:"features"`
	Model    change          `json:"model"`
	Policy   *change         `json:"policy"` // null: there is none, and was none
}

// change is what a key of the config names, before and after.
type change struct {
	From schemas.Version `json:"from"` // without a name: there was none, or it could not be read
	To   schemas.Version `json:"to"`
	Path string          `json:"path"` // as the config has it
}

func (f *promoteFlags) run(out io.Writer, environ []string, now time.Time) error {
	if strings.TrimSpace(f.by) == "" {
		return fmt.Errorf("%w usage: --by names nobody", errInvalid)
	}
	if f.config = configFileOr(f.config); f.config == "" {
		return fmt.Errorf("%w usage: there is no ./verdict.yaml: name the config with -c", errInvalid)
	}
	text, err := os.ReadFile(f.report)
	if err != nil {
		return fmt.Errorf("%w: reading the report: %w", errInvalid, err)
	}
	report, err := backtest.Read(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errInvalid, f.report, err)
	}
	sum := sha256.Sum256(text)
	p := promotion{
		At: now.UTC().Truncate(time.Second), By: f.by, Report: f.report, Hash: hex.EncodeToString(sum[:]), Digest: report.Provenance.Digest, Features: report.Provenance.Features,
	}
	if p.Require, err = f.passed(out, report); err != nil {
		return err
	}
	before, err := strictyaml.Read(f.config)
	if err != nil {
		return fmt.Errorf("%w: reading the config: %w", errInvalid, err)
	}
	after, err := f.change(&p, report, before, environ)
	if err != nil {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	return f.write(out, &p, before, after)
}

// passed says by which condition the report passes.
func (f *promoteFlags) passed(out io.Writer, report *backtest.Report) (string, error) {
	origin := report.Provenance
	if origin.Partial {
		return "", fmt.Errorf("the report is of a part of the history: its replay was interrupted at %s", origin.Through.Format(time.RFC3339))
	}
	if err := stillMet(report); err != nil {
		return "", err
	}
	if len(f.require) == 0 {
		if origin.Require == "" {
			return "", errors.New("the report was asked nothing: replay with --require, or give --require here")
		}
		return origin.Require, nil
	}
	asked := allOf(f.require)
	gate, err := backtest.Require(asked)
	if err != nil {
		return "", fmt.Errorf("%w: --require: %w", errInvalid, err)
	}
	met, told, err := gate.Check(report)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(out, told)
	if !met {
		return "", errGate
	}
	if origin.Require != "" {
		return "(" + origin.Require + ") && (" + asked + ")", nil
	}
	return asked, nil
}

// stillMet asks the report again what the replay asked it: its figures count, not that it says so.
func stillMet(report *backtest.Report) error {
	asked := report.Provenance.Require
	if asked == "" {
		return nil
	}
	gate, err := backtest.Require(asked)
	if err != nil {
		return fmt.Errorf("%w: what the report was asked: %w", errInvalid, err)
	}
	met, _, err := gate.Check(report)
	if err == nil && (!met || !report.Provenance.Met) {
		err = fmt.Errorf("the report did not pass: %s", asked)
	}
	return err
}

// change holds the report against the files and returns the config as it is to be.
func (f *promoteFlags) change(p *promotion, report *backtest.Report, text []byte, environ []string) ([]byte, error) {
	cfg, err := loadConfig(f.config, environ)
	if err != nil {
		return nil, err
	}
	schema, err := loadSchema(cfg.Orders.Schema)
	if err != nil {
		return nil, err
	}
	features, err := preprocess.Load(cfg.Features, schema)
	if err != nil {
		return nil, err
	}
	if is := features.Version(); is.Hash != p.Features.Hash {
		return nil, fmt.Errorf("the report is of the feature set %s (%s), and %s has %s (%s)", p.Features, p.Features.Hash, f.config, is, is.Hash)
	}
	passed, next := report.Candidates[0], cfg
	bundle, err := scorer.LoadBundle(f.model, modelLoaders())
	if err != nil {
		return nil, err
	}
	if err := same("bundle", f.model, passed.Model, bundle.Version()); err != nil {
		return nil, err
	}
	if p.Model = (change{To: bundle.Version()}); cfg.Model != "" {
		if was, err := scorer.OpenBundle(cfg.Model, modelLoaders()); err == nil {
			p.Model.From = was.Version()
		}
	}
	if text, p.Model.Path, err = put(f.config, text, "model", f.model); err != nil {
		return nil, err
	}
	next.Model = f.model
	load := func(file string) (*scorer.Policy, error) { return scorer.LoadPolicy(file, schema, features.Layout()) }
	if text, err = f.changePolicy(p, &next, passed.Policy, text, load); err != nil {
		return nil, err
	}
	_, bad := loadParts(&next)
	if err := errors.Join(next.validate(), bad); err != nil {
		return nil, fmt.Errorf("%s would not be valid any more: %w", f.config, err)
	}
	return text, nil
}

// changePolicy does with the policy what change does with the bundle.
func (f *promoteFlags) changePolicy(p *promotion, cfg *Config, passed schemas.Version, text []byte, load func(string) (*scorer.Policy, error)) ([]byte, error) {
	if passed.Name == "" {
		return nil, errors.New("the report is of scores alone: replay with the policy that is to decide by them")
	}
	file := f.policy
	if file == "" {
		file = cfg.Policy
	}
	if file == "" {
		return nil, fmt.Errorf("the report is of policy %s: name its file with --policy", passed)
	}
	policy, err := load(file)
	if err != nil {
		return nil, err
	}
	if err := same("policy", file, passed, policy.Version()); err != nil {
		return nil, err
	}
	p.Policy = &change{To: policy.Version()}
	if cfg.Policy != "" {
		if was, err := load(cfg.Policy); err == nil {
			p.Policy.From = was.Version()
		}
	}
	cfg.Policy = file
	if f.policy == "" {
		return text, nil // it stands there already
	}
	text, p.Policy.Path, err = put(f.config, text, "policy", f.policy)
	return text, err
}

// same says whether a file is what the report is of.
func same(what, path string, passed, is schemas.Version) error {
	if passed.Hash == is.Hash && passed.Name == is.Name {
		return nil
	}
	return fmt.Errorf("%s is %s %s (%s), and what passed is %s (%s)", path, what, is, is.Hash, passed, passed.Hash)
}

// write writes the config and the line of promotions.jsonl. The line comes first: a promotion that is on record and was not made shows in the config, one
// that was made and is on no record shows nowhere.
func (f *promoteFlags) write(out io.Writer, p *promotion, before, after []byte) error {
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	record := filepath.Join(filepath.Dir(f.config), "promotions.jsonl")
	log, err := os.OpenFile(record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // who decides what is for everyone to read who reads the config
	if err != nil {
		return fmt.Errorf("opening the record of promotions: %w", err)
	}
	if _, err = log.Write(append(line, '\n')); err == nil {
		err = log.Sync()
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("writing the record of promotions: %w", err)
	}
	if !bytes.Equal(before, after) {
		if err := replaceFile(f.config, after); err != nil {
			return fmt.Errorf("writing the config: %w", err)
		}
	}
	fmt.Fprintf(out, "promoted by %s: model %s", p.By, p.Model.To)
	if p.Policy != nil {
		fmt.Fprintf(out, ", policy %s", p.Policy.To)
	}
	fmt.Fprintf(out, "; %s, %s\n", f.config, record)
	return nil
}

// replaceFile puts a file in the place of another as a whole, with its permissions.
func replaceFile(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // once renamed there is none
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
