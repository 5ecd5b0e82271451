package commands

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Notifications is the command side of the ledger as its doors (HTTP, and later
// Kafka, files, mail) and its own parts use it.
type Notifications struct {
	ledger    *Ledger
	handler   *Handler[notification.State, notification.Command, notification.Event]
	receipts  *Handler[receipt.State, receipt.Command, receipt.Event]
	persons   Persons
	scenarios Scenarios
	routes    Routes
	log       *slog.Logger
}

// NewNotifications binds the command side to its parts.
func NewNotifications(l *Ledger, p Persons, s Scenarios, r Routes, log *slog.Logger) *Notifications {
	return &Notifications{
		ledger:   l,
		handler:  NewHandler(l, notification.Decider),
		receipts: NewHandler(l, receipt.Decider),
		persons:  p, scenarios: s, routes: r, log: log,
	}
}

// Close ends what runs beside the calls. None may come after it.
func (n *Notifications) Close() {
	n.handler.Close()
	n.receipts.Close()
}

// Accepted answers a request.
type Accepted struct {
	ID       string
	State    notification.State
	Position event.Position // read models at or past it know of this command
	Created  bool           // false: the idempotency key had been used with the same request
}

// ErrErased: the idempotency key belongs to a request of a person since erased.
var ErrErased = &event.Rule{Code: "erased", Message: "the idempotency key or an address belongs to a person whose data has been erased"}

// Submit accepts a request: when it returns, the request and the person's key are
// durable. Errors: *Invalid, notification.ErrKeyReused, ErrErased.
func (n *Notifications) Submit(ctx context.Context, o Origin, key string, r Request) (Accepted, error) {
	checked, err := n.check(o.Tenant, key, r)
	if err != nil {
		return Accepted{}, err
	}
	return n.accept(ctx, o, key, checked)
}

// accept takes a request whose form has been checked.
func (n *Notifications) accept(ctx context.Context, o Origin, key string, checked *checkedRequest) (Accepted, error) {
	id := ""
	if key != "" {
		id = notification.IDFor(o.Tenant, key)
		if done, err := n.repeated(ctx, o, id, checked); done != nil || err != nil {
			return accepted(done), err
		}
	} else {
		v7, err := uuid.NewV7()
		if err != nil {
			return Accepted{}, fmt.Errorf("making an id: %w", err)
		}
		id = v7.String()
	}
	if err := checked.checkTimes(n.ledger.Now()); err != nil {
		return Accepted{}, err
	}
	ref, err := n.persons.ClaimPerson(ctx, o.Tenant, checked.Recipient, checked.addresses())
	if errors.Is(err, ErrTwoPersons) {
		return Accepted{}, &Invalid{Problems: []Problem{{"to", "two_persons", "its addresses belong to different persons"}}}
	}
	if errors.Is(err, ErrKeyErased) {
		return Accepted{}, ErrErased
	}
	if err != nil {
		return Accepted{}, fmt.Errorf("claiming the person: %w", err)
	}
	mac, err := n.persons.RequestHMAC(ctx, o.Tenant, ref, checked.canonical)
	if err != nil {
		return Accepted{}, fmt.Errorf("authenticating the request: %w", err)
	}
	o.Correlation, o.Test = id, checked.Test
	res, err := n.handler.HandleNew(ctx, o, notification.Stream(id), checked.command(o.Tenant, key, ref, mac, n.ledger.Now()))
	if err != nil {
		return Accepted{}, err
	}
	return Accepted{ID: id, State: res.State, Position: res.Position, Created: len(res.Events) > 0}, nil
}

// repeated answers a request whose idempotency key was used before: nil if it was not.
func (n *Notifications) repeated(ctx context.Context, o Origin, id string, c *checkedRequest) (*Accepted, error) {
	l, err := n.handler.Load(ctx, notification.Stream(id))
	if err != nil || !l.Exists {
		return nil, err
	}
	mac, err := n.persons.RequestHMAC(ctx, o.Tenant, l.State.Requested.Person, c.canonical)
	if errors.Is(err, ErrKeyErased) {
		return nil, ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("authenticating the request: %w", err)
	}
	if _, err := notification.Decide(l.State, notification.Request{RequestHMAC: mac}); err != nil {
		return nil, err
	}
	return &Accepted{ID: id, State: l.State, Position: l.Position}, nil
}

func accepted(a *Accepted) Accepted {
	if a == nil {
		return Accepted{}
	}
	return *a
}

// Get folds a notification as it is now. Another tenant's answers exactly like an
// absent one: notification.ErrAbsent.
func (n *Notifications) Get(ctx context.Context, tenant, id string) (Loaded[notification.State], error) {
	l, err := n.handler.Load(ctx, notification.Stream(id))
	if err != nil {
		return l, err
	}
	if !l.Exists || l.State.Requested.Tenant != tenant {
		return Loaded[notification.State]{}, notification.ErrAbsent
	}
	return l, nil
}

// Cancelled answers a cancel: what had been sent by then.
type Cancelled struct {
	Loaded[notification.State]
	Sent []int
	Now  bool // false: it had been cancelled before
}

// Cancel stops what is unsent. Errors: notification.ErrAbsent, ErrInFlight, ErrFinal.
func (n *Notifications) Cancel(ctx context.Context, o Origin, id, reason string) (Cancelled, error) {
	if _, err := n.Get(ctx, o.Tenant, id); err != nil {
		return Cancelled{}, err
	}
	o.Correlation = id
	res, err := n.handler.Handle(ctx, o, notification.Stream(id), notification.Cancel{Reason: reason, At: n.ledger.Now()})
	if err != nil {
		return Cancelled{}, err
	}
	return Cancelled{Loaded: res.Loaded, Sent: res.State.SentAttempts(), Now: len(res.Events) > 0}, nil
}

// loadAttempt answers a state that knows an attempt, what is remembered if that does; a
// stream that is read and does not have it says so.
func loadAttempt(ctx context.Context, h *Handler[notification.State, notification.Command, notification.Event], id string, attempt int) (l Loaded[notification.State], found bool, err error) {
	if l, err = h.LoadAt(ctx, notification.Stream(id), 0); err != nil {
		return l, false, err
	}
	if _, found = l.State.Attempt(attempt); found {
		return l, true, nil
	}
	if l, err = h.Load(ctx, notification.Stream(id)); err != nil {
		return l, false, err
	}
	_, found = l.State.Attempt(attempt)
	return l, found, nil
}

// HistoryEntry is one event of a notification as its audit trail shows it.
type HistoryEntry struct {
	Recorded event.Recorded
	Metadata event.Metadata
	Event    notification.Event
}

// History answers every event of a notification, oldest first, at most limit from a
// revision on. Personal values stay sealed.
func (n *Notifications) History(ctx context.Context, tenant, id string, from event.Revision, limit int) ([]HistoryEntry, error) {
	if _, err := n.Get(ctx, tenant, id); err != nil {
		return nil, err
	}
	var entries []HistoryEntry
	read := event.StreamRead{Stream: notification.Stream(id), From: from, Limit: limit}
	err := n.ledger.Store.ReadStream(ctx, read, func(r event.Recorded) error {
		m, err := event.DecodeMetadata(r.Metadata)
		if err != nil {
			return fmt.Errorf("revision %d: %w", r.Revision, err)
		}
		decoded, err := n.ledger.Codec.Decode(ctx, nil, m.Tenant, r)
		if err != nil {
			return fmt.Errorf("revision %d: %w", r.Revision, err)
		}
		e, ok := decoded.(notification.Event)
		if !ok {
			return fmt.Errorf("revision %d: %s is no event of a notification", r.Revision, r.Type)
		}
		entries = append(entries, HistoryEntry{Recorded: r, Metadata: m, Event: e})
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return entries, nil
}
