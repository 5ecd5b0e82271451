package follow

import (
	"context"
	"fmt"
	"math"
	"time"

	"recapito/projections"
)

const settlePoll = 10 * time.Millisecond

// Settle waits until every table shows all ledger events that the store has now. It
// returns an error when a projection is stopped, or when ctx ends.
func (p *Projector) Settle(ctx context.Context) error {
	if len(p.followers) == 0 {
		return nil
	}
	newest, some, err := projections.NewestLedgerEvent(ctx, p.followers[0].source)
	if err != nil {
		return err
	}
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for _, f := range p.followers {
		for {
			s := f.State()
			if s.Ready() && (!some || s.Events > 0 && s.Position >= newest.Position) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s, which is %s at position %d of %d %s: %w",
					s.Projection, s.Phase, s.Position, newest.Position, s.Error, context.Cause(ctx))
			case <-tick.C:
			}
		}
	}
	return nil
}

// Held returns n such that every table holds the first n ledger events.
func (p *Projector) Held() uint64 {
	held := uint64(math.MaxUint64)
	for _, s := range p.States() {
		held = min(held, s.Events)
	}
	return held
}
