package replay

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// sayPartial writes or removes the file that says that the others are not all.
func sayPartial(dir string, files *outputs, broken *InterruptedError, done *Summary) error {
	if broken == nil {
		err := os.Remove(filepath.Join(dir, PartialFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	file, err := files.create(PartialFile)
	if err != nil {
		return err
	}
	said := struct {
		Partial bool              `json:"partial"`
		Through time.Time         `json:"through"` // event time
		Orders  int64             `json:"orders"`  // read
		Digests []CandidateDigest `json:"digests"`
	}{true, broken.Through.UTC(), broken.Orders, done.Digests}
	if err := json.MarshalWrite(file, said, jsontext.WithIndent(" ")); err != nil {
		return err
	}
	return file.WriteByte('\n')
}
