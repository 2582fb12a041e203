package backtest

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Write writes report.json.
func (r *Report) Write(to io.Writer) error {
	if err := json.MarshalWrite(to, r, jsontext.WithIndent(" "), json.Deterministic(true)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	_, err := io.WriteString(to, "\n")
	return err
}

// Read reads a report.json of this FormatVersion. Fields that it does not know are passed over: a later program adds some.
func Read(from io.Reader) (*Report, error) {
	var r Report
	if err := json.UnmarshalRead(from, &r); err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

func (r *Report) check() error {
	if r.Format != FormatVersion {
		return fmt.Errorf("the report has format %d, this program knows %d", r.Format, FormatVersion)
	}
	if len(r.Candidates) == 0 {
		return errors.New("the report has no candidate")
	}
	return nil
}
