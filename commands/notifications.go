package commands

import (
	"context"
	"errors"
	"fmt"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Handlers of the two aggregates of delivery.
type (
	NotificationHandler = Handler[notification.State, notification.Command, notification.Event]
	Receipts            = Handler[receipt.State, receipt.Command, receipt.Event]
)

// Notifications executes commands on notifications, and reads them for services.
type Notifications struct {
	*NotificationHandler
	ledger *Ledger
}

// NewNotifications returns the notifications of a ledger.
func NewNotifications(l *Ledger) *Notifications {
	return &Notifications{NewHandler(l, notification.Decider), l}
}

// NewReceipts returns the handler of receipt streams.
func NewReceipts(l *Ledger) *Receipts { return NewHandler(l, receipt.Decider) }

// Get folds a notification as it is now. Another tenant's is returned exactly like an
// absent one: notification.ErrAbsent.
func (n *Notifications) Get(ctx context.Context, tenant, id string) (Loaded[notification.State], error) {
	l, err := n.Load(ctx, notification.Stream(id))
	if err != nil {
		return l, err
	}
	if !l.Exists || l.State.Requested.Tenant != tenant {
		return Loaded[notification.State]{}, notification.ErrAbsent
	}
	return l, nil
}

// Cancelled is the result of a cancel: what had been sent by then.
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
	res, err := n.Handle(ctx, o, notification.Stream(id), notification.Cancel{Reason: reason, At: n.ledger.Now()})
	if err != nil {
		return Cancelled{}, err
	}
	return Cancelled{Loaded: res.Loaded, Sent: res.State.SentAttempts(), Now: len(res.Events) > 0}, nil
}

// LoadAttempt returns a state that has an attempt, the remembered one if that does; a
// stream that is read and lacks it has found false.
func LoadAttempt(ctx context.Context, h *NotificationHandler, id string, attempt int) (l Loaded[notification.State], found bool, err error) {
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

// History returns every event of a notification, oldest first, at most limit from a
// revision on. Personal values stay sealed.
func (n *Notifications) History(ctx context.Context, tenant, id string, from event.Revision, limit int) ([]HistoryEntry, error) {
	if _, err := n.Get(ctx, tenant, id); err != nil {
		return nil, err
	}
	var entries []HistoryEntry
	read := event.StreamRead{Stream: notification.Stream(id), From: from, Limit: limit}
	err := n.ledger.Store.ReadStream(ctx, read, func(r event.Recorded) error {
		m, err := event.MetadataOf(r)
		if err != nil {
			return err
		}
		decoded, err := n.ledger.Codec.Decode(ctx, nil, m.Tenant, r)
		if err != nil {
			return fmt.Errorf("revision %d: %w", r.Revision, err)
		}
		e, ok := decoded.(notification.Event)
		if !ok {
			return event.NotRead(r, "it is no event of its stream's kind")
		}
		entries = append(entries, HistoryEntry{Recorded: r, Metadata: m, Event: e})
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return entries, nil
}
