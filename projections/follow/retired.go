package follow

import (
	"context"
	"errors"
	"slices"
	"time"

	"recapito/commands/retry"
	"recapito/domain/checkpoint"
)

// Limits of the wait before a replaced table is dropped.
const (
	// retiredMost is the longest wait. A query that began before the exchange and is still
	// running then resolved its tables long ago; ClickHouse lets it end well.
	retiredMost = time.Minute
	// retiredPoll is the longest time between two looks at the running queries.
	retiredPoll = 2 * time.Second
)

// dropRetired drops the tables that the checkpoint calls retired, once no query runs that
// could name them: one that resolved the view before it showed the live table reads the old
// one by its name. Such a query began before now, since the view shows the live table.
func (f *follower) dropRetired(ctx context.Context) error {
	tables := f.checkpoints.get().Retired
	if len(tables) == 0 {
		return nil
	}
	if err := f.untilUnnamed(ctx); err != nil {
		return err
	}
	for _, table := range tables {
		dropping, cancel := context.WithTimeout(ctx, f.patience.get())
		err := f.target.Drop(dropping, table)
		cancel()
		if err != nil {
			return err
		}
	}
	f.checkpoints.note(func(s *checkpoint.ProjectionCheckpointed) {
		s.Retired = slices.DeleteFunc(s.Retired, func(t string) bool { return slices.Contains(tables, t) })
	})
	return nil
}

// errRuns: a query that could name a retired table has not ended.
var errRuns = errors.New("a query that began before the exchange runs")

// untilUnnamed waits until every query that runs now has ended, for retiredMost at most.
// While the queries cannot be listed it waits too.
func (f *follower) untilUnnamed(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, retiredMost)
	defer cancel()
	var running []string
	listed := false
	policy := retry.Policy{First: minBackOff, Most: retiredPoll}
	_ = policy.Do(waiting, nil, func(ctx context.Context) error {
		now, err := f.target.Queries(ctx)
		if err != nil {
			return err
		}
		if !listed {
			running, listed = now, true
		}
		running = slices.DeleteFunc(running, func(id string) bool { return !slices.Contains(now, id) })
		if len(running) > 0 {
			return errRuns
		}
		return nil
	})
	return ctx.Err()
}
