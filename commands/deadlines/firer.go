package deadlines

import (
	"context"
	"fmt"
	"time"

	"recapito/commands/retry"
)

// Limits of firing.
const (
	firing   = 64   // deadlines fired at a time
	refiring = 1024 // further deadlines that failed and wait to be fired again
)

// refire is how often a deadline, and a session that follows them, is tried again.
var refire = retry.Policy{First: 100 * time.Millisecond, Most: 10 * time.Second}

// firer bounds what is fired at a time. A deadline that failed gives up its place in
// firing while it waits to be fired again; where refiring deadlines wait already, it keeps
// its place.
type firer struct {
	*Service
	firing, refiring chan struct{} // hold one for each
	failing          *retry.Log
}

func newFirer(s *Service) *firer {
	return &firer{Service: s, firing: make(chan struct{}, firing), refiring: make(chan struct{}, refiring),
		failing: retry.NewLog(s.log, "deadlines: firing")}
}

// fireUntilDone is called with a place in firing, which it gives back.
func (f *firer) fireUntilDone(ctx context.Context, it item) {
	firing, aside := true, false
	defer func() {
		if firing {
			<-f.firing
		}
		if aside {
			<-f.refiring
		}
	}()
	_ = refire.Do(ctx, f.failing, func(ctx context.Context) error {
		if !firing {
			select {
			case f.firing <- struct{}{}:
				firing = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := f.fire(ctx, it.DeadlineSet)
		if err == nil {
			f.Done(it)
			return nil
		}
		if !aside {
			select {
			case f.refiring <- struct{}{}:
				aside = true
			default:
			}
		}
		if aside {
			<-f.firing
			firing = false
		}
		return fmt.Errorf("notification %s, attempt %d: %w", it.Notification, it.Attempt, err)
	})
}
