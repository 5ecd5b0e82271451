package follow

import (
	"context"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
)

// settleAfter is how long nothing must have been written before a checkpoint that is
// complete in memory only is made durable. It is one append at the end of work, by which
// other instances see that no work is left.
const settleAfter = 2 * time.Second

// waiting returns, while another instance follows the projection, whether there is work that
// waits, and how often the checkpoint was written: the checkpoint is behind the ledger or has
// a pending batch, a table is being built, or the view does not show the live table. That is
// so when the other was killed right after a built table became the live one.
func (f *follower) waiting(ctx context.Context) (progress uint64, waits bool, err error) {
	newest, some, err := projections.NewestLedgerEvent(ctx, f.source)
	if err != nil {
		return 0, false, err
	}
	found, err := f.checkpoints.load(ctx)
	if err != nil {
		return 0, false, err
	}
	s := f.checkpoints.get()
	waits = some && (!found || behind(s.Live, newest.Position)) || s.Building != nil
	return f.checkpoints.revision(), waits || found && f.showsAnother(ctx, s.Live), nil
}

// showsAnother returns whether the view showed another table than the live one when it was
// last looked at, which is every lookAfter. A ClickHouse that does not answer shows nothing
// that this instance could set right.
func (f *follower) showsAnother(ctx context.Context, live checkpoint.Table) bool {
	if now := f.now(); now.Sub(f.looked) >= lookAfter {
		shown, err := f.target.Shown(ctx, f.projection.Table)
		f.looked, f.another = now, err == nil && shown != live.Name && live.Version == f.projection.Table.Version
	}
	return f.another
}

func behind(t checkpoint.Table, newest event.Position) bool {
	return t.Pending != nil || t.Done.Events == 0 || t.Done.Position < newest
}

// lookAfter is how often an instance checks that the view of a projection shows the live
// table: another instance that was killed while it opened may have shown an old one.
const lookAfter = 10 * time.Second

// keepShown shows the live table again when the view shows another one.
func (f *follower) keepShown(ctx context.Context) error {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		live := f.checkpoints.get().Live
		if live.Version != f.projection.Table.Version {
			continue // not to be shown yet
		}
		if err := f.showAgain(ctx, live.Name); err != nil {
			return err
		}
	}
}

func (f *follower) showAgain(ctx context.Context, table string) error {
	ctx, cancel := context.WithTimeout(ctx, f.patience.get())
	defer cancel()
	shown, err := f.target.Shown(ctx, f.projection.Table)
	if err != nil || shown == table {
		return err
	}
	if err := f.target.Show(ctx, f.projection.Table, table); err != nil {
		return err
	}
	return f.stillNamed(ctx, table)
}

// settleCheckpoint makes the checkpoint durable when no work is left.
func (f *follower) settleCheckpoint(ctx context.Context) error {
	tick := time.NewTicker(settleAfter)
	defer tick.Stop()
	last := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		notes, some := f.checkpoints.unsaved()
		if some && notes == last {
			if err := f.checkpoints.save(ctx, func(*checkpoint.ProjectionCheckpointed) error { return nil }); err != nil {
				return err
			}
		}
		last = notes
	}
}
