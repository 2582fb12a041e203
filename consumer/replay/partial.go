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

	"github.com/cespare/xxhash/v2"
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
	Through  time.Time         `json:"through"`  // event time
	Orders   int64             `json:"orders"`   // read
	Contents string            `json:"contents"` // of these orders and the labels before them, one after the other: 16 hex digits
	Digests  []CandidateDigest `json:"digests"`
	Features schemas.Version   `json:"features"`
	Sources  []string          `json:"sources"`
	Since    time.Time         `json:"since"`
	Until    time.Time         `json:"until"`
	Lateness string            `json:"lateness"`
	Files    []partialFile     `json:"files"` // that are to be gone on with
}

// partialFile is a file as an interrupted replay left it.
type partialFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`  // in bytes
	Hash string `json:"xxh64"` // 16 hex digits, as xxhsum prints them
}

// describe says what a replay is, for partial.
func (t *transport) describe(cfg *Config) partial {
	p := partial{Partial: true, Features: cfg.Features.Version(), Sources: cfg.Orders.Names(), Since: cfg.Since.UTC(), Until: cfg.Until.UTC(), Lateness: cfg.Lateness.String(), Digests: t.digests()}
	if cfg.Labels != nil {
		p.Sources = append(p.Sources, cfg.Labels.Names()...)
	}
	if cfg.Write == CSV {
		p.Files = append(p.Files, partialFile{Name: CSV.file()})
	}
	for i := range t.judges {
		if cfg.Decide {
			p.Files = append(p.Files, partialFile{Name: decisionsFile(i)})
		}
	}
	return p
}

// sayPartial writes the file that says that the others are not all, and how these are left.
func (t *transport) sayPartial(cfg *Config, files *outputs, broken *InterruptedError) error {
	p := t.describe(cfg)
	p.Through, p.Orders, p.Contents = broken.Through.UTC(), broken.Orders, hash(t.doneContents)
	for i := range p.Files {
		if err := files.tell(&p.Files[i]); err != nil {
			return err
		}
	}
	file, err := files.create(PartialFile)
	if err != nil {
		return err
	}
	if err := json.MarshalWrite(file, p, jsontext.WithIndent(" ")); err != nil {
		return err
	}
	return file.WriteByte('\n')
}

// unsayPartial removes what an earlier replay has said: now the files are all.
func unsayPartial(dir string) error {
	err := os.Remove(filepath.Join(dir, PartialFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
	if was.Features != is.Features || !was.Since.Equal(is.Since) || !was.Until.Equal(is.Until) || was.Lateness != is.Lateness || !slices.Equal(was.Sources, is.Sources) ||
		!slices.EqualFunc(was.Files, is.Files, func(a, b partialFile) bool { return a.Name == b.Name }) ||
		!slices.EqualFunc(was.Digests, is.Digests, func(a, b CandidateDigest) bool { return a.Name == b.Name && a.Hash == b.Hash }) {
		return fmt.Errorf("%w: %s is of other sources, features, candidates, times or files than those given now", ErrResume, PartialFile)
	}
	for i, j := range t.judges {
		if err := j.digest.parse(was.Digests[i].Digest); err != nil {
			return fmt.Errorf("%w: reading %s: %w", ErrResume, PartialFile, err)
		}
	}
	t.skip, t.was = was.Orders, &was
	return nil
}

// goOn begins the file with what stands under its name already, which has to be what was left there.
func (o *output) goOn(was *partial) error {
	name := filepath.Base(o.name)
	at := slices.IndexFunc(was.Files, func(f partialFile) bool { return f.Name == name })
	if at < 0 {
		return fmt.Errorf("%w: %s does not tell of %s", ErrResume, PartialFile, name)
	}
	left := was.Files[at]
	file, err := os.Open(o.name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResume, err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResume, err)
	}
	if info.Size() != left.Size {
		return fmt.Errorf("%w: %s has %d bytes, and %s says that %d were left", ErrResume, o.name, info.Size(), PartialFile, left.Size)
	}
	o.Reset(&o.disk) // a header stands there already
	if _, err := io.Copy(o.Writer, file); err != nil {
		return fmt.Errorf("copying %s: %w", o.name, err)
	}
	if err := o.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	if o.disk.size != left.Size || hash(o.disk.sum.Sum64()) != left.Hash {
		return fmt.Errorf("%w: %s was changed: its content is not what %s says was left", ErrResume, o.name, PartialFile)
	}
	return nil
}

// hash writes a 64-bit hash as people do.
func hash(sum uint64) string { return fmt.Sprintf("%016x", sum) }

// follow adds the content of an order or a label to that of all before it: others, or these in another order, give another number.
func follow(before, content uint64) uint64 {
	z := before*0x9e3779b97f4a7c15 + content // from here on the last step of SplitMix64
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// contentOf returns the content of a label, for follow.
func contentOf(l *schemas.Label) uint64 {
	known := uint64(l.KnownAt.UnixMicro()) << 1
	if l.Fraud {
		known |= 1
	}
	return follow(xxhash.Sum64String(string(l.ID)), known)
}

// same says whether what was read again is what the interrupted replay had read, once all of it has been. Otherwise the files would be of two histories.
func (t *transport) same() error {
	if t.was == nil || t.counts.orders.Load() != t.skip || hash(t.contents) == t.was.Contents {
		return nil
	}
	return fmt.Errorf("%w: the first %d orders, or the labels known by then, are not those that had been read: the sources were changed", ErrResume, t.skip)
}

// enough says whether there were as many orders as had been read.
func (t *transport) enough() error {
	if read := t.counts.orders.Load(); read < t.skip {
		return fmt.Errorf("%w: %d orders had been read, and now there are only %d: the sources were changed", ErrResume, t.skip, read)
	}
	return nil
}
