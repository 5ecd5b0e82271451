package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/domain/event"
)

const settlePoll = 10 * time.Millisecond

// Settle waits until every table shows all ledger events that the store has now. A
// stopped projection is an error at once; otherwise it is ctx that ends the wait.
func (p *Projections) Settle(ctx context.Context) error {
	if len(p.keepers) == 0 {
		return nil
	}
	var newest event.Position
	some := false
	read := event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1, Filter: ledgerFilter()}
	err := p.keepers[0].source.ReadAll(ctx, read, func(r event.Recorded) error {
		newest, some = r.Position, true
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the newest ledger event: %w", err)
	}
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for _, k := range p.keepers {
		for {
			s := k.State()
			if s.Phase == Stopped {
				return errors.New(s.Error)
			}
			if s.Ready() && (!some || s.Events > 0 && s.Position >= newest) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", s.Projection, context.Cause(ctx))
			case <-tick.C:
			}
		}
	}
	return nil
}
