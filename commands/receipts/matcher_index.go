package receipts

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Limits of the index. While an attempt could not be taken in, nothing is fitted, since
// it might be the one that fits too. A receipt that could not be held stays kept on its own
// stream, and is looked at again when a submission of its id is registered.
const (
	matcherMaxAttempts = 1_000_000
	matcherMaxReceipts = 100_000
)

// index holds the attempts that were dispatched and have no registered submission, by
// the token of their destination, and the receipts that wait for one of them. It is not
// safe for concurrent use.
type index struct {
	log      *slog.Logger
	attempts map[attemptKey]*openAttempt
	byToken  map[tokenKey][]attemptKey
	held     map[string]*heldReceipt // by receipt id
	blind    time.Time               // an attempt dispatched then was not taken in
	limit    int                     // matcherMaxAttempts, but in tests
}

type attemptKey struct {
	notification string
	attempt      int
}

type tokenKey struct{ route, key, token string }

type openAttempt struct {
	tenant       string
	token        tokenKey
	sender       string
	dispatchedAt time.Time
	units        int
	position     event.Position
	stage        stage
	registered   map[int]bool // units that were accepted under an id: whether their submission is registered
	waiting      []string     // receipts that it stands in the way of
}

// stage is what is known of an open attempt.
type stage uint8

const (
	onWire   stage = iota // its outcome may still bring ids
	idsKnown              // its ids are known and will be registered
	unknown               // no id of it is known or will be: its outcome is unknown, or the provider gave none
	settled               // as unknown, but its outcome is known by other means, such as a receipt
)

type heldReceipt struct {
	look       Look
	receivedAt time.Time
	behind     []attemptKey
}

func newIndex(log *slog.Logger) *index {
	return &index{
		log: log, attempts: map[attemptKey]*openAttempt{}, byToken: map[tokenKey][]attemptKey{},
		held: map[string]*heldReceipt{}, limit: matcherMaxAttempts,
	}
}

func (x *index) dispatched(p event.Position, tenant, id string, e notification.NotificationDispatched) {
	k := attemptKey{id, e.Attempt}
	if x.attempts[k] != nil {
		return
	}
	if len(x.attempts) >= x.limit && x.blind.Before(e.At.Add(-matcherSaveEvery)) {
		x.forgetOlder(e.At) // it walks over all of them: not for each
	}
	if len(x.attempts) >= x.limit {
		if x.blind.IsZero() {
			x.log.Error("matcher: too many attempts without an answer; no receipt is fitted until they are settled and their window is over", "limit", x.limit)
		}
		x.blind = e.At
		return
	}
	t := tokenKey{e.Route, e.TokenKey, e.Token}
	x.attempts[k] = &openAttempt{tenant: tenant, token: t, sender: e.Sender, dispatchedAt: e.At, units: e.Units, position: p}
	x.byToken[t] = append(x.byToken[t], k)
}

// answered records an attempt's outcome: the ids that will be registered, or that there are none.
func (x *index) answered(k attemptKey, taken []notification.Accepted) []Look {
	a := x.attempts[k]
	if a == nil {
		return nil
	}
	for _, unit := range taken {
		if unit.ProviderID == "" {
			continue // nothing can be registered under it
		}
		if a.registered == nil {
			a.registered = map[int]bool{}
		}
		if _, known := a.registered[unit.Unit]; !known { // an outcome may come twice
			a.registered[unit.Unit] = false
		}
	}
	switch {
	case len(a.registered) > 0:
		a.stage = idsKnown
		return x.registeredAll(k, a)
	case a.stage != settled:
		a.stage = unknown
	}
	return x.again(a)
}

// reported records that an attempt's outcome is known, and that no id of it will be.
func (x *index) reported(k attemptKey) []Look {
	a := x.attempts[k]
	if a == nil || a.stage == idsKnown {
		return nil
	}
	a.stage = settled
	return x.again(a)
}

// registered records that a unit's submission is registered.
func (x *index) registered(k attemptKey, unit int) []Look {
	a := x.attempts[k]
	if a == nil {
		return nil
	}
	if a.registered == nil {
		a.registered = map[int]bool{}
	}
	a.registered[unit] = true
	return x.registeredAll(k, a)
}

// registeredAll drops an attempt once every unit whose id is known is registered.
func (x *index) registeredAll(k attemptKey, a *openAttempt) []Look {
	for _, registered := range a.registered {
		if !registered {
			return nil
		}
	}
	return x.forget(k)
}

