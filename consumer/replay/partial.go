package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
)

// PartialFile is the file that says that a replay was interrupted, beside what it had written until then. A replay that comes to its end removes it.
const PartialFile = "partial.json"

// InterruptedError says that a replay was interrupted by the end of its context, which it wraps, and that its files hold what was done until then.
type InterruptedError struct {
	Through time.Time // the latest event time of what was done
	Orders  int64     // that were read
	Cause   error
}

// Error says how far the replay came.
func (e *InterruptedError) Error() string {
	return "interrupted: the files hold what was done up to " + e.Through.Format(time.RFC3339) + ", as " + PartialFile + " says"
}

// Unwrap returns why the context ended.
func (e *InterruptedError) Unwrap() error { return e.Cause }

// interrupted says how far a replay came that its context ended; nil of one that came to its end.
func (t *transport) interrupted(ctx context.Context) *InterruptedError {
	if ctx.Err() == nil || t.ended {
		return nil
	}
	return &InterruptedError{Through: t.through, Orders: t.done, Cause: ctx.Err()}
}

// partial is what PartialFile says: how far a replay came, and what it was.
type partial struct {
	Partial  bool              `json:"partial"`
	Through  time.Time         `json:"through"` // event time
	Orders   int64             `json:"orders"`  // read
	Digests  []CandidateDigest `json:"digests"`
	Features schemas.Version   `json:"features"`
	Sources  []string          `json:"sources"`
	Since    time.Time         `json:"since"`
	Until    time.Time         `json:"until"`
	Lateness string            `json:"lateness"`
	Files    []string          `json:"files"` // that are to be gone on with
}

// describe says what a replay is, for partial.
func (t *transport) describe(cfg *Config) partial {
	p := partial{Partial: true, Features: cfg.Features.Version(), Sources: cfg.Orders.Names(), Since: cfg.Since.UTC(), Until: cfg.Until.UTC(), Lateness: cfg.Lateness.String(), Digests: t.digests()}
	if cfg.Labels != nil {
		p.Sources = append(p.Sources, cfg.Labels.Names()...)
	}
	if cfg.Write == CSV {
		p.Files = append(p.Files, CSV.file())
	}
	for i := range t.judges {
		if cfg.Decide {
			p.Files = append(p.Files, decisionsFile(i))
		}
	}
	return p
}

// sayPartial writes or removes the file that says that the others are not all.
func (t *transport) sayPartial(cfg *Config, files *outputs, broken *InterruptedError) error {
	if broken == nil {
		err := os.Remove(filepath.Join(cfg.Out, PartialFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	file, err := files.create(PartialFile)
	if err != nil {
		return err
	}
	p := t.describe(cfg)
	p.Through, p.Orders = broken.Through.UTC(), broken.Orders
	if err := json.MarshalWrite(file, p, jsontext.WithIndent(" ")); err != nil {
		return err
	}
	return file.WriteByte('\n')
}

// resume goes on with a replay that was interrupted: its files are copied, and its orders are read again, but only to build state.
func (t *transport) resume(cfg *Config) error {
	if cfg.Write == Parquet || cfg.Report != nil || cfg.Verify || cfg.Stdout != nil {
		return fmt.Errorf("%w: features as CSV and decisions can be gone on with; all else is made of the whole history", ErrResume)
	}
	text, err := os.ReadFile(filepath.Join(cfg.Out, PartialFile))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResume, err)
	}
	var was partial
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("%w: reading %s: %w", ErrResume, PartialFile, err)
	}
	is := t.describe(cfg)
	if was.Features != is.Features || !was.Since.Equal(is.Since) || !was.Until.Equal(is.Until) || was.Lateness != is.Lateness || !slices.Equal(was.Sources, is.Sources) || !slices.Equal(was.Files, is.Files) ||
		!slices.EqualFunc(was.Digests, is.Digests, func(a, b CandidateDigest) bool { return a.Name == b.Name && a.Hash == b.Hash }) {
		return fmt.Errorf("%w: %s is of other sources, features, candidates, times or files than those given now", ErrResume, PartialFile)
	}
	for i, j := range t.judges {
		if err := j.digest.parse(was.Digests[i].Digest); err != nil {
			return fmt.Errorf("%w: reading %s: %w", ErrResume, PartialFile, err)
		}
	}
	t.skip = was.Orders
	return nil
}

// goOn begins the file with what stands under its name already.
func (o *output) goOn() error {
	was, err := os.Open(o.name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResume, err)
	}
	defer func() { _ = was.Close() }() // it was only read
	_, err = io.Copy(o.Writer, was)
	return err
}
