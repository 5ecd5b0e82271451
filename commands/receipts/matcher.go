package receipts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"recapito/commands"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// Matcher decides what each receipt is about, by the rule of domain/receipt. The rule
// needs one thing that the receipt's own stream does not hold: which attempts to the
// same destination have no registered submission yet. The matcher follows $all and keeps
// an index of them, and looks at a receipt once it has passed the receipt's own position:
//
//   - While such an attempt may still register, the receipt waits for it.
//   - When none may, MatchReceipt is issued. It carries how many there are, and which one
//     the receipt fits if that is the only one and its outcome is unknown: route, sender,
//     destination token and time. (An attempt of several units is never fitted: a receipt
//     does not name the unit.)
//   - A receipt is looked at again when a submission of its id is registered, or when an
//     attempt that stood in its way is settled.
//
// Memory holds only what is open: attempts on the wire without a registered submission,
// and the receipts that such an attempt stands in the way of, within the orphan window.
// Both are bounded (see index).
//
// Not promised: exactly one decision. Two matchers at once decide the same twice, and the
// receipt's stream takes it once.
type Matcher struct {
	// Lease, if it is set before Run, lets one of several instances match.
	Lease commands.Lease

	c         Config
	unmatched *unmatched

	mu      sync.Mutex
	index   *index
	live    bool
	pending map[string]Look // while it catches up, by receipt id: not known to be matched
	reused  map[string]bool // routes whose ids come back
}

// Look is a receipt to be decided, asked for by the event at a position.
type Look struct {
	Stream    string
	ReceiptID string
	Revision  event.Revision // of Stream, to which the receipt is known to be there
	Position  event.Position
}

// NewMatcher makes a matcher that knows nothing yet: give it $all from
// where its horizon was.
func NewMatcher(c Config) *Matcher {
	return &Matcher{
		c: c, unmatched: newUnmatched(c.Ledger.Now),
		index: newIndex(c.Log), pending: map[string]Look{}, reused: map[string]bool{},
	}
}

// Filter is what the matcher must be given of $all, in order.
func (m *Matcher) Filter() event.Filter {
	return event.Filter{
		StreamPrefixes: []string{notification.StreamPrefix, receipt.StreamPrefix},
		Types: []string{
			"NotificationDispatched", "NotificationSent", "NotificationOutcomeUnknown", "NotificationUndelivered",
			"NotificationDelivered", "NotificationRead", "SubmissionRegistered", "ProviderIDReused", "ReceiptRecorded", "ReceiptMatched",
		},
	}
}

