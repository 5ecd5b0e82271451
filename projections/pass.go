package projections

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"recapito/domain/event"
)

const (
	// gatherPatience is how long a pass that several lanes are asked to begin together
	// waits for the last of them: making tables takes unequally long.
	gatherPatience = 10 * time.Second
	// nearby is how far a lane may be ahead of a pass that it joins, in positions: it
	// stands still until the pass has come to it.
	nearby = 50_000
)

// passes read $all for lanes: those that are at about the same place share one
// subscription, so that each event is read and decoded once for all of them. Nobody
// waits for a lane that is far behind: that one reads for itself, and joins the others
// when it has caught up with them.
//
// Memory has a bound: a lane takes no more than it can hold (batcher), and a pass hands
// out an event to all its lanes before the next one. So a pass is as fast as its slowest
// lane; a lane that fails leaves it and comes back as one that is behind.
type passes struct {
	source Source

	mu       sync.Mutex
	expected int // lanes that the next pass waits for
	all      []*pass
	running  sync.WaitGroup
}

// pass is one subscription for its riders.
type pass struct {
	cancel   context.CancelFunc
	expected int
	complete chan struct{} // closed when as many riders as are expected are there
	// What follows is guarded by passes.mu. riders is replaced, never changed.
	riders   []*rider
	gathered bool
	started  bool
	next     event.Position // the least that it will hand out
	live     bool           // it has handed out all that there was
}

// rider is a lane on a pass.
type rider struct {
	next  event.Position // the least that it wants
	event func(event.Recorded, *memo) error
	// caughtUp: everything that was there has been handed over. It may be called at any
	// time and more than once.
	caughtUp func()

	mu    sync.Mutex // held while something is handed over
	left  bool
	ended chan error // one answer

	pass *pass // guarded by passes.mu
}

// expect says that so many lanes are about to subscribe together.
func (p *passes) expect(lanes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = lanes
}

// subscribe hands over what follows after, until ctx ends (nil), the receiver errs (its
// error) or the subscription is lost.
func (p *passes) subscribe(ctx context.Context, after *event.Position, receive func(event.Recorded, *memo) error, caughtUp func()) error {
	r := &rider{event: receive, caughtUp: caughtUp, ended: make(chan error, 1)}
	if after != nil {
		r.next = *after + 1
	}
	p.mu.Lock()
	late := p.seat(r)
	p.mu.Unlock()
	if late {
		r.caughtUp()
	}
	select {
	case err := <-r.ended:
		return err
	case <-ctx.Done():
	}
	p.leave(r)
	return nil
}

// wait until every pass has ended: each ends with its last rider.
func (p *passes) wait() { p.running.Wait() }

