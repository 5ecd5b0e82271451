package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"recapito/commands/retry"
)

// quitTimeout is how long the answer to QUIT is waited for.
const quitTimeout = time.Second

// host is a smart host and its unused connections. It is down until a connection to it
// succeeds, and again once one fails.
type host struct {
	route    *Route
	config   Host
	tls      *tls.Config
	password string

	mu     sync.Mutex
	idle   []*session // the last one was used last
	up     bool
	cause  error     // why it is down, without a host's text
	worked time.Time // when a host last answered as it should
	// failing has a token when a message found the host down.
	failing chan struct{}
}

func newHost(r *Route, c Host) (*host, error) {
	h := &host{route: r, config: c, failing: make(chan struct{}, 1), cause: errors.New("not connected yet")}
	var err error
	if h.tls, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	if c.Username != "" {
		if h.password, err = c.Password.Read(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	return h, nil
}

// state returns nil while the host is up, else why it is down.
func (h *host) state() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.up {
		return nil
	}
	return fmt.Errorf("%s: %w", h.config.Addr, h.cause)
}

// set records that the host works, or why it does not.
func (h *host) set(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up, h.cause = err == nil, quiet(err)
	if err == nil {
		h.worked = time.Now()
	}
}

// failed takes the host out of use until run has connected to it again.
func (h *host) failed(err error) {
	h.set(err)
	select {
	case h.failing <- struct{}{}:
	default:
	}
}

// get returns a session: an unused one that still answers RSET, or a new one.
func (h *host) get(ctx context.Context) (*session, error) {
	for {
		s := h.pop()
		if s == nil {
			return h.connect(ctx)
		}
		stopped := s.until(ctx)
		err := s.client.Reset()
		if stopped() && err == nil {
			return s, nil
		}
		s.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (h *host) pop() *session {
	h.expire(time.Now().Add(-h.route.settings.IdleTimeout))
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.idle)
	if n == 0 {
		return nil
	}
	s := h.idle[n-1]
	h.idle = h.idle[:n-1]
	return s
}

// put keeps a session for the next message, within the bounds.
func (h *host) put(s *session) {
	s.idle = time.Now()
	h.keep(s)
}

func (h *host) keep(s *session) {
	h.mu.Lock()
	if s.messages < h.route.settings.MessagesPerConn && len(h.idle) < h.route.settings.Concurrency && h.route.life.Err() == nil {
		h.idle = append(h.idle, s)
		s = nil
	}
	h.mu.Unlock()
	if s != nil {
		s.quit()
	}
}

// expire ends the sessions that were last used before a time.
func (h *host) expire(before time.Time) {
	h.mu.Lock()
	var old, kept []*session
	for _, s := range h.idle {
		if s.idle.Before(before) {
			old = append(old, s)
		} else {
			kept = append(kept, s)
		}
	}
	h.idle = kept
	h.mu.Unlock()
	var quits sync.WaitGroup
	for _, s := range old {
		quits.Go(s.quit)
	}
	quits.Wait()
}

// quit ends a session in the way of the protocol, within quitTimeout.
func (s *session) quit() {
	s.client.CommandTimeout = quitTimeout
	_ = s.client.Quit()
	s.close()
}

// run finds out whether the host works, until ctx ends.
func (h *host) run(ctx context.Context) {
	o := h.route.settings
	log := retry.NewLog(h.route.log, "smtp: a smart host", slog.String("route", h.route.name), slog.String("host", h.config.Addr))
	waits := retry.Policy{First: o.RetryMin, Most: o.RetryMax}.Waits(log)
	for ctx.Err() == nil {
		if err := h.probe(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			h.set(err)
			_ = retry.Wait(ctx, waits.Failed(quiet(err)))
			continue
		}
		waits.Worked()
		h.set(nil)
		if h.serve(ctx) {
			h.mu.Lock()
			cause := h.cause
			h.mu.Unlock()
			_ = retry.Wait(ctx, waits.Failed(cause))
		}
	}
}

// serve watches a host that is up, until it must be checked (false) or a message found it
// down (true).
func (h *host) serve(ctx context.Context) (failed bool) {
	o := h.route.settings
	for {
		tick := min(o.CheckInterval, o.IdleTimeout)
		timer := time.NewTimer(tick/2 + rand.N(tick))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-h.failing:
			timer.Stop()
			if h.state() != nil {
				return true
			}
		case <-timer.C:
			h.expire(time.Now().Add(-o.IdleTimeout))
			h.mu.Lock()
			quiet := time.Since(h.worked) >= o.CheckInterval
			h.mu.Unlock()
			if quiet {
				return false
			}
		}
	}
}

// probe asks the host for a sign of life. What it connects is kept for the next message.
func (h *host) probe(ctx context.Context) error {
	s := h.pop()
	if s != nil {
		stopped := s.until(ctx)
		if err := s.client.Reset(); stopped() && err == nil {
			h.keep(s) // it is unused for as long as before
			return nil
		}
		s.close()
	}
	s, err := h.connect(ctx)
	if err != nil {
		return err
	}
	h.put(s)
	return nil
}
