package cmd

import (
	"context"
	"fmt"
	"time"

	"recapito/projections"
)

// settleWithin bounds how long a comparison waits for the tables to hold what the ledger
// had when it was asked for.
const settleWithin = 2 * time.Minute

// reconciler compares the tables with a fold of the event store, up to what all of them
// hold once they have caught up.
func (l *ledger) reconciler(progress func(projections.Progress)) *projections.Reconciler {
	return &projections.Reconciler{
		Source: l.engines.events, Codec: l.codec, Conn: l.engines.read, Progress: progress,
		Cut: func(ctx context.Context) (uint64, error) {
			settling, cancel := context.WithTimeout(ctx, settleWithin)
			defer cancel()
			if err := l.projections.Settle(settling); err != nil {
				return 0, fmt.Errorf("the tables have not caught up: %w", err)
			}
			return l.projections.Held(), nil
		},
	}
}
