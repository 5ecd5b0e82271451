package receipts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"recapito/commands"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Limits of the matcher: what it knows is bounded. While an attempt could not be taken
// in, nothing is fitted, since it might be the one that fits too; a receipt that could
// not stays kept on its own stream.
const (
	matcherMaxAttempts = 1_000_000
	matcherMaxReceipts = 100_000
)

// Matcher confirms an unknown outcome by a receipt that matches nothing, if route,
// sender, destination token and time fit exactly one among all attempts dispatched by
// then that were not refused and have no registered submission, and that one is
// unknown. It follows $all; a receipt is looked at once the matcher has passed the
// receipt's own position, and again whenever what it may fit has changed.
//
// It keeps in memory only what is open: attempts on the wire without a registered
// submission, and receipts without a match, within the orphan window. Attempts of
// several units are not fitted: a receipt does not name which unit it is of.
type Matcher struct {
	// Lease, if it is set before Run, lets one of several instances match.
	Lease commands.Lease

	c Config

	mu       sync.Mutex
	attempts map[attemptKey]*openAttempt
	byToken  map[tokenKey][]attemptKey
	receipts map[string]*openReceipt // by receipt id
	waiting  map[tokenKey][]string   // receipt ids
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
	unknown      bool
	units        int
	position     event.Position
}

type openReceipt struct {
	receipt.Receipt
	stream   string
	position event.Position
}

// NewMatcher makes a matcher that knows nothing yet: give it $all from
// where its horizon was.
func NewMatcher(c Config) *Matcher {
	return &Matcher{
		c: c, attempts: map[attemptKey]*openAttempt{}, byToken: map[tokenKey][]attemptKey{},
		receipts: map[string]*openReceipt{}, waiting: map[tokenKey][]string{}, limit: matcherMaxAttempts,
	}
}

// Filter is what the matcher must be given of $all, in order.
func (m *Matcher) Filter() event.Filter {
	return event.Filter{
		StreamPrefixes: []string{notification.StreamPrefix, receipt.StreamPrefix},
		Types: []string{
			"NotificationDispatched", "NotificationSent", "NotificationOutcomeUnknown", "NotificationUndelivered",
			"NotificationDelivered", "NotificationRead", "SubmissionRegistered", "ReceiptRecorded", "ReceiptMatched",
		},
	}
}

