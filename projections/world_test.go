package projections_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

func newCodec(t testing.TB) *event.Codec {
	t.Helper()
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// author writes ledger events like those of notifications, but wilder: an attempt's
// statuses come in any order, for what is merged must not depend on it.
type author struct {
	t      testing.TB
	codec  *event.Codec
	random *rand.Rand
	from   time.Time
	n      int
	had    map[[2]int]attemptHad // notification and attempt → what was said of it so far
}

// attemptHad is what the next event of an attempt says it comes from.
type attemptHad struct {
	status notification.Status
	sent   time.Time
}

func newAuthor(t testing.TB, seed uint64) *author {
	return &author{
		t: t, codec: newCodec(t), random: rand.New(rand.NewPCG(seed, 7)),
		from: time.Date(2026, 11, 23, 23, 59, 0, 123456789, time.UTC), had: map[[2]int]attemptHad{},
	}
}

// next answers an append: a stream and events for it.
func (a *author) next() (stream string, events []event.New) {
	a.n++
	at := a.from.Add(time.Duration(a.n) * 1357 * time.Millisecond)
	switch a.random.IntN(12) {
	case 0:
		return "checkpoint-of-another", []event.New{a.plain("Other", at, "")}
	case 1:
		return fmt.Sprintf("receipt-sim-%d", a.random.IntN(5)), []event.New{a.plain("FromANewerVersion", at, "t1")}
	case 2:
		return fmt.Sprintf("notification-n%d", a.random.IntN(8)), []event.New{a.plain("NotificationFromANewerVersion", at, "t1")}
	}
	n := a.random.IntN(8)
	if a.random.IntN(8) == 0 {
		return a.calls(n, at)
	}
	if a.random.IntN(4) == 0 {
		return fmt.Sprintf("notification-n%d", n), []event.New{a.whole(n, at)}
	}
	for range 1 + a.random.IntN(3) {
		events = append(events, a.attempt(n, at))
	}
	return fmt.Sprintf("notification-n%d", n), events
}

func (a *author) plain(typ string, at time.Time, tenant string) event.New {
	return event.New{ID: a.id(), Type: typ, Data: []byte(`{"a": 1}`), Metadata: a.metadata(tenant, at)}
}

func (a *author) id() string { return event.UUIDv5("author", fmt.Sprint(a.random.Uint64())) }

func (a *author) metadata(tenant string, at time.Time) []byte {
	data, err := event.EncodeMetadata(event.Metadata{
		Tenant: tenant, Actor: "system:test", CorrelationID: "c", CausationID: "d", OccurredAt: at, RecordedAt: at, Test: true,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

// whole makes an event of a notification as a whole.
func (a *author) whole(n int, at time.Time) event.New {
	filing := notification.Filing{Scenario: "payment", Brand: fmt.Sprintf("b%d", n%3), Campaign: fmt.Sprintf("c%d", n%4), Test: n == 1, RequestedAt: a.from}
	e := []notification.Event{
		notification.NotificationRequested{Tenant: fmt.Sprintf("t%d", n%2), Scenario: "payment", Version: "v", Brand: "b", Segment: "s", Campaign: "c", Priority: "normal", Test: n == 1, At: a.from},
		notification.NotificationFailedOver{Filing: filing, FromStep: 1, ToStep: 2, Why: fmt.Sprintf("c%d", a.random.IntN(3)), At: at},
		notification.NotificationSuppressed{Filing: filing, Code: "opted_out", At: at},
		notification.NotificationExhausted{Filing: filing, At: at},
		notification.NotificationPaid{PaymentID: "p", DoneAt: at.Add(-time.Hour), At: at},
	}[a.random.IntN(5)]
	return a.event(n, at, e)
}

// calls makes a record of calls, or an event of a key, which tells of one.
func (a *author) calls(n int, at time.Time) (string, []event.New) {
	of := fmt.Sprintf("t%d", n%2)
	if a.random.IntN(3) == 0 {
		e := a.event(n, at, tenant.KeyCreated{KeyID: a.id()[:8], Hash: "h", At: at})
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
	for i := range 1 + a.random.IntN(3) {
		e.Calls = append(e.Calls, audit.Call{
			ID: fmt.Sprintf("%d-%s", i, a.id()), At: at, Actor: "key:k", Operation: "get-notification", Method: "GET",
			Path: "/v1/notifications/{id}", Status: 200, Notification: fmt.Sprintf("n%d", n), Millis: int64(i),
		})
	}
	return audit.Stream(of, at), []event.New{a.event(n, at, e)}
}

func (a *author) event(n int, at time.Time, e any) event.New {
	name, data, err := a.codec.Encode(a.t.Context(), nil, "", notification.Stream("x"), e)
	if err != nil {
		a.t.Fatal(err)
	}
	return event.New{ID: a.id(), Type: name, Data: data, Metadata: a.metadata(fmt.Sprintf("t%d", n%2), at)}
}

// attempt makes an event of one of the notification's attempts. What is filed of an
// attempt is the same in each of its events.
func (a *author) attempt(n int, at time.Time) event.New {
	number := 1 + a.random.IntN(3)
	had := a.had[[2]int{n, number}]
	f := notification.Facts{
		Attempt: number, Step: 1 + number/3, Target: 1, Channel: "sms", Route: fmt.Sprintf("r%d", number), Sender: "S",
		Person: fmt.Sprintf("p%d", n), Day: a.from.AddDate(0, number, n).Format(time.DateOnly), Scenario: "payment", Version: "v",
		Brand: fmt.Sprintf("b%d", n%3), Segment: "s", Campaign: fmt.Sprintf("c%d", n%4), DueAt: a.from.Add(time.Duration(number) * time.Minute),
		Priority: "normal", Country: "IT", Units: number, Test: n == 1, RequestedAt: a.from, ScheduledAt: a.from.Add(time.Second),
		At: at, From: had.status, SentAt: had.sent,
	}
	receipt := notification.ReceiptFacts{Code: fmt.Sprintf("c%d", a.random.IntN(3)), DoneAt: at.Add(-time.Minute), ReceivedAt: at}
	var e any
	switch a.random.IntN(12) {
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
		e = notification.NotificationReceiptKept{Facts: f, ReceiptFacts: receipt, Says: "delivered", Why: "double"}
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
	return a.event(n, at, e)
}
