package smpp

import (
	"sync"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"

	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/domain/notification"
)

// flight is one message on the wire: what is known of each part, during Send and,
// if answers are missing then, for a while after it.
type flight struct {
	route *Route
	late  func(channel.Outcome)
	// changed has a token when a part was answered.
	changed chan struct{}

	mu      sync.Mutex
	parts   []notification.UnitOutcome
	flying  map[int]onWire // parts without an answer
	returns bool           // Send has returned with parts unknown
	news    bool           // an answer came since
	told    bool           // late was called, or will not be
}

// onWire is a part without an answer, and how to let go of it.
type onWire struct {
	session *wire.Session
	seq     uint32
	slot    chan struct{} // nil once it was given back
}

func newFlight(r *Route, parts int, late func(channel.Outcome)) *flight {
	return &flight{
		route: r, late: late,
		changed: make(chan struct{}, 1),
		parts:   make([]notification.UnitOutcome, parts),
		flying:  make(map[int]onWire, parts),
	}
}

// begin reports that a part is about to go on the wire in that slot of the window.
func (f *flight) begin(i int, b *bind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flying[i] = onWire{session: b.session, slot: b.slots}
}

// began tells the part's number on the wire, if it is still without an answer.
func (f *flight) began(i int, seq uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w, ok := f.flying[i]; ok {
		w.seq = seq
		f.flying[i] = w
	}
}

// notSent takes begin back: nothing went out.
func (f *flight) notSent(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.land(i)
	f.parts[i] = notification.UnitOutcome{At: f.route.now()}
}

// land gives the part's slot back. False: it has landed before. The caller holds the lock.
func (f *flight) land(i int) bool {
	w, ok := f.flying[i]
	if !ok {
		return false
	}
	if w.slot != nil {
		<-w.slot
	}
	delete(f.flying, i)
	return true
}

// answered takes a part's answer, or what ended the session.
func (f *flight) answered(i int, a wire.Frame, err error) {
	now := f.route.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.land(i) {
		return
	}
	f.parts[i] = f.route.judge(a, err, now)
	if !f.returns {
		select {
		case f.changed <- struct{}{}:
		default:
		}
		return
	}
	f.news = f.news || err == nil
	if len(f.flying) == 0 {
		f.tell()
	}
}

// tell hands over what came late, if anything did, once. The caller holds the lock.
func (f *flight) tell() {
	f.route.late.remove(f)
	if f.told {
		return
	}
	f.told = true
	if f.news {
		out := f.outcome()
		f.route.late.deliver(func() { f.late(out) })
	} else {
		f.route.late.drop()
	}
}

// leave ends Send: what has no answer is unknown. If someone wants it, it is
// remembered, and answers that still come are told.
func (f *flight) leave() channel.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, w := range f.flying {
		f.parts[i] = notification.UnitOutcome{Fate: notification.UnitLost, At: f.route.now()}
		<-w.slot
		w.slot = nil
		f.flying[i] = w
	}
	f.returns = true
	if len(f.flying) > 0 && (f.late == nil || !f.route.late.add(f)) {
		f.told = true
		f.forget()
	}
	return f.outcome()
}

// expire gives up waiting for the answers that have not come.
func (f *flight) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget()
	f.tell()
}

func (f *flight) forget() {
	for i, w := range f.flying {
		w.session.Forget(w.seq)
		delete(f.flying, i)
	}
}

// outcome is a copy. The caller holds the lock.
func (f *flight) outcome() channel.Outcome {
	return channel.Outcome{Units: append([]notification.UnitOutcome(nil), f.parts...)}
}

// state tells how many parts are without an answer, and whether every one of the
// first that has one was accepted.
func (f *flight) state(first int) (open int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok = true
	for i := range first {
		if _, flying := f.flying[i]; !flying && f.parts[i].Fate != notification.UnitAccepted {
			ok = false
		}
	}
	return len(f.flying), ok
}

// judge turns an answer into the fate of a part, and minds what it says of the route.
func (r *Route) judge(a wire.Frame, err error, now time.Time) notification.UnitOutcome {
	switch {
	case err != nil:
		return notification.UnitOutcome{Fate: notification.UnitLost, At: now}
	case a.ID == pdu.SubmitSMRespID && a.Status == wire.StatusOK:
		r.capacity.accepted()
		return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: a.MessageID(), At: now}
	}
	c, _ := codes.Lookup(wire.StatusCode(a.Status))
	busy := c.Class == channel.Busy
	if busy {
		r.capacity.throttled()
	}
	return notification.UnitOutcome{
		Fate: notification.UnitRefused, Code: c.Code, Transient: busy || c.Class == channel.Transient, Busy: busy, At: now,
	}
}
