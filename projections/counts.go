package projections

import (
	"context"
	"fmt"

	"recapito/domain/event"
	"recapito/readmodels"
)

// Counts answers accounting and rollups from their tables. As of a cut, the batches
// before it are whole, and the events of the batch that it falls into are read from the
// store again; so an answer is the same whatever the batches were, and after a rebuild.
// The tables must hold the cut (Projections.Passed).
type Counts struct {
	Conn   readmodels.Conn
	Source Source
	Codec  *event.Codec // of every ledger event
}

// Accounting answers sums of attempts.
func (c Counts) Accounting(ctx context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error) {
	return readmodels.Accounting(ctx, c.Conn, q, beside[readmodels.AccountingRow](c.Source, accountingProjection{c.Codec}))
}

// Rollups answers counts of what occurred, or of what was requested.
func (c Counts) Rollups(ctx context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error) {
	return readmodels.Rollups(ctx, c.Conn, q, beside[readmodels.RollupRow](c.Source, rollupsProjection{c.Codec}))
}

// beside makes a projection's rows of events as if they were a batch.
func beside[R readmodels.Row](source Source, p projection) readmodels.BesideFunc[R] {
	return func(ctx context.Context, first, position, cut uint64) ([]R, error) {
		if cut <= first || cut-first > maxBatchEvents {
			return nil, errNotThatBatch
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		events := make([]LedgerEvent, 0, cut-first)
		read := event.AllRead{From: event.Position(position), Limit: int(cut - first), Filter: ledgerFilter()}
		err := source.ReadAll(ctx, read, func(r event.Recorded) error {
			events = append(events, LedgerEvent{Recorded: r, Seq: first + uint64(len(events))})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the events up to the cut: %w", err)
		}
		if uint64(len(events)) != cut-first || uint64(events[0].Position) != position {
			return nil, errNotThatBatch
		}
		rows, _, err := p.rows(events)
		if err != nil {
			return nil, err
		}
		typed := make([]R, 0, len(rows))
		for _, r := range rows {
			typed = append(typed, r.(R))
		}
		return typed, nil
	}
}
