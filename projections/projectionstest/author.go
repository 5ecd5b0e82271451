// Package projectionstest holds what the tests of several packages of projections share:
// an author of ledger events, a running system on a real store and engine, and seeds.
package projectionstest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

var newCodec = sync.OnceValues(func() (*event.Codec, error) { return catalogue.NewCodec() })

// NewCodec returns the codec of every ledger event, which all tests share.
func NewCodec(t testing.TB) *event.Codec {
	t.Helper()
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// Author writes ledger events like those of notifications, but wilder: an attempt's
// statuses come in any order, for what is merged must not depend on it.
type Author struct {
	t      testing.TB
	Codec  *event.Codec
	Random *rand.Rand
	From   time.Time
	n      int
	had    map[[2]int]attemptHad // notification and attempt → what was recorded of it so far
}

// attemptHad is what the next event of an attempt says it comes from.
type attemptHad struct {
	status notification.Status
	sent   time.Time
}

// NewAuthor makes an author whose events are those of a seed.
func NewAuthor(t testing.TB, seed uint64) *Author {
	return &Author{
		t: t, Codec: NewCodec(t), Random: rand.New(rand.NewPCG(seed, 7)),
		From: time.Date(2026, 11, 23, 23, 59, 0, 123456789, time.UTC), had: map[[2]int]attemptHad{},
	}
}

// Next returns an append: a stream and events for it.
func (a *Author) Next() (stream string, events []event.New) {
	a.n++
	at := a.From.Add(time.Duration(a.n) * 1357 * time.Millisecond)
	switch a.Random.IntN(12) {
	case 0:
		return "checkpoint-of-another", []event.New{a.Plain("Other", at, "")}
	case 1:
		return fmt.Sprintf("receipt-sim-%d", a.Random.IntN(5)), []event.New{a.Plain("FromANewerVersion", at, "t1")}
	case 2:
		return fmt.Sprintf("notification-n%d", a.Random.IntN(8)), []event.New{a.Plain("NotificationFromANewerVersion", at, "t1")}
	}
	n := a.Random.IntN(8)
	if a.Random.IntN(8) == 0 {
		return a.calls(n, at)
	}
	if a.Random.IntN(4) == 0 {
		return fmt.Sprintf("notification-n%d", n), []event.New{a.ofNotification(n, at)}
	}
	for range 1 + a.Random.IntN(3) {
		events = append(events, a.Attempt(n, at))
	}
	return fmt.Sprintf("notification-n%d", n), events
}

// Plain makes an event of a type that no codec knows.
func (a *Author) Plain(typ string, at time.Time, tenant string) event.New {
	return event.New{ID: a.ID(), Type: typ, Data: []byte(`{"a": 1}`), Metadata: a.Metadata(tenant, at)}
}

// ID makes an event's id.
func (a *Author) ID() string { return event.UUIDv5("author", fmt.Sprint(a.Random.Uint64())) }

// Metadata are those of an event of a tenant, recorded at a time.
func (a *Author) Metadata(tenant string, at time.Time) []byte {
	data, err := event.EncodeMetadata(event.Metadata{
		Tenant: tenant, Actor: "system:test", CorrelationID: "c", CausationID: "d", OccurredAt: at, RecordedAt: at, Test: true,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

// ofNotification makes an event that is of no attempt.
func (a *Author) ofNotification(n int, at time.Time) event.New {
	filing := notification.Filing{OfNotification: dimension.OfNotification{Scenario: "payment", Brand: fmt.Sprintf("b%d", n%3), Campaign: fmt.Sprintf("c%d", n%4), Test: n == 1}, RequestedAt: a.From}
	e := []notification.Event{
		notification.NotificationRequested{Tenant: fmt.Sprintf("t%d", n%2), OfNotification: dimension.OfNotification{Scenario: "payment", Version: "v", Brand: "b", Segment: "s", Campaign: "c", Priority: "normal", Test: n == 1}, At: a.From},
		notification.NotificationFailedOver{Filing: filing, FromStep: 1, ToStep: 2, Why: notification.FailedOverReason(fmt.Sprintf("c%d", a.Random.IntN(3))), At: at},
		notification.NotificationSuppressed{Filing: filing, Code: "opted_out", At: at},
		notification.NotificationExhausted{Filing: filing, At: at},
		notification.NotificationPaid{PaymentID: "p", DoneAt: at.Add(-time.Hour), At: at},
	}[a.Random.IntN(5)]
	return a.Event(n, at, e)
}

// calls makes a record of calls, or an event of a key, which records one.
func (a *Author) calls(n int, at time.Time) (string, []event.New) {
	of := fmt.Sprintf("t%d", n%2)
	if a.Random.IntN(3) == 0 {
		e := a.Event(n, at, tenant.KeyCreated{KeyID: a.ID()[:8], Hash: "h", At: at})
		m, err := event.DecodeMetadata(e.Metadata)
		if err != nil {
			a.t.Fatal(err)
		}
		m.Actor = audit.LocalActor
		if e.Metadata, err = event.EncodeMetadata(m); err != nil {
			a.t.Fatal(err)
		}
		return tenant.Stream(of), []event.New{e}
	}
	e := audit.CallsRecorded{At: at}
	for i := range 1 + a.Random.IntN(3) {
		e.Calls = append(e.Calls, audit.Call{
			ID: fmt.Sprintf("%d-%s", i, a.ID()), At: at, Actor: "key:k", Operation: "get-notification", Method: "GET",
			Path: "/v1/notifications/{id}", Status: 200, Notification: fmt.Sprintf("n%d", n), Millis: int64(i),
		})
	}
	return audit.Stream(of, at), []event.New{a.Event(n, at, e)}
}

// Event encodes an event of a notification, by its number.
func (a *Author) Event(n int, at time.Time, e any) event.New {
	name, data, err := a.Codec.Encode(a.t.Context(), nil, "", notification.Stream("x"), e)
	if err != nil {
		a.t.Fatal(err)
	}
	return event.New{ID: a.ID(), Type: name, Data: data, Metadata: a.Metadata(fmt.Sprintf("t%d", n%2), at)}
}

// Attempt makes an event of one of the notification's attempts. What is filed of an
// attempt is the same in each of its events.
func (a *Author) Attempt(n int, at time.Time) event.New {
	number := 1 + a.Random.IntN(3)
	had := a.had[[2]int{n, number}]
	f := notification.Facts{
		Dimensions: dimension.Dimensions{
			OfNotification: dimension.OfNotification{Scenario: "payment", Version: "v", Brand: fmt.Sprintf("b%d", n%3), Segment: "s", Campaign: fmt.Sprintf("c%d", n%4), Priority: "normal", Test: n == 1},
			OfAttempt:      dimension.OfAttempt{Channel: "sms", Route: fmt.Sprintf("r%d", number), Sender: "S", Country: "IT"},
		},
		Attempt: number, Step: 1 + number/3, Target: 1, Person: fmt.Sprintf("p%d", n), Day: a.From.AddDate(0, number, n).Format(time.DateOnly), DueAt: a.From.Add(time.Duration(number) * time.Minute), Units: number, RequestedAt: a.From, ScheduledAt: a.From.Add(time.Second), At: at, From: had.status, SentAt: had.sent,
	}
	receipt := notification.ReceiptFacts{Code: fmt.Sprintf("c%d", a.Random.IntN(3)), DoneAt: at.Add(-time.Minute), ReceivedAt: at}
	var e any
	switch a.Random.IntN(12) {
	case 0, 1:
		e = notification.NotificationScheduled{Facts: f, Due: at.Add(time.Second), Kind: notification.FirstTry}
	case 2, 3:
		e = notification.NotificationDispatched{Facts: f}
	case 4:
		if f.SentAt.IsZero() { // it is sent once
			had.sent = at.Add(time.Millisecond)
			f.SentAt = had.sent
			e = notification.NotificationSent{Facts: f}
			break
		}
		e = notification.NotificationRetried{Facts: f, Next: 3}
	case 5:
		e = notification.NotificationOutcomeUnknown{Facts: f, Reason: "no_answer"}
	case 6:
		e = notification.NotificationDelivered{Facts: f, ReceiptFacts: receipt}
	case 7:
		e = notification.NotificationUndelivered{Facts: f, ReceiptFacts: receipt, Why: "receipt"}
	case 8:
		e = notification.NotificationRead{Facts: f, ReceiptFacts: receipt}
	case 9:
		e = notification.NotificationReceiptKept{Facts: f, ReceiptFacts: receipt, Status: "delivered", Why: "double"}
	case 10:
		e = notification.NotificationRetried{Facts: f, Next: 2}
	case 11:
		e = notification.NotificationGivenUp{Facts: f}
		if had.status == notification.Scheduled {
			e = notification.NotificationAttemptWithdrawn{Facts: f, Why: "cancelled"}
		}
	}
	if to := e.(notification.AttemptEvent).Reached(); to.Rank() > had.status.Rank() {
		had.status = to
	}
	a.had[[2]int{n, number}] = had
	return a.Event(n, at, e)
}
