package follow

import (
	"context"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
)

// settleAfter is how long nothing must have been written before a checkpoint that only
// memory knows to be done is made durable. It is one append at the end of work, for
// rivals to see that there is none left.
const settleAfter = 2 * time.Second

// waiting says, while another instance keeps the projection, whether what its checkpoint
// says is behind the ledger, or is not known to be in the table.
func (k *follower) waiting(ctx context.Context) (mark uint64, waits bool, err error) {
	newest, some, err := projections.NewestLedgerEvent(ctx, k.source)
	if err != nil {
		return 0, false, err
	}
	found, err := k.checkpoints.load(ctx)
	if err != nil {
		return 0, false, err
	}
	s := k.checkpoints.get()
	return k.checkpoints.revision(), some && (!found || behind(s.Live, newest.Position)) || s.Building != nil, nil
}

func behind(t checkpoint.Table, newest event.Position) bool {
	return t.Pending != nil || t.Done.Events == 0 || t.Done.Position < newest
}

// lookAfter is how often the instance that keeps a projection sees that the view shows
// its table: another one that was killed while it opened may have shown an old one.
const lookAfter = 10 * time.Second

// keepShown shows the live table again where a view shows another.
func (k *follower) keepShown(ctx context.Context) error {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		live := k.checkpoints.get().Live
		if live.Version != k.projection.Table.Version {
			continue // not to be shown yet
		}
		if err := k.showAgain(ctx, live.Name); err != nil {
			return err
		}
	}
}

func (k *follower) showAgain(ctx context.Context, table string) error {
	ctx, cancel := context.WithTimeout(ctx, k.patience.get())
	defer cancel()
	shown, err := k.target.Shown(ctx, k.projection.Table)
	if err != nil || shown == table {
		return err
	}
	if err := k.target.Show(ctx, k.projection.Table, table); err != nil {
		return err
	}
	return k.stillNamed(ctx, table)
}

// settleCheckpoint makes the checkpoint durable when work has come to its end.
func (k *follower) settleCheckpoint(ctx context.Context) error {
	tick := time.NewTicker(settleAfter)
	defer tick.Stop()
	last := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		notes, some := k.checkpoints.unsaved()
		if some && notes == last {
			if err := k.checkpoints.save(ctx, func(*checkpoint.ProjectionCheckpointed) error { return nil }); err != nil {
				return err
			}
		}
		last = notes
	}
}
