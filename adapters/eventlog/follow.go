package eventlog

import (
	"context"
	"errors"
	"fmt"

	"recapito/domain/event"
)

// Match decides by an event's stream and type whether a reader wants it. An error ends
// the read with that error. It must not keep the log busy for long.
type Match func(stream, typ string) (bool, error)

func matching(f event.Filter) Match {
	if f.IsEmpty() {
		return nil
	}
	return func(stream, typ string) (bool, error) { return f.Passes(stream, typ), nil }
}

// ReadAllMatching is ReadAll with any condition, besides which read.Filter is not looked
// at. A nil match passes everything.
func (l *Log) ReadAllMatching(ctx context.Context, read event.AllRead, match Match, visit func(event.Recorded) error) error {
	if read.Limit < 0 || read.From > event.PositionEnd {
		return fmt.Errorf("%w: limit %d, from position %d", event.ErrInvalid, read.Limit, read.From)
	}
	return l.readAll(ctx, read, match, visit)
}

// Following asks for $all from a position on, as Subscribe does, with any condition and
// with checkpoints at intervals.
type Following struct {
	After *event.Position // nil: from the beginning
	Match Match           // nil: everything
	// CheckpointEvery is how many events are looked at between two checkpoints,
	// whether they passed or not; 0: no checkpoints.
	CheckpointEvery int
}

// Follower receives what is followed, one call at a time, in order. An error of any of
// them ends it with that error. Nil members are not called.
type Follower struct {
	Event      func(event.Recorded) error
	Checkpoint func(event.Position) error
	// CaughtUp is called when all that was durable was delivered; FellBehind when
	// there is again more than a reader's chunk to deliver, before another CaughtUp.
	CaughtUp   func(event.Position) error
	FellBehind func() error
}

// Follow delivers until ctx ends (nil), the follower errs, or the log is closed.
func (l *Log) Follow(ctx context.Context, f Following, to Follower) error {
	s := subscription{log: l, to: to, scan: scan{match: f.Match, every: f.CheckpointEvery, always: true}}
	return s.follow(ctx, f.After)
}

// FollowStream delivers a stream's events from a revision on, then those that follow as
// they become durable. The stream need not exist yet. It ends as Follow does.
func (l *Log) FollowStream(ctx context.Context, stream string, from event.Revision, to Follower) error {
	if err := checkStream(stream); err != nil {
		return err
	}
	live := false
	for ctx.Err() == nil {
		woken := l.durable.next()
		at := l.durable.at()
		err := l.ReadStream(ctx, event.StreamRead{Stream: stream, From: from}, func(e event.Recorded) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if to.Event != nil {
				if err := to.Event(e); err != nil {
					return err
				}
			}
			from = e.Revision + 1
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, event.ErrStreamNotFound):
			return err
		case !live && to.CaughtUp != nil:
			if err := to.CaughtUp(at); err != nil {
				return err
			}
		}
		live = true
		select {
		case <-woken:
		case <-ctx.Done():
		}
	}
	return nil
}
