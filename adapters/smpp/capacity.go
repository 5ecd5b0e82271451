package smpp

import (
	"context"
	"sync"
	"time"

	"recapito/commands/channel"
	"recapito/commands/retry"
)

// capacity counts the parts that a route may have in hand at once: a window for each
// live bind. Who waits is served in order, and no one while the route is paused.
type capacity struct {
	window int

	mu    sync.Mutex
	binds int
	used  int
	// narrow bounds what is in hand while the provider throttles: halved each time,
	// widened by one for each such number that it takes. 0: the windows alone bound it.
	narrow  float64
	waiters []*waiter
	// paused: the provider throttled. resume is its timer.
	paused bool
	resume *time.Timer
	pauses *retry.Waits
	closed bool
}

type waiter struct {
	parts   int
	granted chan error // one answer
}

// acquire takes room for that many parts, waiting at most until ctx ends.
func (c *capacity) acquire(ctx context.Context, parts int) (func(), error) {
	parts = min(max(parts, 1), MaxUnits)
	c.mu.Lock()
	if c.closed || c.binds == 0 {
		c.mu.Unlock()
		return nil, channel.ErrRouteDown
	}
	w := &waiter{parts: parts, granted: make(chan error, 1)}
	c.waiters = append(c.waiters, w)
	c.grant()
	c.mu.Unlock()

	var err error
	select {
	case err = <-w.granted:
	case <-ctx.Done():
		if !c.withdraw(w) {
			err = <-w.granted // granted or refused at the same moment
		} else {
			err = channel.ErrRouteFull
		}
	}
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func() { once.Do(func() { c.release(parts) }) }, nil
}

func (c *capacity) withdraw(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range c.waiters {
		if o == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			c.grant()
			return true
		}
	}
	return false
}

func (c *capacity) release(parts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= parts
	c.grant()
}

// grant serves the waiters that there is room for. The caller holds the lock.
func (c *capacity) grant() {
	for len(c.waiters) > 0 && !c.paused && c.hasRoom(c.waiters[0].parts) {
		w := c.waiters[0]
		c.waiters = c.waiters[1:]
		c.used += w.parts
		w.granted <- nil
	}
}

func (c *capacity) hasRoom(parts int) bool {
	if c.narrow > 0 && float64(c.used+parts) > c.narrow && c.used > 0 {
		return false
	}
	return c.used+parts <= c.binds*c.window
}

// bound and lost count the live binds. With none left nobody waits.
func (c *capacity) bound() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binds++
	c.grant()
}

func (c *capacity) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binds--
	if c.binds == 0 {
		c.refuseAll()
	}
}

func (c *capacity) refuseAll() {
	for _, w := range c.waiters {
		w.granted <- channel.ErrRouteDown
	}
	c.waiters = nil
}

// close ends the route's capacity for good.
func (c *capacity) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.refuseAll()
	if c.resume != nil {
		c.resume.Stop()
	}
}

// throttled pauses the route; answers to what was sent before the pause do not
// lengthen it.
func (c *capacity) throttled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused || c.closed {
		return
	}
	if c.narrow == 0 {
		c.narrow = float64(c.used)
	}
	c.narrow = max(1, c.narrow/2)
	c.paused = true
	c.resume = time.AfterFunc(c.pauses.Failed(nil), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paused = false
		c.grant()
	})
}

// accepted shortens the next pause and widens what may be in hand: the provider takes
// messages.
func (c *capacity) accepted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return
	}
	c.pauses.Worked()
	if c.narrow > 0 {
		if c.narrow += 1 / c.narrow; c.narrow >= float64(c.binds*c.window) {
			c.narrow = 0
		}
	}
}
