package projections

import (
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// Notifications is the projection notifications: one row a notification, as it is now. The
// events of one batch are merged here; the table merges the rest.
func Notifications(codec *event.Codec) Projection {
	return Projection{Table: readmodels.NotificationsTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return notificationRows(codec, events)
	}}
}

type notificationKey struct{ tenant, notification string }

func notificationRows(codec *event.Codec, events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
	parts := newSums[notificationKey, readmodels.PartialNotification]()
	aside := each(events, func(e LedgerEvent) error {
		part, err := notificationPart(codec, e)
		if err == nil && part != nil {
			of := parts.at(notificationKey{part.Tenant, part.Notification})
			of.Tenant, of.Notification = part.Tenant, part.Notification
			of.Merge(part)
		}
		return err
	})
	rows := make([]readmodels.Row, 0, len(parts.cells))
	for _, part := range parts.sums {
		rows = append(rows, part)
	}
	return rows, aside
}

// notificationPart returns the partial row of one event; nil if it is not of a notification.
func notificationPart(codec *event.Codec, e LedgerEvent) (*readmodels.PartialNotification, error) {
	decoded, tenant, err := e.notification(codec)
	if decoded == nil || err != nil {
		return nil, err
	}
	p := &readmodels.PartialNotification{
		Tenant: tenant, Notification: strings.TrimPrefix(e.Stream, notification.StreamPrefix),
		LastEventAt: earliest, Changed: e.Seq + 1,
	}
	if filed, is := decoded.(notification.Filed); is {
		f := filed.FiledUnder()
		p.OfNotification = dimensionsOfNotification(f.OfNotification)
		p.Scenario, p.Version = "", "" // of some events only
		p.Person, p.RequestedAt = f.Person, known(f.RequestedAt)
	}
	if _, is := decoded.(notification.AttemptEvent); is {
		a, part, err := e.attempt(codec)
		if err != nil {
			return nil, err
		}
		ofAttempt(p, a, part)
		return p, nil
	}
	ofNotification(p, decoded)
	return p, nil
}

// Which scenario a row has, of several: the later one.
const (
	asRequested uint8 = 1 + iota
	asEnriched
)

func ofAttempt(p *readmodels.PartialNotification, a notification.AttemptEvent, part *readmodels.PartialEDR) {
	f := a.AttemptFacts()
	p.ScenarioFrom, p.Scenario, p.Version = asEnriched, f.Scenario, f.Version
	p.LastEventAt = storable(f.At)
	p.Highest = readmodels.ChannelOf{Attempt: part.Attempt, Channel: f.Channel}
	p.Steps = map[uint16]uint16{part.Attempt: part.Step}
	if s, is := a.(notification.NotificationScheduled); is {
		p.Step = part.Step
		p.Kinds = map[uint16]uint16{part.Attempt: readmodels.KindOf(string(s.Kind))}
	}
	to := a.Reached()
	if !raises(f.From, to) {
		return
	}
	at := known(occurred(a))
	p.Statuses = map[uint16]uint16{part.Attempt: uint16(to.Rank())}
	switch to {
	case notification.Sent:
		p.FirstSentAt = known(sentAt(a))
	case notification.Delivered:
		p.FirstDeliveredAt = at
	case notification.Read:
		p.FirstReadAt = at
	case notification.Undelivered, notification.OutcomeUnknown:
		p.Code = readmodels.CodeAt{Changed: p.Changed, Code: codeOf(a)}
	case notification.None, notification.Scheduled, notification.Dispatched, notification.Withdrawn:
	}
	if l := readmodels.LadderOf(string(to)); l > 0 {
		p.Ladders = map[uint16]uint16{part.Attempt: l}
		if to != notification.Sent {
			p.Highest.Ladder = l
		}
	}
}

// ofNotification takes what an event records of the notification, not of an attempt. Of an
// event that is not named here the time counts, and what it is counted under.
func ofNotification(p *readmodels.PartialNotification, e occurring) {
	end := func(ended *bool, at time.Time) {
		*ended, p.EndedAt = true, known(at)
	}
	p.LastEventAt = storable(e.OccurredAt())
	switch e := e.(type) {
	case notification.NotificationRequested:
		p.ScenarioFrom, p.Scenario, p.Version = asRequested, e.Scenario, e.Version
		p.Reference, p.Fields = e.Reference, e.OpenFields
		p.SendAt, p.ExpiresAt = known(e.SendAt), known(e.ExpiresAt)
	case notification.NotificationEnriched:
		p.ScenarioFrom, p.Scenario, p.Version = asEnriched, e.Scenario, e.Version
		p.Enriched, p.EnrichedAt = true, known(e.At)
		p.Planned = uint16(min(len(e.Plan.Steps), 1<<16-1))
		p.Wanted = map[uint16]uint16{}
		for i, step := range e.Plan.Steps[:p.Planned] {
			p.Wanted[uint16(i+1)] = readmodels.LadderOf(string(step.Wanted))
		}
	case notification.NotificationFailedOver:
		p.FailedOver, p.Step = []uint16{small(e.FromStep)}, small(e.ToStep)
	case notification.NotificationRejected:
		end(&p.Rejected, e.At)
		p.Code = readmodels.CodeAt{Changed: p.Changed, Code: e.Code}
	case notification.NotificationSuppressed:
		end(&p.Suppressed, e.At)
		p.Code = readmodels.CodeAt{Changed: p.Changed, Code: e.Code}
	case notification.NotificationExpired:
		end(&p.Expired, e.At)
	case notification.NotificationCancelled:
		end(&p.Cancelled, e.At)
	case notification.NotificationExhausted:
		end(&p.Exhausted, e.At)
	case notification.NotificationReplied:
		p.Replies, p.LastEventAt = []string{e.ReplyID}, storable(e.At)
	case notification.NotificationPaid:
		p.Payments, p.LastEventAt = []string{e.PaymentID}, storable(e.At)
	}
}

// small is a number of steps, which are few.
func small(n int) uint16 { return uint16(min(max(n, 0), 1<<16-1)) }
