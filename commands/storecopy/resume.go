package storecopy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"recapito/domain/event"
)

// ErrOther: the target holds what is no copy of the source.
var ErrOther = errors.New("the target holds something else")

// resume finds the position in the source after which the copy goes on; nil: from the
// beginning, the target is empty. What it looks at is the target's end: that of a copy
// which was cut short is that of the source up to there.
func (c *copier) resume(ctx context.Context) (*event.Position, error) {
	tail, err := c.tail(ctx)
	if err != nil || len(tail) == 0 {
		return nil, err
	}
	c.report.Resumed = true
	c.already = map[string]bool{}
	for i, e := range tail {
		original, found, err := c.original(ctx, e)
		if err != nil {
			return nil, err
		}
		if found {
			c.written = &tail[0].Position
			return &original.Position, c.compare(ctx, original, tail[i:])
		}
		// Was it done in the source meanwhile, and scavenged there?
		done, err := c.done(ctx, e)
		if err != nil {
			return nil, err
		}
		if !done {
			return nil, fmt.Errorf("%w: revision %d of stream %s is not in the source", ErrOther, e.Revision, e.Stream)
		}
		c.already[e.ID] = true
	}
	return nil, fmt.Errorf("%w: none of its last %d events is in the source", ErrOther, len(tail))
}

// tail reads the end of the target, the newest event first.
func (c *copier) tail(ctx context.Context) ([]event.Recorded, error) {
	var tail []event.Recorded
	enough := errors.New("enough")
	err := c.target.ReadAll(ctx, event.AllRead{From: event.PositionEnd, Direction: event.Backwards}, func(e event.Recorded) error {
		if strings.HasPrefix(e.Stream, "$") {
			return nil
		}
		if tail = append(tail, e); len(tail) == compared {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, fmt.Errorf("read the end of the target: %w", err)
	}
	return tail, nil
}

// original finds the event of the source that one of the target is a copy of: at its
// revision, or at a later one.
func (c *copier) original(ctx context.Context, e event.Recorded) (original event.Recorded, found bool, err error) {
	enough := errors.New("enough")
	err = c.source.ReadStream(ctx, event.StreamRead{Stream: e.Stream, From: e.Revision}, func(of event.Recorded) error {
		if of.ID == e.ID {
			original, found = of, true
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) || err != nil && gone(err) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("look for the target's last event in the source: %w", err)
	}
	return original, found, err
}

// compare holds the end of the target, newest first, against the source backwards from
// the original of its first.
func (c *copier) compare(ctx context.Context, from event.Recorded, tail []event.Recorded) error {
	events := read(ctx, "source", c.source, event.AllRead{From: from.Position + 1, Direction: event.Backwards})
	defer events.close()
	p := pairs{carrier: c.carrier, source: events.next, target: func() (event.Recorded, bool, error) {
		if len(tail) == 0 {
			return event.Recorded{}, false, nil
		}
		e := tail[0]
		tail = tail[1:]
		return e, true, nil
	}}
	return p.each(ctx, false, func(event.Recorded, event.Recorded) error {
		c.report.Found++
		return nil
	})
}
