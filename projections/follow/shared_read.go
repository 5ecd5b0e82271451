package follow

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"recapito/domain/event"
	"recapito/projections"
)

const (
	// gatherPatience is how long a shared read waits for the last of the table writers that
	// are to begin together: making their tables takes unequally long.
	gatherPatience = 10 * time.Second
	// nearby is how far a table writer may be ahead of a shared read that it joins, in
	// positions: it receives nothing until the shared read reaches its position.
	nearby = 50_000
)

// sharedReads read $all for table writers. Writers at about the same place share one
// subscription, so that each event is read and decoded once for all of them. A writer that
// is far behind reads alone, and joins the others when it has caught up with them.
//
// Memory is bounded: a writer takes no more than fits into its batcher, and a shared read
// delivers an event to all its subscribers before the next one. So a shared read is as fast
// as its slowest writer. A writer that fails leaves it, and joins again as one that is
// behind.
type sharedReads struct {
	source Source

	mu       sync.Mutex
	expected int // table writers that the next shared read waits for
	all      []*sharedRead
	running  sync.WaitGroup
}

// sharedRead is one subscription to $all for several table writers.
type sharedRead struct {
	cancel   context.CancelFunc
	expected int
	complete chan struct{} // closed when as many have joined as are expected
	// The fields below are guarded by sharedReads.mu. subscribers is replaced, never changed.
	subscribers []*subscriber
	gathered    bool
	started     bool
	next        event.Position // the least position that it will deliver
	live        bool           // it has delivered all events of the past
}

// subscriber is a table writer's part in a shared read.
type subscriber struct {
	next  event.Position // the least position that it wants
	event func(event.Recorded, *projections.DecodedCache) error
	// caughtUp is called when all events of the past have been delivered, at any time and
	// more than once.
	caughtUp func()

	mu    sync.Mutex // held while an event is delivered
	left  bool
	ended chan error // holds one result

	sharedRead *sharedRead // guarded by sharedReads.mu
}

// expect makes the next shared read wait until so many table writers have subscribed.
func (p *sharedReads) expect(writers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = writers
}

