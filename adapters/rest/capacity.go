package rest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"recapito/commands/channel"
	"recapito/commands/channel/netguard"
	"recapito/commands/retry"
)

// Waits of a route.
const (
	// maxPause bounds what a service's Retry-After can ask for.
	maxPause   = 5 * time.Minute
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// capacity is how many messages a route may have in hand, and when.
type capacity struct {
	slots *semaphore.Weighted
	rate  *rate.Limiter

	mu      sync.Mutex
	err     error         // why the route is down; nil: it is up
	closed  chan struct{} // closed when nothing is taken; remade when it is up again
	resumes time.Time     // the service asked to wait until then
	pauses  *retry.Waits
}

func newCapacity(s *Settings) *capacity {
	limit := rate.Inf
	if s.Rate > 0 {
		limit = rate.Limit(s.Rate)
	}
	c := &capacity{
		slots: semaphore.NewWeighted(int64(s.Connections)), rate: rate.NewLimiter(limit, max(1, int(s.Rate))),
		err: errors.New("not started"), closed: make(chan struct{}), pauses: retry.Policy{First: firstPause, Most: mostPause}.Waits(nil),
	}
	close(c.closed)
	return c
}

// set records that the route is up, or why it is not. A route whose address is private
// takes messages all the same, and refuses each for good, so that their notifications
// go on without it.
func (c *capacity) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	takes := err == nil || errors.Is(err, netguard.ErrPrivate)
	select {
	case <-c.closed:
		if takes {
			c.closed = make(chan struct{})
		}
	default:
		if !takes {
			close(c.closed)
		}
	}
	c.err = err
}

func (c *capacity) state() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// acquire takes room for one message, waiting at most until ctx ends.
func (c *capacity) acquire(ctx context.Context) (release func(), err error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	up, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-closed:
			cancel()
		case <-up.Done():
		}
	}()
	isDown := func() bool {
		select {
		case <-closed:
			return true
		default:
			return false
		}
	}
	why := func() error {
		if !isDown() {
			return channel.ErrRouteFull
		}
		if err := c.state(); err != nil {
			return fmt.Errorf("%w: %w", channel.ErrRouteDown, err)
		}
		return channel.ErrRouteDown // it is up again by now
	}
	if isDown() {
		return nil, why()
	}
	if err := c.slots.Acquire(up, 1); err != nil {
		return nil, why()
	}
	for wait := c.pause(); wait > 0; wait = c.pause() {
		if retry.Wait(up, wait) != nil {
			c.slots.Release(1)
			return nil, why()
		}
	}
	if err := c.rate.Wait(up); err != nil {
		c.slots.Release(1)
		return nil, why()
	}
	var once sync.Once
	return func() { once.Do(func() { c.slots.Release(1) }) }, nil
}

// pause returns how long nothing may be taken yet.
func (c *capacity) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.resumes)
}

// busy pauses the route: as long as the service asks for, else longer each time.
// Responses to what was sent before the pause do not lengthen it.
func (c *capacity) busy(retryAfter time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if retryAfter <= 0 {
		if time.Until(c.resumes) > 0 {
			return
		}
		retryAfter = c.pauses.Failed(nil)
	}
	if until := time.Now().Add(min(retryAfter, maxPause)); until.After(c.resumes) {
		c.resumes = until
	}
}

func (c *capacity) accepted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Until(c.resumes) <= 0 {
		c.pauses.Worked()
	}
}

// drain waits until nothing is in hand, at most until ctx ends.
func (c *capacity) drain(ctx context.Context, all int) {
	if c.slots.Acquire(ctx, int64(all)) == nil {
		c.slots.Release(int64(all))
	}
}
