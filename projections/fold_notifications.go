package projections

import (
	"cmp"
	"slices"
	"strings"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// FoldNotifications folds ledger events, in the order of $all, to the rows that the view
// notifications must show, by tenant and id. The states are the domain's own.
func FoldNotifications(codec *event.Codec, events []event.Recorded) ([]readmodels.Notification, error) {
	f := NewNotificationFold(codec)
	for seq, r := range events {
		if err := f.Add(LedgerEvent{Recorded: r, Seq: uint64(seq)}); err != nil {
			return nil, err
		}
	}
	return f.Rows(), nil
}

// NotificationFold folds ledger events, in order, to the rows of the view notifications.
type NotificationFold struct {
	codec *event.Codec
	of    map[notificationKey]*foldedNotification
}

type foldedNotification struct {
	state notification.State
	row   readmodels.Notification
	rank  int // of what the delivering attempt reached; 0 if none did
}

// NewNotificationFold begins a fold. codec is of every ledger event.
func NewNotificationFold(codec *event.Codec) *NotificationFold {
	return &NotificationFold{codec: codec, of: map[notificationKey]*foldedNotification{}}
}

// Add folds the next event.
func (f *NotificationFold) Add(e LedgerEvent) error {
	return Readable(e, func() error { return f.add(e) })
}

func (f *NotificationFold) add(e LedgerEvent) error {
	decoded, tenant, err := notificationEvent(f.codec, e.Recorded)
	if decoded == nil || err != nil {
		return err
	}
	if _, err := notificationPart(f.codec, e); err != nil { // as a row cannot hold it
		return err
	}
	key := notificationKey{tenant, strings.TrimPrefix(e.Stream, notification.StreamPrefix)}
	n := f.of[key]
	if n == nil {
		n = &foldedNotification{state: notification.Decider.Initial()}
		n.row.Tenant, n.row.Notification, n.row.LastEventAt = key.tenant, key.notification, earliest
		f.of[key] = n
	}
	before := n.state
	n.state = notification.Evolve(n.state, decoded)
	n.row.Changed = e.Seq + 1
	if a, is := decoded.(notification.AttemptEvent); is {
		n.attempt(before, a)
		return nil
	}
	n.other(decoded)
	return nil
}

func (n *foldedNotification) attempt(before notification.State, a notification.AttemptEvent) {
	facts := a.AttemptFacts()
	if at := storable(facts.At); at.After(n.row.LastEventAt) {
		n.row.LastEventAt = at
	}
	now, is := n.state.Attempt(facts.Attempt)
	if !is {
		return
	}
	if n.rank == 0 {
		n.row.Channel = n.state.Attempts[len(n.state.Attempts)-1].Channel
	}
	if was, had := before.Attempt(facts.Attempt); had && was.Status == now.Status {
		return
	}
	switch now.Status {
	case notification.Sent:
		first(&n.row.FirstSentAt, sentAt(a))
	case notification.Delivered:
		first(&n.row.FirstDeliveredAt, occurred(a))
	case notification.Read:
		first(&n.row.FirstReadAt, occurred(a))
	case notification.Undelivered, notification.OutcomeUnknown:
		n.row.Code = codeOf(a)
	case notification.None, notification.Scheduled, notification.Dispatched, notification.Withdrawn:
	}
	if now.Status != notification.Delivered && now.Status != notification.Read {
		return
	}
	best := n.state.Attempts[0]
	for _, one := range n.state.Attempts {
		if readmodels.LadderOf(string(one.Status)) >= readmodels.LadderOf(string(best.Status)) {
			best = one
		}
	}
	n.rank, n.row.Channel = best.Status.Rank(), best.Channel
}

func (n *foldedNotification) other(e occurring) {
	at := e.OccurredAt()
	switch e := e.(type) {
	case notification.NotificationReplied:
		at = e.At
	case notification.NotificationPaid:
		at = e.At
	case notification.NotificationFailedOver:
		n.row.Failovers++
	case notification.NotificationRejected:
		n.row.Code = e.Code
	case notification.NotificationSuppressed:
		n.row.Code = e.Code
	case notification.NotificationEnriched:
		first(&n.row.EnrichedAt, e.At)
	default: //nolint:gochecksumtype // the others change the state only
	}
	if at := storable(at); at.After(n.row.LastEventAt) {
		n.row.LastEventAt = at
	}
	if s := &n.state; n.row.EndedAt == nil && (s.Rejected || s.Suppressed || s.Cancelled || s.Expired || s.Exhausted) {
		first(&n.row.EndedAt, at)
	}
}

// Of returns the row that an event is folded into, as it is now: folded, whether it is
// folded at all; there, whether there is a row yet.
func (f *NotificationFold) Of(e LedgerEvent) (row readmodels.Notification, there, folded bool, err error) {
	decoded, tenant, err := e.notification(f.codec)
	if decoded == nil || err != nil {
		return row, false, false, err
	}
	n := f.of[notificationKey{tenant, strings.TrimPrefix(e.Stream, notification.StreamPrefix)}]
	if n == nil {
		return row, false, true, nil
	}
	return n.finished(), true, true, nil
}

// Rows returns the rows, by tenant and id.
func (f *NotificationFold) Rows() []readmodels.Notification {
	rows := make([]readmodels.Notification, 0, len(f.of))
	for _, n := range f.of {
		rows = append(rows, n.finished())
	}
	slices.SortFunc(rows, func(a, b readmodels.Notification) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Notification, b.Notification))
	})
	return rows
}

// finished returns the row, with what is taken from the state.
func (n *foldedNotification) finished() readmodels.Notification {
	r, s := n.row, &n.state
	q := s.Requested
	r.OfNotification = dimensionsOfNotification(q.OfNotification)
	if s.Enriched {
		r.Scenario, r.Version = s.Scenario, s.Version
	}
	r.Reference, r.Person, r.Fields = q.Reference, q.Person.Person, q.OpenFields
	r.RequestedAt, r.SendAt, r.ExpiresAt = known(q.At), known(q.SendAt), known(q.ExpiresAt)
	r.State, r.Final, r.WantedReached = string(s.Lifecycle()), s.Final(), s.Reached
	r.Step, r.Steps, r.Attempts = uint16(s.Step), uint16(len(s.Plan.Steps)), uint16(len(s.Attempts))
	for _, a := range s.Attempts {
		switch a.Kind {
		case notification.Retry:
			r.Retries++
		case notification.Resend:
			r.Resends++
		case notification.FirstTry:
		}
	}
	r.Replies, r.Paid = uint16(len(s.Replies)), len(s.Payments) > 0
	return r
}
