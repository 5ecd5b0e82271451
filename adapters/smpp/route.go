package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"

	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/commands/retry"
)

const (
	interfaceVersion = 0x34
	// maxReference is the longest reference sent along, in bytes.
	maxReference = 255
	// steady is how long a bind must have lived for the next rebind to come soon.
	steady = 10 * time.Second
	// unbindTimeout is how long the answer to our unbind is waited for.
	unbindTimeout = time.Second
)

// Route is one route to an SMSC over one or more binds. It implements channel.Channel.
type Route struct {
	o        RouteOptions
	capacity *capacity
	late     *lateTable
	running  atomic.Bool

	mu    sync.Mutex
	binds []*bind
	err   error // why there is none
}

var _ channel.Channel = (*Route)(nil)

// bind is one bound session: the slots of its window, and of the receipts in hand.
type bind struct {
	session  *wire.Session
	slots    chan struct{}
	receipts chan struct{}
}

// NewRoute checks the options. The route is down until Run binds it.
func NewRoute(o RouteOptions) (*Route, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Route{
		o:        o,
		capacity: &capacity{window: o.Window, pauses: retry.Policy{First: o.ThrottleMin, Most: o.ThrottleMax}.Waits(nil)},
		late:     newLateTable(o.LateLimit, o.LateTTL),
		err:      errors.New("not started"),
	}
	return r, nil
}

// State is nil while the route has a bind, else it wraps channel.ErrRouteDown and
// gives the reason.
func (r *Route) State() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.binds) > 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", channel.ErrRouteDown, r.o.Name, r.err)
}

// Run keeps the route bound until ctx ends; then it takes no more messages, waits at
// most DrainTimeout for responses and receipts in hand, and unbinds. It may be called
// once. Its only error is being called again.
func (r *Route) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("route %s runs already", r.o.Name)
	}
	lateCtx, stopLate := context.WithCancel(context.Background())
	var late, binds sync.WaitGroup
	late.Go(func() { r.late.run(lateCtx) })
	defer func() { stopLate(); late.Wait() }()

	stop := context.AfterFunc(ctx, r.capacity.close)
	defer stop()
	for range r.o.Binds {
		binds.Go(func() { r.keepBound(ctx) })
	}
	binds.Wait()
	return nil
}

// keepBound binds, and binds again after each loss, waiting longer each time.
func (r *Route) keepBound(ctx context.Context) {
	rebinding := retry.Policy{First: r.o.RebindMin, Most: r.o.RebindMax, Steady: steady}
	log := retry.NewLog(r.o.Logger, "smpp: a bind", "route", r.o.Name)
	_ = rebinding.Keep(ctx, log, func(ctx context.Context, _ func()) error {
		bound, err := r.serve(ctx)
		r.down(err)
		if bound {
			return fmt.Errorf("lost: %w", err)
		}
		return err
	})
	r.down(errors.New("stopped"))
}

// down notes why a bind is missing.
func (r *Route) down(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// serve holds one bind until it is lost or ctx ends, and tells whether there was one.
func (r *Route) serve(ctx context.Context) (bound bool, err error) {
	conn, err := r.dial(ctx)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	b := &bind{slots: make(chan struct{}, r.o.Window), receipts: make(chan struct{}, r.o.ReceiptLimit)}
	sinkCtx, stopSink := context.WithCancel(context.WithoutCancel(ctx))
	var receipts sync.WaitGroup
	b.session = wire.NewSession(wire.Config{
		Conn:          conn,
		IdleTimeout:   r.o.KeepAlive + 2*r.o.ResponseTimeout,
		WriteTimeout:  r.o.WriteTimeout,
		KeepAlive:     r.o.KeepAlive,
		AnswerTimeout: r.o.ResponseTimeout,
		Handle: func(s *wire.Session, f wire.Frame) bool {
			return r.handle(sinkCtx, &receipts, b, f)
		},
	})
	ended := make(chan error, 1)
	go func() { ended <- b.session.Run() }()

	err = r.bind(ctx, b)
	bound = err == nil
	if bound {
		r.up(b)
		select {
		case <-b.session.Done():
			r.gone(b)
		case <-ctx.Done():
			r.gone(b)
			r.drain(b)
		}
	}
	b.session.Close(err)
	cause := <-ended // the reader calls handle: only now no more receipts begin
	stopSink()
	receipts.Wait()
	return bound, cause
}

func (r *Route) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.ConnectTimeout)
	defer cancel()
	if r.o.TLS != nil {
		return (&tls.Dialer{Config: r.o.TLS}).DialContext(ctx, "tcp", r.o.Addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.o.Addr)
}

// bind makes the session a transceiver.
func (r *Route) bind(ctx context.Context, b *bind) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.ResponseTimeout)
	defer cancel()
	p := pdu.NewBindTransceiver()
	err := errors.Join(
		p.Fields().Set(pdufield.SystemID, r.o.SystemID),
		p.Fields().Set(pdufield.Password, r.o.Password),
		p.Fields().Set(pdufield.SystemType, r.o.SystemType),
		p.Fields().Set(pdufield.InterfaceVersion, interfaceVersion),
	)
	if err != nil {
		return fmt.Errorf("set the fields of a bind: %w", err)
	}
	a, err := b.session.Ask(ctx, p)
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if a.Status != wire.StatusOK || a.ID != pdu.BindTransceiverRespID {
		return fmt.Errorf("bind refused: %s", wire.StatusCode(a.Status))
	}
	return nil
}

func (r *Route) up(b *bind) {
	r.mu.Lock()
	r.binds = append(r.binds, b)
	r.capacity.bound() // under the lock: who sees the bind finds its capacity
	r.mu.Unlock()
	r.o.Logger.Info("bound", "route", r.o.Name)
}

func (r *Route) gone(b *bind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range r.binds {
		if o == b {
			r.binds = append(r.binds[:i:i], r.binds[i+1:]...)
			break
		}
	}
	r.capacity.lost()
}

// pick is the bind with most room, nil if there is none.
func (r *Route) pick() *bind {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *bind
	for _, b := range r.binds {
		if best == nil || len(b.slots) < len(best.slots) {
			best = b
		}
	}
	return best
}

// drain waits for the answers and receipts in hand, and unbinds.
func (r *Route) drain(b *bind) {
	deadline, cancel := context.WithTimeout(context.Background(), r.o.DrainTimeout)
	defer cancel()
	fill(deadline, b.slots)
	fill(deadline, b.receipts)
	ctx, cancel := context.WithTimeout(context.Background(), unbindTimeout)
	defer cancel()
	_, _ = b.session.Ask(ctx, pdu.NewUnbind())
}

// fill takes every slot: when it has them, nothing is in hand.
func fill(ctx context.Context, slots chan struct{}) {
	for range cap(slots) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Route) now() time.Time { return r.o.Now().UTC() }
