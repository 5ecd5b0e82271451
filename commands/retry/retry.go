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

	// Sleep replaces the timer where a test drives the clock. The waits then have their
	// nominal length, so that a run can be replayed. nil: real time.
	Sleep func(ctx context.Context, d time.Duration)
}

func (p Policy) backOff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     cmp.Or(p.First, DefaultFirst),
		MaxInterval:         cmp.Or(p.Most, max(p.First, DefaultMost)),
		Multiplier:          multiplier,
		RandomizationFactor: jitter,
	}
	if p.Sleep != nil {
		b.RandomizationFactor = 0
	}
	b.Reset()
	return b
}

// After returns the wait that follows so many failures, for a caller that is given their
// number with each try.
func (p Policy) After(failures int) time.Duration {
	b := p.backOff()
	for range min(failures, 64) - 1 {
		b.NextBackOff()
	}
	return b.NextBackOff()
}

// Waits is the state of one operation that its caller tries again by a queue or a timer
// of its own. It is not safe for concurrent use.
type Waits struct {
	backOff *backoff.ExponentialBackOff
	outage  outage
}

// Waits returns the state of an operation that has not failed. log may be nil.
func (p Policy) Waits(log *Log) *Waits { return &Waits{p.backOff(), outage{log: log}} }

// Failed records a failure and returns how long to wait before the next try.
func (w *Waits) Failed(err error) time.Duration {
	wait := w.backOff.NextBackOff()
	w.outage.failed(err, wait)
	return wait
}

// Worked records a success: the next failure is a first one.
func (w *Waits) Worked() {
	w.backOff.Reset()
	w.outage.over(true, time.Now())
}

// Failing reports whether the last try failed.
func (w *Waits) Failing() bool { return w.outage.failing }

// Do runs an operation until it succeeds, its error is Permanent, the tries are used up
// or ctx ends. It returns nil or the operation's last error. log may be nil.
func (p Policy) Do(ctx context.Context, log *Log, operation func(context.Context) error) error {
	o := outage{log: log}
	err, _ := p.run(ctx, p.backOff(), &o, func() error { return operation(ctx) })
	o.over(err == nil, time.Now())
	return err
}

var errEnded = errors.New("it ended")

// Keep runs a session, and runs it again whenever it ends, with an error or without,
// until ctx has ended (nil) or a session returns a Permanent error (that error). The
// session calls working once it knows that it works: the failure is then over, and the
// next wait is First again. A session that never calls it, but lasts for Steady, has
// First after it too. log may be nil.
func (p Policy) Keep(ctx context.Context, log *Log, session func(ctx context.Context, working func()) error) error {
	waits := p.backOff()
	o := outage{log: log}
	err, permanent := p.run(ctx, waits, &o, func() error {
		began := time.Now()
		err := session(ctx, func() {
			waits.Reset()
			o.over(true, time.Now())
		})
		if time.Since(began) >= cmp.Or(p.Steady, DefaultSteady) {
			waits.Reset()
			o.over(false, began)
		}
		return cmp.Or(err, errEnded)
	})
	o.over(false, time.Now())
	if permanent {
		return err
	}
	return nil
}

// run is the library's loop. Its error is the operation's last one, where the library
// returns the context's.
func (p Policy) run(ctx context.Context, waits backoff.BackOff, o *outage, operation func() error) (last error, permanent bool) {
	if p.Sleep != nil {
		waits = slept{waits, ctx, p.Sleep}
	}
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		last = operation()
		return struct{}{}, last
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(p.Tries), backoff.WithMaxElapsedTime(0), backoff.WithNotify(o.failed))
	var mark *backoff.PermanentError
	if errors.As(last, &mark) {
		return mark.Unwrap(), true
	}
	return last, false
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