// seat puts a rider on a pass, and says whether that one has caught up already. The
// caller holds mu.
func (p *passes) seat(r *rider) (late bool) {
	for _, one := range p.all {
		if !one.started || r.next >= one.next && r.next-one.next <= nearby {
			one.board(r)
			return one.started && one.live
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &pass{cancel: cancel, expected: p.expected, complete: make(chan struct{})}
	p.expected = 0
	p.all = append(p.all, one)
	one.board(r)
	p.running.Go(func() { p.run(ctx, one) })
	return false
}

func (o *pass) board(r *rider) {
	r.pass = o
	o.riders = append(slices.Clone(o.riders), r)
	if !o.gathered && len(o.riders) >= o.expected {
		o.gathered = true
		close(o.complete)
	}
}

// leave lets nothing more be handed over to a rider.
func (p *passes) leave(r *rider) {
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.pass != nil {
		p.without(r)
	}
}

// without takes a rider off its pass, which ends with the last one. The caller holds mu.
func (p *passes) without(r *rider) {
	one := r.pass
	r.pass = nil
	one.riders = slices.DeleteFunc(slices.Clone(one.riders), func(o *rider) bool { return o == r })
	if len(one.riders) == 0 {
		p.remove(one)
	}
}

func (p *passes) remove(one *pass) {
	p.all = slices.DeleteFunc(p.all, func(o *pass) bool { return o == one })
	one.cancel()
}

// run gathers a pass's riders and follows $all for them.
func (p *passes) run(ctx context.Context, one *pass) {
	defer one.cancel()
	if !p.start(ctx, one) {
		return
	}
	sub := event.Subscription{Filter: ledgerFilter()}
	if one.next > 0 {
		after := one.next - 1
		sub.After = &after
	}
	err := p.source.Subscribe(ctx, sub, event.Handler{
		Event:    func(r event.Recorded) error { return p.handOut(one, r) },
		CaughtUp: func(event.Position) error { p.caughtUp(one); return nil },
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range one.riders {
		r.pass = nil
		r.end(err)
	}
	one.riders = nil
	p.remove(one)
}

// start waits for the riders expected and begins at the least place that one of them
// wants. Who is far ahead of that goes on another pass. It answers false if nobody is
// left.
func (p *passes) start(ctx context.Context, one *pass) bool {
	patience := time.NewTimer(gatherPatience)
	defer patience.Stop()
	select {
	case <-one.complete:
	case <-patience.C:
	case <-ctx.Done():
		return false
	}
	p.mu.Lock()
	if len(one.riders) == 0 {
		p.mu.Unlock()
		return false
	}
	one.started = true
	one.next = slices.MinFunc(one.riders, func(a, b *rider) int { return cmp.Compare(a.next, b.next) }).next
	var late []*rider
	for _, r := range one.riders {
		if r.next-one.next > nearby {
			one.riders = slices.DeleteFunc(slices.Clone(one.riders), func(o *rider) bool { return o == r })
			if p.seat(r) {
				late = append(late, r)
			}
		}
	}
	p.mu.Unlock()
	for _, r := range late {
		r.caughtUp()
	}
	return true
}

// handOut hands an event to every rider, one after the other, each taking its time.
func (p *passes) handOut(one *pass, r event.Recorded) error {
	p.mu.Lock()
	one.next = r.Position + 1
	riders := one.riders
	p.mu.Unlock()
	m := &memo{}
	for _, rider := range riders {
		if err := rider.hand(r, m); err != nil {
			p.mu.Lock()
			if rider.pass != nil {
				p.without(rider)
			}
			p.mu.Unlock()
			rider.end(err)
		}
	}
	p.mu.Lock()
	late := p.merge(one)
	empty := len(one.riders) == 0
	p.mu.Unlock()
	for _, rider := range late {
		rider.caughtUp()
	}
	if empty {
		return errEmpty
	}
	return nil
}

// errEmpty ends the subscription of a pass that nobody is on any more.
var errEmpty = errors.New("nobody follows")

// merge moves the riders of a pass that has caught up with another one to that one, and
// answers those that must be told that there is nothing more. The caller holds mu.
func (p *passes) merge(one *pass) (late []*rider) {
	for _, other := range p.all {
		if other == one || !other.started || one.next < other.next || one.next-other.next > nearby || len(one.riders) == 0 {
			continue
		}
		for _, r := range one.riders {
			r.next = max(r.next, one.next)
			other.board(r)
		}
		if other.live {
			late = one.riders
		}
		one.riders = nil
		p.remove(one)
		return late
	}
	return nil
}

func (p *passes) caughtUp(one *pass) {
	p.mu.Lock()
	one.live = true
	riders := one.riders
	p.mu.Unlock()
	for _, r := range riders {
		r.caughtUp()
	}
}

// hand gives a rider an event, unless it has it or is gone.
func (r *rider) hand(e event.Recorded, m *memo) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left || e.Position < r.next {
		return nil
	}
	if err := r.event(e, m); err != nil {
		r.left = true
		return err
	}
	r.next = e.Position + 1
	return nil
}

// end answers the rider's subscription, once.
func (r *rider) end(err error) {
	select {
	case r.ended <- err:
	default:
	}
}
