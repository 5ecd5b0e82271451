package projections

import (
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// EDR is the projection edr: a partial row for each event of an attempt.
func EDR(codec *event.Codec) Projection {
	return Projection{Table: readmodels.EDRTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return eachRow(events, func(e LedgerEvent) (readmodels.Row, error) {
			_, part, err := e.attempt(codec)
			if part == nil || err != nil {
				return nil, err
			}
			return *part, nil
		})
	}}
}

// attemptEvent decodes an event of an attempt, as notificationEvent does; nil if it is
// none.
func attemptEvent(codec *event.Codec, r event.Recorded) (notification.AttemptEvent, string, error) {
	if !notification.IsOfAttempt(r.Type) {
		return nil, "", nil
	}
	e, tenant, err := notificationEvent(codec, r)
	a, is := e.(notification.AttemptEvent)
	if !is || err != nil {
		return nil, "", err
	}
	return a, tenant, nil
}

func edrPart(e LedgerEvent, a notification.AttemptEvent, tenant string) (*readmodels.PartialEDR, error) {
	f := a.AttemptFacts()
	day, err := time.Parse(time.DateOnly, f.Day)
	if err != nil || !day.Equal(storable(day)) {
		return nil, corrupt(e.Recorded, "its day is not a date")
	}
	for _, n := range []int{f.Attempt, f.Step, f.Target, f.Units} {
		if n < 0 || n > 1<<16-1 {
			return nil, corrupt(e.Recorded, "a number in it is out of range")
		}
	}
	if f.Attempt == 0 {
		return nil, corrupt(e.Recorded, "it names no attempt")
	}
	part := &readmodels.PartialEDR{
		Tenant: tenant, Day: day, Notification: strings.TrimPrefix(e.Stream, notification.StreamPrefix),
		Attempt: uint16(f.Attempt), Step: uint16(f.Step), Target: uint16(f.Target),
		Dimensions: dimensionsOf(f), Person: f.Person, Units: uint16(f.Units), Changed: e.Seq + 1,
		Times: readmodels.Times{
			RequestedAt: known(f.RequestedAt), ScheduledAt: known(f.ScheduledAt), DueAt: known(f.DueAt), SentAt: known(f.SentAt),
		},
	}
	if s := a.Reached(); s != notification.None {
		part.Outcome = readmodels.Outcome{Rank: int8(s.Rank()), Seq: e.Seq, Status: string(s), Code: codeOf(a)}
	}
	at := known(occurred(a))
	t := &part.Times
	switch a.Reached() {
	case notification.Dispatched:
		t.DispatchedAt = at
	case notification.OutcomeUnknown:
		t.UnknownAt = at
	case notification.Sent:
		if t.SentAt == nil {
			t.SentAt = at
		}
	case notification.Undelivered:
		t.UndeliveredAt = at
	case notification.Delivered:
		t.DeliveredAt = at
	case notification.Read:
		t.ReadAt = at
	case notification.Withdrawn:
		t.WithdrawnAt = at
	}
	switch a := a.(type) {
	case notification.NotificationScheduled:
		part.Kind, part.Follows = string(a.Kind), uint16(a.Of)
		if t.DueAt == nil { // the facts have no due time
			t.DueAt = known(a.Due)
		}
	case notification.NotificationGivenUp:
		t.GivenUpAt = at
	}
	return part, nil
}

// codeOf returns the reason for a status: the provider's code, or one of ours.
func codeOf(a notification.AttemptEvent) string {
	switch a := a.(type) {
	case notification.NotificationUndelivered:
		if a.Code != "" {
			return a.Code
		}
		return string(a.Why)
	case notification.NotificationDelivered:
		return a.Code
	case notification.NotificationRead:
		return a.Code
	case notification.NotificationOutcomeUnknown:
		return string(a.Reason)
	case notification.NotificationAttemptWithdrawn:
		return string(a.Why)
	}
	return ""
}

// occurred returns when it happened outside, as far as that was reported.
func occurred(a notification.AttemptEvent) time.Time {
	if o, ok := a.(occurring); ok {
		return o.OccurredAt()
	}
	return a.AttemptFacts().At
}
