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
	// gatherPatience is how long a sharedRead that several writers are asked to begin together
	// waits for the last of them: making tables takes unequally long.
	gatherPatience = 10 * time.Second
	// nearby is how far a tableWriter may be ahead of a sharedRead that it joins, in positions: it
	// stands still until the sharedRead has come to it.
	nearby = 50_000
)

// sharedReads read $all for writers: those that are at about the same place share one
// subscription, so that each event is read and decoded once for all of them. Nobody
// waits for a tableWriter that is far behind: that one reads for itself, and joins the others
// when it has caught up with them.
//
// Memory has a bound: a tableWriter takes no more than it can hold (batcher), and a sharedRead hands
// out an event to all its writers before the next one. So a sharedRead is as fast as its slowest
// tableWriter; a tableWriter that fails leaves it and comes back as one that is behind.
type sharedReads struct {
	source Source

	mu       sync.Mutex
	expected int // writers that the next sharedRead waits for
	all      []*sharedRead
	running  sync.WaitGroup
}

// sharedRead is one subscription for its readers.
type sharedRead struct {
	cancel   context.CancelFunc
	expected int
	complete chan struct{} // closed when as many readers as are expected are there
	// What follows is guarded by sharedReads.mu. readers is replaced, never changed.
	readers  []*reader
	gathered bool
	started  bool
	next     event.Position // the least that it will hand out
	live     bool           // it has handed out all that there was
}

// reader is a tableWriter on a sharedRead.
type reader struct {
	next  event.Position // the least that it wants
	event func(event.Recorded, *projections.DecodedCache) error
	// caughtUp: everything that was there has been handed over. It may be called at any
	// time and more than once.
	caughtUp func()

	mu    sync.Mutex // held while something is handed over
	left  bool
	ended chan error // one answer

	sharedRead *sharedRead // guarded by sharedReads.mu
}

// expect says that so many writers are about to subscribe together.
func (p *sharedReads) expect(writers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = writers
}

// subscribe hands over what follows after, until ctx ends (nil), the receiver errs (its
// error) or the subscription is lost.
func (p *sharedReads) subscribe(ctx context.Context, after *event.Position, receive func(event.Recorded, *projections.DecodedCache) error, caughtUp func()) error {
	r := &reader{event: receive, caughtUp: caughtUp, ended: make(chan error, 1)}
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

// wait until every sharedRead has ended: each ends with its last reader.
func (p *sharedReads) wait() { p.running.Wait() }

// seat puts a reader on a sharedRead, and says whether that one has caught up already. The
// caller holds mu.
func (p *sharedReads) seat(r *reader) (late bool) {
	for _, one := range p.all {
		if !one.started || r.next >= one.next && r.next-one.next <= nearby {
			one.board(r)
			return one.started && one.live
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &sharedRead{cancel: cancel, expected: p.expected, complete: make(chan struct{})}
	p.expected = 0
	p.all = append(p.all, one)
	one.board(r)
	p.running.Go(func() { p.run(ctx, one) })
	return false
}

func (o *sharedRead) board(r *reader) {
	r.sharedRead = o
	o.readers = append(slices.Clone(o.readers), r)
	if !o.gathered && len(o.readers) >= o.expected {
		o.gathered = true
		close(o.complete)
	}
}

// leave lets nothing more be handed over to a reader.
func (p *sharedReads) leave(r *reader) {
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.sharedRead != nil {
		p.without(r)
	}
}

// without takes a reader off its sharedRead, which ends with the last one. The caller holds mu.
func (p *sharedReads) without(r *reader) {
	one := r.sharedRead
	r.sharedRead = nil
	one.readers = slices.DeleteFunc(slices.Clone(one.readers), func(o *reader) bool { return o == r })
	if len(one.readers) == 0 {
		p.remove(one)
	}
}

func (p *sharedReads) remove(one *sharedRead) {
	p.all = slices.DeleteFunc(p.all, func(o *sharedRead) bool { return o == one })
	one.cancel()
}

// run gathers a sharedRead's readers and follows $all for them.
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
		Event:    func(r event.Recorded) error { return p.handOut(one, r) },
		CaughtUp: func(event.Position) error { p.caughtUp(one); return nil },
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range one.readers {
		r.sharedRead = nil
		r.end(err)
	}
	one.readers = nil
	p.remove(one)
}

// start waits for the readers expected and begins at the least place that one of them
// wants. Who is far ahead of that goes on another sharedRead. It answers false if nobody is
// left.
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
	if len(one.readers) == 0 {
		p.mu.Unlock()
		return false
	}
	one.started = true
	one.next = slices.MinFunc(one.readers, func(a, b *reader) int { return cmp.Compare(a.next, b.next) }).next
	var late []*reader
	for _, r := range one.readers {
		if r.next-one.next > nearby {
			one.readers = slices.DeleteFunc(slices.Clone(one.readers), func(o *reader) bool { return o == r })
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

// handOut hands an event to every reader, one after the other, each taking its time.
func (p *sharedReads) handOut(one *sharedRead, r event.Recorded) error {
	p.mu.Lock()
	one.next = r.Position + 1
	readers := one.readers
	p.mu.Unlock()
	m := &projections.DecodedCache{}
	for _, reader := range readers {
		if err := reader.hand(r, m); err != nil {
			p.mu.Lock()
			if reader.sharedRead != nil {
				p.without(reader)
			}
			p.mu.Unlock()
			reader.end(err)
		}
	}
	p.mu.Lock()
	late := p.merge(one)
	empty := len(one.readers) == 0
	p.mu.Unlock()
	for _, reader := range late {
		reader.caughtUp()
	}
	if empty {
		return errEmpty
	}
	return nil
}

// errEmpty ends the subscription of a sharedRead that nobody is on any more.
var errEmpty = errors.New("nobody follows")

// merge moves the readers of a sharedRead that has caught up with another one to that one, and
// answers those that must be told that there is nothing more. The caller holds mu.
func (p *sharedReads) merge(one *sharedRead) (late []*reader) {
	for _, other := range p.all {
		if other == one || !other.started || one.next < other.next || one.next-other.next > nearby || len(one.readers) == 0 {
			continue
		}
		for _, r := range one.readers {
			r.next = max(r.next, one.next)
			other.board(r)
		}
		if other.live {
			late = one.readers
		}
		one.readers = nil
		p.remove(one)
		return late
	}
	return nil
}

func (p *sharedReads) caughtUp(one *sharedRead) {
	p.mu.Lock()
	one.live = true
	readers := one.readers
	p.mu.Unlock()
	for _, r := range readers {
		r.caughtUp()
	}
}

// hand gives a reader an event, unless it has it or is gone.
func (r *reader) hand(e event.Recorded, m *projections.DecodedCache) error {
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

// end answers the reader's subscription, once.
func (r *reader) end(err error) {
	select {
	case r.ended <- err:
	default:
	}
}
