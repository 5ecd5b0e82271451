package follow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

const (
	// passedTimeout is how long a reader waits for a projection at most.
	passedTimeout = 10 * time.Second
	// passedPoll is how often a projection is looked at whose state does not change here, as
	// where another instance writes its checkpoint.
	passedPoll = 250 * time.Millisecond
)

// Passed waits until every ledger event up to a position is in the tables of the named
// projections, all of them if none is named. Errors: readmodels.ErrNoSuchPosition if the
// store is not that far; *readmodels.Behind after passedTimeout; ErrUnknownProjection; an error
// of the event store.
//
// A projection that another instance follows is judged by its checkpoint, which is durable
// when the next batch begins, or some seconds after the last one.
func (p *Projector) Passed(ctx context.Context, position event.Position, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, passedTimeout)
	defer cancel()
	followers, err := p.named(names)
	if err != nil {
		return err
	}
	wanted, looked := upTo(position), false
	for _, f := range followers {
		if f.is(wanted) {
			continue
		}
		if !looked { // most readers ask for what was passed long ago
			found, some, err := p.upTo(ctx, position)
			if err != nil {
				return err
			}
			if !some {
				return nil
			}
			wanted, looked = upTo(found), true
		}
		if err := f.passed(ctx, wanted); err != nil {
			return err
		}
	}
	return nil
}

// Holds waits, as Passed does, until the first so many ledger events are in the tables.
// The store must have them.
func (p *Projector) Holds(ctx context.Context, events uint64, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, passedTimeout)
	defer cancel()
	followers, err := p.named(names)
	if err != nil || events == 0 {
		return err
	}
	for _, f := range followers {
		if err := f.passed(ctx, func(done checkpoint.Done) bool { return done.Events >= events }); err != nil {
			return err
		}
	}
	return nil
}

// named returns the followers of some projections, all of them if none is named.
func (p *Projector) named(names []string) ([]*follower, error) {
	if len(names) == 0 {
		return p.followers, nil
	}
	followers := slices.Clone(p.followers)
	followers = slices.DeleteFunc(followers, func(f *follower) bool { return !slices.Contains(names, f.projection.Name()) })
	if len(followers) < len(names) {
		return nil, fmt.Errorf("%w among %v", ErrUnknownProjection, names)
	}
	return followers, nil
}

// extent is a condition on how far a table is that has at least one event.
type extent func(checkpoint.Done) bool

func upTo(position event.Position) extent {
	return func(done checkpoint.Done) bool { return done.Position >= position }
}

// upTo returns the position of the last ledger event at or before a position.
func (p *Projector) upTo(ctx context.Context, position event.Position) (last event.Position, some bool, err error) {
	if position >= event.PositionEnd {
		return 0, false, readmodels.ErrNoSuchPosition
	}
	source, there := p.followers[0].source, false
	end := event.AllRead{From: event.PositionEnd, Direction: event.Backwards, Limit: 1}
	err = source.ReadAll(ctx, end, func(r event.Recorded) error {
		there = r.Position >= position
		return nil
	})
	if err == nil && !there {
		return 0, false, readmodels.ErrNoSuchPosition
	}
	if err == nil {
		read := event.AllRead{From: position + 1, Direction: event.Backwards, Limit: 1, Filter: projections.LedgerFilter()}
		err = source.ReadAll(ctx, read, func(r event.Recorded) error {
			last, some = r.Position, true
			return nil
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking for a position: %w", err)
	}
	return last, some, nil
}

// is returns whether the table is known to be so far, without asking the store.
func (f *follower) is(at extent) bool {
	s := f.State()
	return s.Phase != Starting && s.Events > 0 && at(checkpoint.Done{Events: s.Events, Position: s.Position})
}

// passed waits until the table is so far.
func (f *follower) passed(ctx context.Context, at extent) error {
	for {
		_, moves := f.checkpoints.watch()
		if f.is(at) {
			return nil
		}
		s := f.State()
		behind := &readmodels.Behind{Projection: s.Projection, Position: uint64(s.Position)}
		poll := time.After(passedPoll)
		switch s.Phase {
		case Standby:
			state, _, err := f.checkpoints.newest(ctx)
			if err == nil && state.Live.Done.Events > 0 {
				if at(state.Live.Done) {
					return nil
				}
				behind.Position = uint64(state.Live.Done.Position)
			}
		case Retrying:
			behind.Why = "interrupted"
		}
		select {
		case <-ctx.Done():
			return behind
		case <-moves:
		case <-poll:
		}
	}
}