// Observe takes the next event of $all and returns the receipts to be looked at now.
func (m *Matcher) Observe(ctx context.Context, r event.Recorded) ([]Look, error) {
	decoded, err := m.c.Ledger.Codec.Decode(ctx, nil, "", r)
	if err != nil {
		return nil, fmt.Errorf("decoding the event at position %d: %w", r.Position, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e := decoded.(type) {
	case notification.NotificationDispatched:
		md, err := event.MetadataOf(r)
		if err != nil {
			return nil, err
		}
		m.index.dispatched(r.Position, md.Tenant, notificationOf(r), e)
	case notification.NotificationSent:
		return m.index.answered(attemptKey{notificationOf(r), e.Attempt}, e.Accepted), nil
	case notification.NotificationOutcomeUnknown:
		return m.index.answered(attemptKey{notificationOf(r), e.Attempt}, e.Accepted), nil
	case notification.NotificationUndelivered:
		k := attemptKey{notificationOf(r), e.Attempt}
		switch {
		case e.ReceiptID != "" || e.Why == notification.UndeliveredByReceipt:
			return m.index.reported(k), nil
		case len(e.Accepted) > 0:
			return m.index.answered(k, e.Accepted), nil
		case e.Lost > 0: // the provider may have a unit of it
			return m.index.reported(k), nil
		}
		return m.index.forget(k), nil // refused, or never sent
	case notification.AttemptEvent: // Delivered, Read
		return m.index.reported(attemptKey{notificationOf(r), e.AttemptFacts().Attempt}), nil
	case receipt.SubmissionRegistered:
		looks := m.index.registered(attemptKey{e.Notification, e.Attempt}, e.Unit)
		for _, id := range e.Waiting {
			looks = m.lookAt(looks, r, id)
		}
		return looks, nil
	case receipt.ProviderIDReused:
		if !m.reused[e.Route] {
			m.reused[e.Route] = true
			m.c.Log.Warn("a provider gave an id again; from now on this route's receipts need the address of their message", "route", e.Route)
		}
	case receipt.ReceiptRecorded:
		m.unmatched.recorded(r.Position, e.ID, e.Route)
		if e.Notification == "" { // else it is matched in the same append
			return m.lookAt(nil, r, e.ID), nil
		}
	case receipt.ReceiptMatched:
		delete(m.pending, e.ReceiptID)
		m.index.release(e.ReceiptID)
		m.unmatched.matched(e.ReceiptID)
	}
	return nil, nil
}

func notificationOf(r event.Recorded) string { return r.Stream[len(notification.StreamPrefix):] }

// lookAt adds a receipt to those to be looked at: now, or while the matcher catches up,
// when it has. What was matched before needs no look then.
func (m *Matcher) lookAt(looks []Look, r event.Recorded, receiptID string) []Look {
	l := Look{Stream: r.Stream, ReceiptID: receiptID, Revision: r.Revision, Position: r.Position}
	if !m.live && len(m.pending) < matcherMaxReceipts {
		m.pending[receiptID] = l
		return looks
	}
	if slices.ContainsFunc(looks, func(o Look) bool { return o.ReceiptID == receiptID }) {
		return looks
	}
	return append(looks, l)
}

// CaughtUp reports that everything durable was observed, and returns the receipts to be
// looked at now.
func (m *Matcher) CaughtUp() []Look {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live = true
	looks := make([]Look, 0, len(m.pending))
	for _, l := range m.pending {
		looks = append(looks, l)
	}
	clear(m.pending)
	slices.SortFunc(looks, func(a, b Look) int { return cmp.Compare(a.Position, b.Position) })
	return looks
}

// Horizon is the position before which nothing is open, given that everything up to
// seen was observed and looked at: a later matcher may begin there, if it knows which
// routes' ids come back.
func (m *Matcher) Horizon(seen event.Position) event.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.pending {
		seen = min(seen, l.Position-1)
	}
	return m.index.horizon(seen, m.c.Ledger.Now())
}

// Reused returns the routes whose ids come back, sorted; a later matcher must know them.
func (m *Matcher) Reused() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	routes := make([]string, 0, len(m.reused))
	for route := range m.reused {
		routes = append(routes, route)
	}
	slices.Sort(routes)
	return routes
}

// Knows records the routes whose ids were found to come back before the horizon.
func (m *Matcher) Knows(reused []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, route := range reused {
		m.reused[route] = true
	}
}

// Match decides a receipt, or leaves it waiting for an attempt.
func (m *Matcher) Match(ctx context.Context, l Look) error {
	loaded, err := m.c.Receipts.LoadAt(ctx, l.Stream, l.Revision)
	if err != nil {
		return fmt.Errorf("matching a receipt: %w", err)
	}
	r, found := loaded.State.Receipt(l.ReceiptID)
	if !found || !loaded.State.Undecided(l.ReceiptID) {
		return nil
	}
	command, decide := m.judge(l, r)
	if !decide {
		m.unmatched.left(r.ID, reasonWaits)
		return nil
	}
	about, reason := loaded.State.About(command)
	m.unmatched.left(r.ID, reason)
	o := commands.Origin{Tenant: tenant.System, Actor: commands.ActorMatcher, Correlation: about.Notification}
	if about.Tenant != "" {
		o.Tenant = about.Tenant
	}
	if _, err := m.c.Receipts.Handle(ctx, o, l.Stream, command); err != nil {
		return fmt.Errorf("matching a receipt: %w", err)
	}
	return nil
}

// judge looks for the attempts that may be the receipt's and are not registered. If one
// may still register, the receipt is held until that attempt is settled.
func (m *Matcher) judge(l Look, r receipt.Receipt) (c receipt.MatchReceipt, decide bool) {
	window := receipt.Window
	if route, ok := m.c.Routes.Named(r.Route); ok {
		window = route.Window() + route.Early()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.index.candidates(r, window)
	m.index.hold(l, r, found)
	if found.registering != nil {
		return c, false
	}
	c = receipt.MatchReceipt{
		ReceiptID: r.ID, Unregistered: len(found.all), Reused: m.reused[r.Route], At: m.c.Ledger.Now(),
	}
	if k, a := found.fits(); a != nil {
		c.Unknown = &receipt.Attempt{Tenant: a.tenant, Notification: k.notification, Attempt: k.attempt, Unit: 1}
	}
	return c, true
}
