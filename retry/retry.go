package retry

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Defaults of a policy.
const (
	DefaultFirst  = 100 * time.Millisecond
	DefaultMost   = 10 * time.Second
	DefaultSteady = time.Minute
)

const (
	multiplier = 2
	jitter     = 0.5 // of the nominal wait, to either side
)

// Policy holds how long to wait between tries, and how many there are. The zero value is
// usable: it has the defaults and no limit.
type Policy struct {
	First  time.Duration // nominal wait before the second try; each further one is twice as long
	Most   time.Duration // longest nominal wait
	Tries  uint          // 0: no limit but the context
	Steady time.Duration // Keep: a session that lasted this long is followed by First again

	// Sleep replaces the timer where a test drives the clock. nil: real time.
	Sleep func(ctx context.Context, d time.Duration)
}

// BackOff returns the policy's waits, beginning with First. It is for a caller that has
// its own timer or queue. It is not safe for concurrent use.
func (p Policy) BackOff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     cmp.Or(p.First, DefaultFirst),
		MaxInterval:         cmp.Or(p.Most, max(p.First, DefaultMost)),
		Multiplier:          multiplier,
		RandomizationFactor: jitter,
	}
	b.Reset()
	return b
}

// Do runs an operation until it succeeds, its error is Permanent, the tries are used up
// or ctx ends. It returns nil or the operation's last error. log may be nil.
func (p Policy) Do(ctx context.Context, log *Log, operation func(context.Context) error) error {
	failed := false
	err := p.run(ctx, p.BackOff(), func(err error, wait time.Duration) {
		log.failed(err, wait, !failed)
		failed = true
	}, func() error { return operation(ctx) })
	if failed {
		log.ended(err == nil)
	}
	return err
}

var errEnded = errors.New("it ended")

// Keep runs a session, and runs it again whenever it ends, with an error or without,
// until ctx has ended (nil) or a session returns a Permanent error (that error). The
// session calls working once it knows that it works: the failure is then over, and the
// next wait is First again. A session that never calls it, but lasts for Steady, has
// First after it too. log may be nil.
func (p Policy) Keep(ctx context.Context, log *Log, session func(ctx context.Context, working func()) error) error {
	waits := p.BackOff()
	failed := false
	working := func() {
		waits.Reset()
		if failed {
			log.ended(true)
			failed = false
		}
	}
	defer func() {
		if failed {
			log.ended(false)
		}
	}()
	err := p.run(ctx, waits, func(err error, wait time.Duration) {
		log.failed(err, wait, !failed)
		failed = true
	}, func() error {
		began := time.Now()
		err := session(ctx, working)
		if time.Since(began) >= cmp.Or(p.Steady, DefaultSteady) {
			working()
		}
		return cmp.Or(err, errEnded)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// run is the library's loop. Its error is the operation's last one, where the library
// returns the context's.
func (p Policy) run(ctx context.Context, waits backoff.BackOff, failed backoff.Notify, operation func() error) error {
	if p.Sleep != nil {
		waits = slept{waits, ctx, p.Sleep}
	}
	var last error
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		last = operation()
		return struct{}{}, last
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(p.Tries), backoff.WithMaxElapsedTime(0), backoff.WithNotify(failed))
	var permanent *backoff.PermanentError
	if errors.As(last, &permanent) {
		return permanent.Unwrap()
	}
	return last
}

// slept does the waiting itself and leaves none to the library.
type slept struct {
	backoff.BackOff
	ctx   context.Context
	sleep func(context.Context, time.Duration)
}

func (s slept) NextBackOff() time.Duration {
	s.sleep(s.ctx, s.BackOff.NextBackOff())
	return 0
}

// Permanent marks an error that another try cannot mend: Do and Keep return it at once,
// without the mark.
func Permanent(err error) error { return backoff.Permanent(err) }

// Wait waits for d. It returns the context's error if ctx ends first, or has ended.
func Wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
