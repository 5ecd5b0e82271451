package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"recapito/commands/channel"
	"recapito/commands/retry"
	"recapito/domain/content"
	"recapito/domain/event"
)

// Route is one route to an HTTP service. It implements channel.Route and channel.Callback.
type Route struct {
	o         channel.Options
	s         *Settings
	requests  *requests
	responses *responses
	callbacks *callbacks
	dialer    *dialer
	transport *http.Transport
	capacity  *capacity
	addr      string // host:port of the URL
	secured   bool
	running   atomic.Bool

	unreachable chan struct{} // a connection could not be made

	base   context.Context // of calls: it ends with the route
	stop   context.CancelFunc
	mu     sync.Mutex
	ended  bool
	calls  sync.WaitGroup
	lates  chan struct{} // one for each response that is waited for after Send returned
	counts counts
}

var (
	_ channel.Route    = (*Route)(nil)
	_ channel.Callback = (*Route)(nil)
)

// Open implements channel.Settings.
func (s *Settings) Open(o channel.Options) (channel.Route, error) { return s.OpenRoute(o) }

// OpenRoute is Open for callers that want the type. The route is down until Run is called.
func (s *Settings) OpenRoute(o channel.Options) (*Route, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("route %s: %w", o.Name, err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Receipts == nil {
		return nil, fmt.Errorf("route %s has no receipt sink", o.Name)
	}
	if s.Callback.Reply.Text != "" && o.Replies == nil {
		return nil, fmt.Errorf("route %s has no reply sink", o.Name)
	}
	own := *s
	r := &Route{o: o, s: &own, capacity: newCapacity(&own), unreachable: make(chan struct{}, 1), lates: make(chan struct{}, own.Connections)}
	r.requests, _ = compileRequest(r.s)
	if err := r.requests.open(); err != nil {
		return nil, fmt.Errorf("route %s: %w", o.Name, err)
	}
	r.responses = newResponses(r.s)
	var err error
	if r.callbacks, err = newCallbacks(r); err != nil {
		return nil, fmt.Errorf("route %s: callback.auth: %w", o.Name, err)
	}
	if r.dialer, err = newDialer(r.s); err != nil {
		return nil, fmt.Errorf("route %s: %w", o.Name, err)
	}
	r.transport = r.dialer.transport(r.s)
	u, err := url.Parse(r.requests.authority)
	if err != nil {
		return nil, fmt.Errorf("route %s: url: %w", o.Name, err)
	}
	r.secured = u.Scheme == "https"
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[r.secured]
	}
	r.addr = net.JoinHostPort(u.Hostname(), port)
	r.base, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Run connects once, and again whenever a connection could not be made, until ctx ends.
// Then it takes no more messages, waits at most drain_timeout for responses, and closes
// the connections. It is called once; its only error is being called again.
func (r *Route) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("route %s runs already", r.o.Name)
	}
	policy := retry.Policy{First: 250 * time.Millisecond, Most: 10 * time.Second}
	log := retry.NewLog(r.o.Log, "rest: connecting", "route", r.o.Name)
	for ctx.Err() == nil {
		if policy.Do(ctx, log, r.connect) != nil {
			break
		}
		r.capacity.set(nil)
		select {
		case <-r.unreachable:
		case <-ctx.Done():
		}
	}
	r.capacity.set(errors.New("stopped"))
	drain, cancel := context.WithTimeout(context.Background(), r.s.DrainTimeout)
	r.capacity.drain(drain, r.s.Connections)
	cancel()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.stop()
	r.transport.CloseIdleConnections()
	r.calls.Wait()
	return nil
}

// connect makes a connection and closes it.
func (r *Route) connect(ctx context.Context) error {
	c, err := r.dialer.dial(ctx, "tcp", r.addr, r.secured)
	if err != nil {
		if ctx.Err() == nil {
			r.capacity.set(err)
		}
		return err
	}
	c.Close()
	return nil
}

// down records that a connection could not be made; Run tries again.
func (r *Route) down(err error) {
	r.capacity.set(err)
	select {
	case r.unreachable <- struct{}{}:
	default:
	}
}

// State implements channel.Route.
func (r *Route) State() error {
	if err := r.capacity.state(); err != nil {
		return fmt.Errorf("%w: %s: %w", channel.ErrRouteDown, r.o.Name, err)
	}
	return nil
}

// Acquire implements channel.Channel. A message is one unit.
func (r *Route) Acquire(ctx context.Context, _ int) (release func(), err error) {
	return r.capacity.acquire(ctx)
}

// Units implements channel.Channel: a call is one unit. What a body may be was checked
// when the document was made.
func (r *Route) Units(d content.Document) (int, error) {
	if d.Type != content.REST.Name {
		return 0, &event.Rule{Code: "wrong_content", Message: "the channel rest takes content of its own kind"}
	}
	return 1, nil
}

// begin counts a call; it is false once the route has ended.
func (r *Route) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.calls.Add(1)
	return true
}

func (r *Route) now() time.Time { return r.o.Now().UTC() }
