package marks

import (
	"context"
	"fmt"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// Counts returns accounting and rollups from their tables. As of a cut it reads the
// complete batches before the cut, and the store's events of the batch that the cut falls
// into; so the result is the same whatever the batches were, and after a rebuild.
// The tables must hold the cut (follow.Projector.Passed).
type Counts struct {
	Conn   readmodels.Conn
	Source projections.Reader
	Codec  *event.Codec // of every ledger event
}

// Accounting returns sums of attempts.
func (c Counts) Accounting(ctx context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error) {
	return readmodels.Accounting(ctx, c.Conn, q, rest[readmodels.AccountingRow](c.Source, projections.Accounting(c.Codec)))
}

// Rollups returns counts of what occurred, or of what was requested.
func (c Counts) Rollups(ctx context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error) {
	return readmodels.Rollups(ctx, c.Conn, q, rest[readmodels.RollupRow](c.Source, projections.Rollups(c.Codec)))
}

// rest makes a projection's rows of the events up to the cut, as if they were a batch.
func rest[R readmodels.Row](source projections.Reader, p projections.Projection) readmodels.RestFunc[R] {
	return func(ctx context.Context, first, position, cut uint64) ([]R, error) {
		if cut <= first {
			return nil, projections.ErrOtherEvents
		}
		events, err := projections.ReadBatch(ctx, source, first, event.Position(position), cut-first)
		if err != nil {
			return nil, fmt.Errorf("reading the events up to the cut: %w", err)
		}
		rows, _ := p.Rows(events)
		typed := make([]R, 0, len(rows))
		for _, r := range rows {
			typed = append(typed, r.(R))
		}
		return typed, nil
	}
}
