package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/api"
	"recapito/domain/event"
	"recapito/projections/reconcile"
)

// settleWithin bounds how long a comparison waits for the tables to hold what the ledger
// had when it was asked for.
const settleWithin = 2 * time.Minute

// reconciler compares the tables with a fold of the event store, up to what all of them
// hold once they have caught up.
func (l *Instance) reconciler(progress func(reconcile.Progress)) *reconcile.Reconciler {
	return &reconcile.Reconciler{
		Source: l.Engines.Events, Codec: l.codec, Operations: operations(), Conn: l.Engines.Read, Progress: progress,
		Cut: func(ctx context.Context) (uint64, error) {
			settling, cancel := context.WithTimeout(ctx, settleWithin)
			defer cancel()
			if err := l.Projections.Settle(settling); err != nil {
				return 0, fmt.Errorf("the tables have not caught up: %w", err)
			}
			return l.Projections.Held(), nil
		},
	}
}

// reconcile implements api.Reconcile.
func (l *Instance) reconcile(ctx context.Context, progress func(done, total uint64)) (api.Reconciliation, error) {
	found, err := l.reconciler(func(p reconcile.Progress) { progress(p.Done, p.Total) }).Run(ctx)
	if err != nil {
		return api.Reconciliation{}, errors.Join(event.ErrUnavailable, err)
	}
	result := api.Reconciliation{Events: found.Events, Rows: found.Rows}
	for _, d := range found.Differences {
		result.Differences = append(result.Differences, api.Difference(d))
	}
	return result, nil
}
