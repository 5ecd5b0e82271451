package deadlines

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"recapito/commands"
	"recapito/commands/retry"
	"recapito/domain/checkpoint"
)

// rival is an instance that does not fire, and watches whether somebody does: it reads
// ahead and follows like the holder, and notes what has come due until the holder's
// checkpoint records that it was fired. What it notes decides nothing but whether the lease
// is taken; whoever takes it reads everything again.
type rival struct {
	watch *Service
	limit int // of overdue; past it the watch stands still

	mu      sync.Mutex
	stop    func() // nil while it rests
	overdue []item
}

func newRival(s *Service) *rival {
	r := &rival{limit: s.limit}
	r.watch = New(s.store, s.codec, s.now, s.log, nil)
	r.watch.limit, r.watch.watching = s.limit, true
	return r
}

// waiting reports whether something is due that is not known to be fired. Its first call
// begins to watch.
func (r *rival) waiting(ctx context.Context) (mark uint64, waits bool, err error) {
	r.begin()
	var c checkpoint.DeadlinesCheckpointed
	at, err := commands.LoadLatest(ctx, r.watch.store, checkpoint.DeadlinesStream, &c)
	if err != nil {
		return 0, false, fmt.Errorf("loading the checkpoint of the deadlines: %w", err)
	}
	if revision, ok := at.Exactly(); ok {
		mark = uint64(revision) + 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overdue = slices.DeleteFunc(r.overdue, func(it item) bool {
		return c.Fired != nil && it.At.Before(*c.Fired) && c.Seen != nil && it.position <= *c.Seen
	})
	return mark, len(r.overdue) > 0, nil
}

func (r *rival) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) // until rest
	ended := make(chan struct{})
	r.stop = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		r.watch.sessions(ctx, func(ctx context.Context) error {
			r.forget() // what is still due is read again
			return r.watch.session(ctx, func(ctx context.Context, _ *sync.WaitGroup, it item) error { return r.note(ctx, it) })
		})
	}()
}

// rest ends the watch, if there is one.
func (r *rival) rest() {
	r.mu.Lock()
	stop := r.stop
	r.stop = nil
	r.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	r.forget()
}

func (r *rival) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overdue = nil
}

// note takes what has come due, when there is room.
func (r *rival) note(ctx context.Context, it item) error {
	for {
		r.mu.Lock()
		room := len(r.overdue) < r.limit
		if room {
			r.overdue = append(r.overdue, it)
		}
		r.mu.Unlock()
		if room {
			r.watch.Done(it)
			return nil
		}
		if err := retry.Wait(ctx, maxSleep); err != nil {
			return err
		}
	}
}
