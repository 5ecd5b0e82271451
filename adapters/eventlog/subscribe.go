package eventlog

import (
	"context"
	"fmt"

	"recapito/domain/event"
)

// checkpointAfter is how many events a subscription looks at without one that passes
// its filter before it says how far it is.
const checkpointAfter = 1000

// Subscribe implements commands.Store. A subscriber holds no more than a chunk: one
// that is slow reads on from the log at its own pace.
func (l *Log) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	s := subscription{log: l, handler: h, scan: scan{filter: sub.Filter}}
	if sub.After != nil {
		if *sub.After > event.PositionEnd {
			return fmt.Errorf("%w: after position %d", event.ErrInvalid, *sub.After)
		}
		s.scan.next = *sub.After + 1
	}
	for ctx.Err() == nil {
		woken := l.durable.next()
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

type subscription struct {
	log     *Log
	handler event.Handler
	scan    scan
	live    bool // CaughtUp was called and the reader has not fallen behind since
	quiet   int  // events looked at since something was delivered or told
}

// catchUp delivers everything that is durable, or returns early if ctx ends.
func (s *subscription) catchUp(ctx context.Context) error {
	for {
		s.scan.upTo = s.log.durable.at()
		c, more, err := s.log.allChunk(&s.scan)
		if err != nil {
			return fmt.Errorf("subscription: %w", err)
		}
		if more {
			s.live = false
		}
		for _, e := range c.events {
			if ctx.Err() != nil {
				return nil
			}
			if s.handler.Event != nil {
				if err := s.handler.Event(e); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := s.checkpoint(c); err != nil {
			return err
		}
		if !more && s.scan.upTo == s.log.durable.at() {
			return s.caughtUp()
		}
	}
}

func (s *subscription) checkpoint(c chunk) error {
	if len(c.events) > 0 {
		s.quiet = 0
		return nil
	}
	if s.quiet += c.scanned; s.quiet < checkpointAfter {
		return nil
	}
	s.quiet = 0
	if s.handler.Checkpoint == nil {
		return nil
	}
	return s.handler.Checkpoint(s.scan.next - 1)
}

func (s *subscription) caughtUp() error {
	if s.live {
		return nil
	}
	s.live = true
	if s.handler.CaughtUp == nil {
		return nil
	}
	return s.handler.CaughtUp(max(s.scan.next, 1) - 1)
}
