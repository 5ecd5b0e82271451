package deadlines

import (
	"context"
	"time"
)

// Limits of firing.
const (
	firing      = 64   // deadlines fired side by side
	refiring    = 1024 // deadlines that failed and wait to be fired again, beside those
	refireFirst = 100 * time.Millisecond
	refireMost  = 10 * time.Second
)

// firer bounds what is fired at a time. A deadline that fails waits beside the others to
// be fired again; only past refiring of those does it keep its place among firing.
type firer struct {
	*Service
	firing, refiring chan struct{} // hold one for each
}

func newFirer(s *Service) *firer {
	return &firer{Service: s, firing: make(chan struct{}, firing), refiring: make(chan struct{}, refiring)}
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
	pause := refireFirst
	for {
		err := f.fire(ctx, it.DeadlineSet)
		if err == nil {
			f.Done(it)
			return
		}
		if ctx.Err() != nil {
			return
		}
		f.log.Warn("deadlines: one could not be carried out, will be fired again", "notification", it.Notification, "attempt", it.Attempt, "error", err)
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
		sleep(ctx, pause)
		pause = min(2*pause, refireMost)
		if !firing {
			select {
			case f.firing <- struct{}{}:
				firing = true
			case <-ctx.Done():
				return
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
