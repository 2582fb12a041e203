package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"verdict/consumer"
	"verdict/schemas"
)

// DecisionsConfig says which decisions are kept again. All but the fields said to be optional are required.
type DecisionsConfig struct {
	History consumer.Transport // of the decisions topic
	Reader  *schemas.DecisionReader
	Ledger  consumer.Ledger
	Restore func(context.Context, []consumer.Kept) error // optional: has decisions stand in place of those that the ledger has, which were made later; nil leaves these
	Before  func(schemas.Source) bool                    // optional: whether a decision's order lies before the end that is rebuilt to; nil takes all
	Since   time.Time                                    // what was decided earlier would have expired by now; zero takes all
}

// KeepDecisions gives a ledger the first decision of each order, as the decisions topic has them: every copy of an order's decision is the first one, byte
// for byte. It returns how many records it gave, and how many it left out since they are no decisions.
func KeepDecisions(ctx context.Context, cfg DecisionsConfig) (given, foreign int64, err error) {
	for {
		batch, err := cfg.History.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return given, foreign, nil
		}
		if err != nil {
			return given, foreign, fmt.Errorf("reading decisions: %w", err)
		}
		var kept []consumer.Kept
		for i := range batch.Records {
			r := &batch.Records[i]
			if r.Value == nil {
				continue
			}
			record, d, err := cfg.Reader.Record(ctx, r.Value)
			if bad := (*schemas.Malformed)(nil); errors.As(err, &bad) {
				foreign++
				continue
			}
			if err != nil {
				return given, foreign, fmt.Errorf("decoding a decision: %w", err)
			}
			if !d.DecidedAt.Before(cfg.Since) && (cfg.Before == nil || cfg.Before(d.Source)) {
				kept = append(kept, consumer.Kept{ID: d.OrderID, Record: record})
			}
		}
		if err := cfg.keep(ctx, kept); err != nil {
			return given, foreign, err
		}
		given += int64(len(kept))
	}
}

// keep gives decisions to the ledger. One may be there in place of the first: a step kept it in a store that had just lost the first, and learned of that by the same call.
func (c *DecisionsConfig) keep(ctx context.Context, kept []consumer.Kept) error {
	stand, err := c.Ledger.First(ctx, kept)
	if err != nil || c.Restore == nil {
		return err
	}
	var first []consumer.Kept
	for i := range kept {
		if bytes.Equal(stand[i], kept[i].Record) {
			continue
		}
		earlier, err := before(kept[i].Record, stand[i])
		if err != nil {
			return err
		}
		if earlier {
			first = append(first, kept[i])
		}
	}
	return c.Restore(ctx, first)
}

// before says whether a decision was made before another.
func before(record, other []byte) (bool, error) {
	one, err := schemas.DecodeDecision(record)
	if err != nil {
		return false, fmt.Errorf("decoding a decision: %w", err)
	}
	two, err := schemas.DecodeDecision(other)
	if err != nil {
		return false, fmt.Errorf("decoding a decision: %w", err)
	}
	return one.DecidedAt.Before(two.DecidedAt), nil
}
