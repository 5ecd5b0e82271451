package eventlog

import (
	"context"
	"fmt"

	"recapito/domain/event"
)

// checkpointAfter is how many events a subscription looks at without one that passes
// its filter before it reports how far it is.
const checkpointAfter = 1000

// Subscribe implements commands.Store. A subscriber holds no more than a chunk: one
// that is slow reads on from the log at its own pace.
func (l *Log) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	s := subscription{
		log:  l,
		to:   Follower{Event: h.Event, Checkpoint: h.Checkpoint, CaughtUp: h.CaughtUp},
		scan: scan{match: matching(sub.Filter), every: checkpointAfter},
	}
	return s.follow(ctx, sub.After)
}

type subscription struct {
	log  *Log
	to   Follower
	scan scan
	live bool // CaughtUp was called and the reader has not fallen behind since
}

func (s *subscription) follow(ctx context.Context, after *event.Position) error {
	if after != nil {
		if *after > event.PositionEnd {
			return fmt.Errorf("%w: after position %d", event.ErrInvalid, *after)
		}
		s.scan.next = *after + 1
	}
	for ctx.Err() == nil {
		woken := s.log.durable.next()
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		select {
		case <-woken:
		case <-ctx.Done():
		}
	}
	return nil
}

// catchUp delivers everything that is durable, or returns early if ctx ends.
func (s *subscription) catchUp(ctx context.Context) error {
	for {
		s.scan.upTo = s.log.durable.at()
		c, more, err := s.log.allChunk(&s.scan)
		if err != nil {
			return fmt.Errorf("subscription: %w", err)
		}
		if more && s.live {
			s.live = false
			if s.to.FellBehind != nil {
				if err := s.to.FellBehind(); err != nil {
					return err
				}
			}
		}
		if err := s.deliver(ctx, c); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if !more && s.scan.upTo == s.log.durable.at() {
			return s.caughtUp()
		}
	}
}

// deliver hands over a chunk's events, and its marks between them.
func (s *subscription) deliver(ctx context.Context, c chunk) error {
	marks := c.marks
	for i := 0; ; i++ {
		for len(marks) > 0 && marks[0].events == i {
			if ctx.Err() != nil {
				return nil
			}
			if s.to.Checkpoint != nil {
				if err := s.to.Checkpoint(marks[0].position); err != nil {
					return err
				}
			}
			marks = marks[1:]
		}
		if i == len(c.events) || ctx.Err() != nil {
			return nil
		}
		if s.to.Event != nil {
			if err := s.to.Event(c.events[i]); err != nil {
				return err
			}
		}
	}
}

func (s *subscription) caughtUp() error {
	if s.live {
		return nil
	}
	s.live = true
	if s.to.CaughtUp == nil {
		return nil
	}
	return s.to.CaughtUp(max(s.scan.next, 1) - 1)
}
