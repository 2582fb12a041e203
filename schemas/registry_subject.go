package schemas

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

// Latest returns the latest schema of a subject and its version; found is false when the registry has no such subject. Nothing of it is kept.
func (r *Registry) Latest(ctx context.Context, subject string) (text string, version int, found bool, err error) {
	s, err := r.client.SchemaByVersion(ctx, subject, -1)
	var answer *sr.ResponseError
	switch {
	case errors.As(err, &answer) && (answer.ErrorCode == sr.ErrSubjectNotFound.Code || answer.ErrorCode == sr.ErrVersionNotFound.Code): // any other 404 is a wrong address
		return "", 0, false, nil
	case err != nil:
		return "", 0, false, fmt.Errorf("%w: reading the latest schema of %s: %w", ErrRegistry, subject, err)
	}
	return s.Schema.Schema, s.Version, true, nil
}
