package follow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"recapito/projections"
)

const settlePoll = 10 * time.Millisecond

// Settle waits until every table shows all ledger events that the store has now. A
// stopped projection is an error at once; otherwise it is ctx that ends the wait.
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
	for _, k := range p.followers {
		for {
			s := k.State()
			if s.Phase == Stopped {
				return errors.New(s.Error)
			}
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

// Held is how many ledger events every table holds: those with the smallest ordinals.
func (p *Projector) Held() uint64 {
	held := uint64(math.MaxUint64)
	for _, s := range p.States() {
		held = min(held, s.Events)
	}
	return held
}
