package delivery

import (
	"context"
	"sync"
	"time"

	"recapito/domain/event"
)

// handlePatience is how long an input that the feed handed over is worked on here, its
// turn and its tries included; it is well below what the feed allows.
const handlePatience = 15 * time.Second

// share works on what the feed hands over: inputs of one stream one after the other, as
// far as they come here, of different streams side by side. Where the group is new it
// begins after the checkpoint of a runner that followed this store by itself, if there
// was one.
func (r *Runner) share(ctx context.Context, _ func()) error {
	after, _, err := r.loadCheckpoint(ctx)
	if err != nil {
		return err
	}
	workers := make(chan struct{}, runnerWorkers)
	streams := turns{of: map[string]*turn{}}
	return r.Feed.Consume(ctx, "recapito-"+r.Name, event.Subscription{After: after, Filter: r.Filter}, func(ctx context.Context, e event.Recorded) error {
		r.hold(1)
		defer r.hold(-1)
		ctx, cancel := context.WithTimeout(ctx, handlePatience)
		defer cancel()
		release, err := streams.take(ctx, e.Stream)
		if err != nil {
			return err
		}
		defer release()
		if err := r.work(ctx, workers, e); err != nil {
			return err
		}
		r.set(func(s *RunnerState) { s.Position = max(s.Position, e.Position) })
		return nil
	})
}

func (r *Runner) hold(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inHand += more
}

// turns has those that work on one stream do it one after the other.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	room  chan struct{} // for one
	users int           // that have it or wait for it
}

// take waits for the turn on a stream.
func (t *turns) take(ctx context.Context, stream string) (release func(), err error) {
	t.mu.Lock()
	mine := t.of[stream]
	if mine == nil {
		mine = &turn{room: make(chan struct{}, 1)}
		t.of[stream] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.of, stream)
		}
	}
	select {
	case mine.room <- struct{}{}:
		return func() { <-mine.room; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
