package storecopy

import (
	"context"
	"fmt"
	"sync"

	"recapito/domain/event"
)

// reader walks along $all in a goroutine of its own, ahead of who asks it.
type reader struct {
	events chan event.Recorded
	end    context.CancelFunc
	done   sync.WaitGroup
	what   string
	err    error // once events is closed
}

func read(ctx context.Context, what string, s Source, from event.AllRead) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{what: what, events: make(chan event.Recorded, ahead), end: cancel}
	r.done.Go(func() {
		defer close(r.events)
		r.err = s.ReadAll(ctx, from, func(e event.Recorded) error {
			select {
			case r.events <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return r
}

// next returns false at the end, and then the reason.
func (r *reader) next() (event.Recorded, bool, error) {
	e, ok := <-r.events
	if !ok {
		if r.err != nil {
			return e, false, fmt.Errorf("read the %s: %w", r.what, r.err)
		}
		return e, false, nil
	}
	return e, true, nil
}

func (r *reader) close() {
	r.end()
	r.done.Wait()
}