// Observe takes the next event of $all and returns the fits that it leads to.
func (m *Matcher) Observe(ctx context.Context, r event.Recorded) ([]Fit, error) {
	decoded, err := m.c.Ledger.Codec.Decode(ctx, nil, "", r)
	if err != nil {
		return nil, fmt.Errorf("decoding the event at position %d: %w", r.Position, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e := decoded.(type) {
	case notification.NotificationDispatched:
		md, err := event.DecodeMetadata(r.Metadata)
		if err != nil {
			return nil, fmt.Errorf("position %d: %w", r.Position, err)
		}
		m.dispatched(r, md.Tenant, e)
		return nil, nil
	case notification.NotificationOutcomeUnknown:
		return m.unknown(attemptKey{r.Stream[len(notification.StreamPrefix):], e.Attempt}), nil
	case notification.NotificationUndelivered:
		if e.ReceiptID == "" && len(e.Accepted)+e.Lost == 0 && e.Why != notification.UndeliveredByReceipt { // refused, or never sent
			return m.forget(attemptKey{r.Stream[len(notification.StreamPrefix):], e.Attempt}), nil
		}
		return m.known(attemptKey{r.Stream[len(notification.StreamPrefix):], e.Attempt}), nil
	case notification.AttemptEvent: // Sent, Delivered, Read: no longer unknown
		return m.known(attemptKey{r.Stream[len(notification.StreamPrefix):], e.AttemptFacts().Attempt}), nil
	case receipt.SubmissionRegistered:
		return m.forget(attemptKey{e.Notification, e.Attempt}), nil
	case receipt.ReceiptRecorded:
		return m.received(r, e.Receipt), nil
	case receipt.ReceiptMatched:
		m.drop(e.ReceiptID)
	}
	return nil, nil
}

// Horizon is the position before which nothing is open, given that everything up to
// seen was observed: a later matcher may begin there.
func (m *Matcher) Horizon(seen event.Position) event.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOlder(m.c.Ledger.Now())
	for _, a := range m.attempts {
		seen = min(seen, a.position-1)
	}
	for _, r := range m.receipts {
		seen = min(seen, r.position-1)
	}
	return seen
}

// Fit is a receipt that fits exactly one unknown outcome.
type Fit struct {
	Stream  string
	Command receipt.ConfirmFit
}

// Confirm carries a fit out.
func (m *Matcher) Confirm(ctx context.Context, f Fit) error {
	o := commands.Origin{Tenant: f.Command.Tenant, Actor: commands.ActorMatcher, Correlation: f.Command.Notification}
	if _, err := m.c.Receipts.Handle(ctx, o, f.Stream, f.Command); err != nil {
		return fmt.Errorf("confirming by fit: %w", err)
	}
	return nil
}

func (m *Matcher) dispatched(r event.Recorded, tenant string, e notification.NotificationDispatched) {
	k := attemptKey{r.Stream[len(notification.StreamPrefix):], e.Attempt}
	if m.attempts[k] != nil {
		return
	}
	if len(m.attempts) >= m.limit && m.blind.Before(e.At.Add(-matcherSaveEvery)) {
		m.forgetOlder(e.At) // a walk over all of them: not for each
	}
	if len(m.attempts) >= m.limit {
		if m.blind.IsZero() {
			m.c.Log.Error("matcher: too many attempts without an answer; no receipt is fitted until they are settled and their window is over", "limit", m.limit)
		}
		m.blind = e.At
		return
	}
	t := tokenKey{e.Route, e.TokenKey, e.Token}
	m.attempts[k] = &openAttempt{tenant: tenant, token: t, sender: e.Sender, dispatchedAt: e.At, units: e.Units, position: r.Position}
	m.byToken[t] = append(m.byToken[t], k)
}

// forgetOlder drops what is past its orphan window.
func (m *Matcher) forgetOlder(now time.Time) {
	for k, a := range m.attempts {
		if now.Sub(a.dispatchedAt) > receipt.Window {
			m.remove(k, a)
		}
	}
	for id, r := range m.receipts {
		if now.Sub(r.ReceivedAt) > receipt.Window {
			m.drop(id)
		}
	}
}

func (m *Matcher) remove(k attemptKey, a *openAttempt) {
	delete(m.attempts, k)
	m.byToken[a.token] = slices.DeleteFunc(m.byToken[a.token], func(o attemptKey) bool { return o == k })
	if len(m.byToken[a.token]) == 0 {
		delete(m.byToken, a.token)
	}
}

func (m *Matcher) unknown(k attemptKey) []Fit {
	a := m.attempts[k]
	if a == nil || a.unknown {
		return nil
	}
	a.unknown = true
	return m.again(a.token)
}

func (m *Matcher) known(k attemptKey) []Fit {
	if a := m.attempts[k]; a != nil {
		a.unknown = false
	}
	return nil
}

// forget drops an attempt: what it kept from being the only one may fit now.
func (m *Matcher) forget(k attemptKey) []Fit {
	a := m.attempts[k]
	if a == nil {
		return nil
	}
	m.remove(k, a)
	return m.again(a.token)
}

func (m *Matcher) received(rec event.Recorded, r receipt.Receipt) []Fit {
	if r.Notification != "" || len(r.Tokens) == 0 || m.receipts[r.ID] != nil {
		return nil
	}
	if len(m.receipts) == matcherMaxReceipts {
		m.forgetOlder(r.ReceivedAt)
	}
	if len(m.receipts) >= matcherMaxReceipts {
		m.c.Log.Error("matcher: too many receipts without a match; this one stays kept on its stream", "limit", matcherMaxReceipts)
		return nil
	}
	m.receipts[r.ID] = &openReceipt{Receipt: r, stream: rec.Stream, position: rec.Position}
	for _, t := range r.Tokens {
		k := tokenKey{r.Route, t.Key, t.Token}
		m.waiting[k] = append(m.waiting[k], r.ID)
	}
	if f, ok := m.fit(m.receipts[r.ID]); ok {
		return []Fit{f}
	}
	return nil
}

func (m *Matcher) drop(id string) {
	r := m.receipts[id]
	if r == nil {
		return
	}
	delete(m.receipts, id)
	for _, t := range r.Tokens {
		k := tokenKey{r.Route, t.Key, t.Token}
		m.waiting[k] = slices.DeleteFunc(m.waiting[k], func(o string) bool { return o == id })
		if len(m.waiting[k]) == 0 {
			delete(m.waiting, k)
		}
	}
}

// again looks at the receipts that wait for a token.
func (m *Matcher) again(t tokenKey) []Fit {
	var fits []Fit
	for _, id := range m.waiting[t] {
		if f, ok := m.fit(m.receipts[id]); ok {
			fits = append(fits, f)
		}
	}
	return fits
}

func (m *Matcher) fit(r *openReceipt) (Fit, bool) {
	if r.ReceivedAt.Sub(m.blind) <= receipt.Window {
		return Fit{}, false
	}
	var found attemptKey
	n := 0
	for _, t := range r.Tokens {
		for _, k := range m.byToken[tokenKey{r.Route, t.Key, t.Token}] {
			a := m.attempts[k]
			wait := r.ReceivedAt.Sub(a.dispatchedAt)
			if wait < 0 || wait > receipt.Window || !sameSender(r.Sender, a.sender) {
				continue
			}
			found = k
			n++
		}
	}
	if n != 1 || !m.attempts[found].unknown || m.attempts[found].units != 1 {
		return Fit{}, false
	}
	return Fit{Stream: r.stream, Command: receipt.ConfirmFit{
		ReceiptID: r.ID, Tenant: m.attempts[found].tenant, Notification: found.notification, Attempt: found.attempt, Unit: 1,
		At: m.c.Ledger.Now(),
	}}, true
}

// sameSender compares senders as far as both are told; providers give numbers back
// without the plus.
func sameSender(a, b string) bool {
	return a == "" || b == "" || strings.TrimPrefix(a, "+") == strings.TrimPrefix(b, "+")
}
