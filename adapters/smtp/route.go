package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/sync/semaphore"

	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
)

// Route is a route of the channel "email". Settings.Open makes it.
type Route struct {
	name       string
	settings   Settings
	hello      string
	bounce     string // the mailbox; "" if none
	secret     []byte
	signatures []*dkim.SignOptions
	hosts      []*host // the one to use first is first
	log        *slog.Logger
	clock      func() time.Time

	slots *semaphore.Weighted // of messages that are being sent
	late  chan struct{}       // of messages that wait for a late answer
	// open ends when no more messages are taken, life when connections are closed.
	open, life        context.Context
	stopTaking, close context.CancelFunc

	mu      sync.Mutex
	started bool
	stopped bool
	working sync.WaitGroup // Sends, and the answers that are waited for
}

// Open implements channel.Settings.
func (s *Settings) Open(o channel.Options) (channel.Route, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r := &Route{name: o.Name, settings: *s, hello: s.Hello, log: o.Log, clock: o.Now,
		slots: semaphore.NewWeighted(int64(s.Concurrency)), late: make(chan struct{}, s.LateLimit)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.hello == "" {
		r.hello = "localhost"
		if name, err := os.Hostname(); err == nil && isName(name) {
			r.hello = name
		}
	}
	if err := r.readKeys(); err != nil {
		return nil, err
	}
	byPriority := slices.Clone(s.Hosts)
	slices.SortStableFunc(byPriority, func(a, b Host) int { return a.Priority - b.Priority })
	for _, c := range byPriority {
		h, err := newHost(r, c)
		if err != nil {
			return nil, fmt.Errorf("hosts: %s: %w", c.Addr, err)
		}
		r.hosts = append(r.hosts, h)
	}
	r.open, r.stopTaking = context.WithCancel(context.Background())
	r.life, r.close = context.WithCancel(context.Background())
	return r, nil
}

func (r *Route) readKeys() (err error) {
	if r.settings.Bounce.Mailbox != "" {
		if r.bounce, err = address.Email.Normalise(r.settings.Bounce.Mailbox); err != nil {
			return fmt.Errorf("bounce.mailbox: %w", err)
		}
		secret, err := r.settings.Bounce.Secret.Read()
		if err != nil {
			return fmt.Errorf("bounce.secret: %w", err)
		}
		r.secret = []byte(secret)
	}
	for i, d := range r.settings.DKIM {
		o, err := d.signer()
		if err != nil {
			return fmt.Errorf("dkim[%d].key_file: %w", i, err)
		}
		r.signatures = append(r.signatures, o)
	}
	return nil
}

// Run implements channel.Route. Its only error is being called again.
func (r *Route) Run(ctx context.Context) error {
	r.mu.Lock()
	again := r.started
	r.started = true
	r.mu.Unlock()
	if again {
		return fmt.Errorf("route %s runs already", r.name)
	}
	var hosts sync.WaitGroup
	for _, h := range r.hosts {
		hosts.Go(func() { h.run(ctx) })
	}
	hosts.Wait()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.stopTaking()
	r.drain()
	return nil
}

// drain waits for the answers to what was sent, at most DrainTimeout, and then closes
// every connection.
func (r *Route) drain() {
	done := make(chan struct{})
	go func() {
		r.working.Wait()
		close(done)
	}()
	timeout := time.NewTimer(r.settings.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-done:
		for _, h := range r.hosts {
			h.expire(time.Now().Add(time.Hour))
		}
	case <-timeout.C:
	}
	r.close()
	<-done
}

// begin counts a Send; false once the route stops.
func (r *Route) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || r.stopped {
		return false
	}
	r.working.Add(1)
	return true
}

// State implements channel.Route.
func (r *Route) State() error {
	r.mu.Lock()
	running := r.started && !r.stopped
	r.mu.Unlock()
	if !running {
		return fmt.Errorf("%w: %s does not run", channel.ErrRouteDown, r.name)
	}
	var down []error
	for _, h := range r.hosts {
		err := h.state()
		if err == nil {
			return nil
		}
		down = append(down, err)
	}
	return fmt.Errorf("%w: %s: %w", channel.ErrRouteDown, r.name, errors.Join(down...))
}

// Acquire implements channel.Channel. Messages are served in order.
func (r *Route) Acquire(ctx context.Context, _ int) (func(), error) {
	if err := r.State(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.open, cancel)()
	if r.slots.Acquire(ctx, 1) != nil {
		if err := r.State(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("route %s: %w", r.name, channel.ErrRouteFull)
	}
	var once sync.Once
	return func() { once.Do(func() { r.slots.Release(1) }) }, nil
}

// Units implements channel.Channel: an e-mail is one unit.
func (r *Route) Units(d content.Document) (int, error) {
	if _, err := read(d); err != nil {
		return 0, refusal(err)
	}
	return 1, nil
}

func (r *Route) now() time.Time { return r.clock().UTC() }