// subscribe delivers the events that follow after, until ctx ends (nil), the receiver errs
// (its error) or the subscription is lost.
func (p *sharedReads) subscribe(ctx context.Context, after *event.Position, receive func(event.Recorded, *projections.DecodedCache) error, caughtUp func()) error {
	r := &subscriber{event: receive, caughtUp: caughtUp, ended: make(chan error, 1)}
	if after != nil {
		r.next = *after + 1
	}
	p.mu.Lock()
	late := p.join(r)
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

// wait returns when every shared read has ended: each ends with its last subscriber.
func (p *sharedReads) wait() { p.running.Wait() }

// join adds a subscriber to a shared read, and returns whether that one has caught up
// already. The caller holds mu.
func (p *sharedReads) join(r *subscriber) (late bool) {
	for _, one := range p.all {
		if !one.started || r.next >= one.next && r.next-one.next <= nearby {
			one.add(r)
			return one.started && one.live
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &sharedRead{cancel: cancel, expected: p.expected, complete: make(chan struct{})}
	p.expected = 0
	p.all = append(p.all, one)
	one.add(r)
	p.running.Go(func() { p.run(ctx, one) })
	return false
}

func (o *sharedRead) add(r *subscriber) {
	r.sharedRead = o
	o.subscribers = append(slices.Clone(o.subscribers), r)
	if !o.gathered && len(o.subscribers) >= o.expected {
		o.gathered = true
		close(o.complete)
	}
}

// leave ends the delivery to a subscriber.
func (p *sharedReads) leave(r *subscriber) {
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.sharedRead != nil {
		p.without(r)
	}
}

// without removes a subscriber from its shared read, which ends with the last one. The
// caller holds mu.
func (p *sharedReads) without(r *subscriber) {
	one := r.sharedRead
	r.sharedRead = nil
	one.subscribers = slices.DeleteFunc(slices.Clone(one.subscribers), func(o *subscriber) bool { return o == r })
	if len(one.subscribers) == 0 {
		p.remove(one)
	}
}

func (p *sharedReads) remove(one *sharedRead) {
	p.all = slices.DeleteFunc(p.all, func(o *sharedRead) bool { return o == one })
	one.cancel()
}

// run waits for the subscribers of a shared read and follows $all for them.
func (p *sharedReads) run(ctx context.Context, one *sharedRead) {
	defer one.cancel()
	if !p.start(ctx, one) {
		return
	}
	sub := event.Subscription{Filter: projections.LedgerFilter()}
	if one.next > 0 {
		after := one.next - 1
		sub.After = &after
	}
	err := p.source.Subscribe(ctx, sub, event.Handler{
		Event:    func(r event.Recorded) error { return p.deliverAll(one, r) },
		CaughtUp: func(event.Position) error { p.caughtUp(one); return nil },
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range one.subscribers {
		r.sharedRead = nil
		r.end(err)
	}
	one.subscribers = nil
	p.remove(one)
}

// start waits for the subscribers expected and begins at the least position that one of
// them wants. A subscriber far ahead of that joins another shared read. start returns false
// if no subscriber is left.
func (p *sharedReads) start(ctx context.Context, one *sharedRead) bool {
	patience := time.NewTimer(gatherPatience)
	defer patience.Stop()
	select {
	case <-one.complete:
	case <-patience.C:
	case <-ctx.Done():
		return false
	}
	p.mu.Lock()
	if len(one.subscribers) == 0 {
		p.mu.Unlock()
		return false
	}
	one.started = true
	one.next = slices.MinFunc(one.subscribers, func(a, b *subscriber) int { return cmp.Compare(a.next, b.next) }).next
	var late []*subscriber
	for _, r := range one.subscribers {
		if r.next-one.next > nearby {
			one.subscribers = slices.DeleteFunc(slices.Clone(one.subscribers), func(o *subscriber) bool { return o == r })
			if p.join(r) {
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

// deliverAll delivers an event to every subscriber, one after the other, and waits for each.
func (p *sharedReads) deliverAll(one *sharedRead, r event.Recorded) error {
	p.mu.Lock()
	one.next = r.Position + 1
	subscribers := one.subscribers
	p.mu.Unlock()
	m := &projections.DecodedCache{}
	for _, subscriber := range subscribers {
		if err := subscriber.deliver(r, m); err != nil {
			p.mu.Lock()
			if subscriber.sharedRead != nil {
				p.without(subscriber)
			}
			p.mu.Unlock()
			subscriber.end(err)
		}
	}
	p.mu.Lock()
	late := p.merge(one)
	empty := len(one.subscribers) == 0
	p.mu.Unlock()
	for _, subscriber := range late {
		subscriber.caughtUp()
	}
	if empty {
		return errEmpty
	}
	return nil
}

// errEmpty ends the subscription of a shared read without subscribers.
var errEmpty = errors.New("no subscriber is left")

// merge moves the subscribers of a shared read that has caught up with another one to that
// one, and returns those for which caughtUp must be called. The caller holds mu.
func (p *sharedReads) merge(one *sharedRead) (late []*subscriber) {
	for _, other := range p.all {
		if other == one || !other.started || one.next < other.next || one.next-other.next > nearby || len(one.subscribers) == 0 {
			continue
		}
		for _, r := range one.subscribers {
			r.next = max(r.next, one.next)
			other.add(r)
		}
		if other.live {
			late = one.subscribers
		}
		one.subscribers = nil
		p.remove(one)
		return late
	}
	return nil
}

func (p *sharedReads) caughtUp(one *sharedRead) {
	p.mu.Lock()
	one.live = true
	subscribers := one.subscribers
	p.mu.Unlock()
	for _, r := range subscribers {
		r.caughtUp()
	}
}

// deliver hands an event to a subscriber, unless it has the event or has left.
func (r *subscriber) deliver(e event.Recorded, m *projections.DecodedCache) error {
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

// end ends the subscriber's subscription, once.
func (r *subscriber) end(err error) {
	select {
	case r.ended <- err:
	default:
	}
}
