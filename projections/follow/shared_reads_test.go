package follow

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"recapito/domain/event"
	"recapito/projections"
)

// subscriptions is a source whose subscriptions the test speaks for.
type subscriptions struct {
	Source
	begun chan event.Handler
}

func (s subscriptions) Subscribe(ctx context.Context, _ event.Subscription, h event.Handler) error {
	s.begun <- h
	<-ctx.Done()
	return nil
}

// Who is too far ahead for the pass that was to begin with it, and so goes on one that
// has caught up already, is told.
func TestWhoChangesToALivePassIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := subscriptions{begun: make(chan event.Handler, 10)}
		p := &sharedReads{source: s}
		ctx, stop := context.WithCancel(t.Context())
		follow := func(after event.Position, told *atomic.Bool) {
			go func() {
				receive := func(event.Recorded, *projections.DecodedCache) error { return nil }
				_ = p.subscribe(ctx, &after, receive, func() { told.Store(true) })
			}()
			synctest.Wait()
		}
		var first, ahead, behind atomic.Bool
		follow(1, &first)
		live := <-s.begun
		p.expect(2)
		follow(nearby+1_000, &ahead)
		if err := live.Event(event.Recorded{Position: 2_000}); err != nil {
			t.Fatal(err)
		}
		if err := live.CaughtUp(2_000); err != nil {
			t.Fatal(err)
		}
		follow(0, &behind)
		if !ahead.Load() || behind.Load() {
			t.Errorf("told that it has caught up: who changed sharedReads %t, who is behind %t", ahead.Load(), behind.Load())
		}
		stop()
		p.wait()
	})
}