// forget drops an attempt: a receipt that it stood in the way of may be decided now.
func (x *index) forget(k attemptKey) []Look {
	a := x.attempts[k]
	if a == nil {
		return nil
	}
	delete(x.attempts, k)
	x.byToken[a.token] = slices.DeleteFunc(x.byToken[a.token], func(o attemptKey) bool { return o == k })
	if len(x.byToken[a.token]) == 0 {
		delete(x.byToken, a.token)
	}
	return x.again(a)
}

// again returns the receipts that waited for an attempt.
func (x *index) again(a *openAttempt) []Look {
	var looks []Look
	for _, id := range a.waiting {
		if h := x.held[id]; h != nil {
			looks = append(looks, h.look)
		}
	}
	return looks
}

// candidates are the attempts that may be a receipt's and have no registered submission.
type candidates struct {
	all         []attemptKey
	registering *attemptKey // one that may still register: the one dispatched last
	sameSender  []attemptKey
	attempts    map[attemptKey]*openAttempt
	blind       bool
}

func (x *index) candidates(r receipt.Receipt, window time.Duration) candidates {
	c := candidates{attempts: x.attempts, blind: r.ReceivedAt.Sub(x.blind) <= receipt.Window}
	var last time.Time
	for _, t := range r.Tokens {
		for _, k := range x.byToken[tokenKey{r.Route, t.Key, t.Token}] {
			a := x.attempts[k]
			if wait := r.ReceivedAt.Sub(a.dispatchedAt); wait < 0 || wait > window {
				continue
			}
			c.all = append(c.all, k)
			if sameSender(r.Sender, a.sender) {
				c.sameSender = append(c.sameSender, k)
			}
			if (a.stage == onWire || a.stage == idsKnown) && !a.dispatchedAt.Before(last) {
				last, c.registering = a.dispatchedAt, &k
			}
		}
	}
	return c
}

// fits returns the attempt that a receipt fits, if it fits exactly one and the outcome of
// that one is unknown.
func (c candidates) fits() (attemptKey, *openAttempt) {
	if c.blind || len(c.sameSender) != 1 {
		return attemptKey{}, nil
	}
	k := c.sameSender[0]
	if a := c.attempts[k]; a.stage == unknown && a.units == 1 {
		return k, a
	}
	return attemptKey{}, nil
}

// hold keeps a receipt until one of the attempts that stand in its way is settled; with
// none it is released.
func (x *index) hold(l Look, r receipt.Receipt, c candidates) {
	behind := c.all
	if c.registering != nil { // until then the others do not matter
		behind = []attemptKey{*c.registering}
	}
	x.release(r.ID)
	if len(behind) == 0 {
		return
	}
	if len(x.held) >= matcherMaxReceipts {
		x.log.Error("matcher: too many receipts wait for an attempt; this one stays kept on its stream", "limit", matcherMaxReceipts)
		return
	}
	x.held[r.ID] = &heldReceipt{look: l, receivedAt: r.ReceivedAt, behind: behind}
	for _, k := range behind {
		x.attempts[k].waiting = append(x.attempts[k].waiting, r.ID)
	}
}

// release drops a receipt that waits for nothing any more.
func (x *index) release(id string) {
	h := x.held[id]
	if h == nil {
		return
	}
	delete(x.held, id)
	for _, k := range h.behind {
		if a := x.attempts[k]; a != nil {
			a.waiting = slices.DeleteFunc(a.waiting, func(o string) bool { return o == id })
		}
	}
}

// horizon is the position before which nothing is open.
func (x *index) horizon(seen event.Position, now time.Time) event.Position {
	x.forgetOlder(now)
	for _, a := range x.attempts {
		seen = min(seen, a.position-1)
	}
	for _, h := range x.held {
		seen = min(seen, h.look.Position-1)
	}
	return seen
}

// forgetOlder drops what is past its orphan window.
func (x *index) forgetOlder(now time.Time) {
	for k, a := range x.attempts {
		if now.Sub(a.dispatchedAt) > receipt.Window {
			x.forget(k)
		}
	}
	for id, h := range x.held {
		if now.Sub(h.receivedAt) > receipt.Window {
			x.release(id)
		}
	}
}

// sameSender compares senders as far as both are known; providers give numbers back
// without the plus.
func sameSender(a, b string) bool {
	return a == "" || b == "" || strings.TrimPrefix(a, "+") == strings.TrimPrefix(b, "+")
}
