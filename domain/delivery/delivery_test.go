package delivery_test

import (
	"testing"
	"time"

	"recapito/domain/delivery"
	"recapito/domain/dimension"
	"recapito/domain/domaintest"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

const (
	id         = "n-1"
	s          = time.Second
	wireLimit  = 30 * s
	redispatch = time.Minute
	patience   = time.Hour
	wait       = 2 * time.Hour
	unknownFor = 3 * time.Hour
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ada  = personal.Ref{Person: "person-1", Key: "key-1"}
)

func at(d time.Duration) time.Time { return noon.Add(d) }

// story is a notification made by commands, and the events they decided.
type story struct {
	t      *testing.T
	state  notification.State
	events []notification.Event
}

func begin(t *testing.T, r notification.Request, wanted notification.Status, steps int) *story {
	x := &story{t: t}
	r.Tenant, r.Person, r.Priority, r.At = "acme", ada, "normal", noon
	x.do(r)
	var plan notification.Plan
	for range steps {
		plan.Steps = append(plan.Steps, notification.Step{
			Wanted: wanted, Wait: notification.Duration(wait),
			Targets: []notification.Target{{
				OfAttempt: dimension.OfAttempt{Channel: "sms", Route: "smsc"}, Destination: personal.New(ada, "+390000000001"), Content: personal.New(ada, "x"), Units: 2,
				Policy: notification.Policy{
					Tries: 2, BackOff: notification.Duration(100 * s), BackOffMax: notification.Duration(100 * s),
					WireLimit: notification.Duration(wireLimit), Redispatch: notification.Duration(redispatch),
					Patience: notification.Duration(patience), UnknownLimit: notification.Duration(unknownFor),
				},
			}},
		})
	}
	if steps > 0 {
		x.do(notification.Enrich{Plan: plan, At: noon})
	}
	return x
}

// one is a notification with one step that wants delivered, scheduled at noon.
func one(t *testing.T) *story { return begin(t, notification.Request{}, notification.Delivered, 1) }

func (x *story) do(commands ...notification.Command) *story {
	x.t.Helper()
	for _, c := range commands {
		events, err := notification.Decide(x.state, c)
		if err != nil {
			x.t.Fatalf("%T: %v", c, err)
		}
		x.state, x.events = notification.Decider.Fold(x.state, events...), append(x.events, events...)
	}
	return x
}

// last answers the last event of a type, as an input.
func last[E notification.Event](x *story) delivery.Input {
	x.t.Helper()
	for i := len(x.events) - 1; i >= 0; i-- {
		if e, ok := x.events[i].(E); ok {
			return delivery.Recorded{Event: e}
		}
	}
	var none E
	x.t.Fatalf("no %T happened", none)
	return nil
}

func (x *story) expect(in delivery.Input, now time.Duration, want ...delivery.Intent) {
	x.t.Helper()
	got := delivery.React(id, x.state, in, at(now))
	if diff := domaintest.Diff(want, got); diff != "" {
		x.t.Errorf("%T: other intents (-want +got):\n%s", in, diff)
	}
	if diff := domaintest.Diff(got, delivery.React(id, x.state, in, at(now))); diff != "" {
		x.t.Error("the same input asks for something else when it comes again")
	}
}

func claim(d time.Duration) notification.Claim {
	return notification.Claim{Attempt: 1, Claim: "c", Token: "token", TokenKey: "key", At: at(d)}
}

func outcome(d time.Duration, units ...notification.UnitOutcome) notification.RecordOutcome {
	return notification.RecordOutcome{Attempt: 1, Claim: "c", Units: units, At: at(d)}
}

func took(id string) notification.UnitOutcome {
	return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: id, At: at(s)}
}

var noAnswer = notification.UnitOutcome{Fate: notification.UnitLost}

func says(what receipt.Status, unit int, d time.Duration) notification.Confirm {
	return notification.Confirm{ReceiptID: string(what) + string(rune('0'+unit)), Attempt: 1, Unit: unit, Status: what, At: at(d)}
}

func submitted(id string, unit int) delivery.Register {
	return delivery.Register{Route: "smsc", ProviderID: id, Submission: receipt.Submission{
		Tenant: "acme", Notification: "n-1", Attempt: 1, Unit: unit, Token: "token", TokenKey: "key", AcceptedAt: at(s),
		OpenFrom: at(s - wireLimit/2),
	}}
}

func wake(attempt int, d time.Duration) delivery.Schedule {
	return delivery.Schedule{Attempt: attempt, At: at(d)}
}

func enforce(d time.Duration) delivery.Tell {
	return delivery.Tell{Command: notification.EnforceLimit{Attempt: 1, At: at(d)}}
}

var (
	dispatch = delivery.Dispatch{Attempt: 1, Channel: "sms", Priority: "normal"}
	fired    = delivery.Fired{Attempt: 1}
	self     = delivery.Fired{}
)

func TestRequested(t *testing.T) {
	x := begin(t, notification.Request{}, "", 0)
	x.expect(last[notification.NotificationRequested](x), 0, delivery.Gather{})
	x = begin(t, notification.Request{ExpiresAt: at(wait)}, "", 0)
	x.expect(last[notification.NotificationRequested](x), 0, delivery.Gather{}, wake(0, wait))
}

func TestScheduled(t *testing.T) {
	t.Run("due", func(t *testing.T) {
		x := one(t)
		x.expect(last[notification.NotificationScheduled](x), 5*s, dispatch, wake(1, redispatch)) // counted from due, so that all who look agree
	})
	t.Run("due later", func(t *testing.T) {
		x := begin(t, notification.Request{SendAt: at(time.Hour)}, notification.Delivered, 1)
		in := last[notification.NotificationScheduled](x)
		x.expect(in, 0, wake(1, time.Hour))
		x.expect(in, time.Hour, dispatch, wake(1, time.Hour+redispatch))
	})
	t.Run("near the end of its patience", func(t *testing.T) {
		x := one(t)
		x.expect(last[notification.NotificationScheduled](x), patience-s, dispatch, wake(1, patience))
	})
	t.Run("a retry waits for its back-off", func(t *testing.T) {
		x := one(t).do(claim(0), outcome(s, notification.UnitOutcome{Fate: notification.UnitNotSent}))
		due := x.state.Attempts[1].DueAt
		x.expect(last[notification.NotificationScheduled](x), s, delivery.Schedule{Attempt: 2, At: due})
	})
	t.Run("seen late, it watches over what the attempt is by then", func(t *testing.T) {
		x := one(t).do(claim(s))
		x.expect(last[notification.NotificationScheduled](x), 2*s, dispatch, wake(1, s+wireLimit))
	})
}

func TestEveryUnsettledStatusIsWatched(t *testing.T) {
	x := one(t).do(claim(s))
	x.expect(last[notification.NotificationDispatched](x), s, wake(1, s+wireLimit))
	x.do(outcome(2*s, took("id-1"), took("id-2")))
	x.expect(last[notification.NotificationSent](x), 2*s, submitted("id-1", 1), submitted("id-2", 2), wake(1, 2*s+wait))
	x.expect(last[notification.NotificationDispatched](x), 3*s, wake(1, 2*s+wait))

	x = one(t).do(claim(s), outcome(2*s, took("id-1"), noAnswer))
	x.expect(last[notification.NotificationOutcomeUnknown](x), 2*s, submitted("id-1", 1), wake(1, 2*s+unknownFor))
	x.do(outcome(3*s, took("id-1"), took("id-2"))) // late
	x.expect(last[notification.NotificationSent](x), 3*s, submitted("id-1", 1), submitted("id-2", 2), wake(1, 3*s+wait))

	x = begin(t, notification.Request{}, notification.Read, 1).do(claim(0), outcome(s, took("a"), took("b")),
		says(receipt.Delivered, 1, 5*s), says(receipt.Delivered, 2, 6*s))
	x.expect(last[notification.NotificationDelivered](x), 6*s, wake(1, s+wait))
}

// A receipt may come half the wire limit before the answer to its submit, which is as long
// as an answer is waited for; before an answer that came later still, since the dispatch.
func TestWhenASubmissionIsOpen(t *testing.T) {
	x := one(t).do(claim(s), outcome(2*s, noAnswer, noAnswer))
	late := took("id-1")
	late.At = at(10 * wireLimit)
	x.do(outcome(10*wireLimit, late, took("id-2")))
	fromDispatch, atOnce := submitted("id-1", 1), submitted("id-2", 2)
	fromDispatch.Submission.AcceptedAt, fromDispatch.Submission.OpenFrom = late.At, at(s)
	x.expect(last[notification.NotificationSent](x), 10*wireLimit, fromDispatch, atOnce, wake(1, 10*wireLimit+wait))
}

func TestSettledAttemptsAreNotWatched(t *testing.T) {
	x := one(t).do(claim(0), outcome(s, took("a"), took("b")), says(receipt.Delivered, 1, 5*s), says(receipt.Delivered, 2, 6*s))
	x.expect(last[notification.NotificationDelivered](x), 6*s)
	x.expect(last[notification.NotificationSent](x), 6*s, submitted("a", 1), submitted("b", 2))
	x.expect(last[notification.NotificationReceiptKept](x), 6*s)
	x.expect(fired, 10*wait)
	x.expect(delivery.Fired{Attempt: 7}, 10*wait)

	x = one(t).do(claim(0), outcome(s, took("a"), notification.UnitOutcome{Fate: notification.UnitRefused}))
	x.expect(last[notification.NotificationUndelivered](x), 2*s, submitted("a", 1)) // a unit went out all the same
	x.expect(last[notification.NotificationExhausted](x), 2*s)
	x.expect(fired, 10*wait)

	x = one(t).do(claim(0), outcome(s, took(""), took("b"))) // no receipt can name what has no id
	x.expect(last[notification.NotificationSent](x), s, submitted("b", 2), wake(1, s+wait))

	x = one(t).do(notification.Cancel{At: at(s)})
	x.expect(last[notification.NotificationCancelled](x), s)
	x.expect(last[notification.NotificationAttemptWithdrawn](x), s)
	x.expect(fired, 10*wait)
}

func TestOtherEventsAskForNothing(t *testing.T) {
	x := one(t)
	for _, e := range []notification.Event{
		notification.NotificationEnriched{}, notification.NotificationRead{}, notification.NotificationReceiptKept{},
		notification.NotificationRetried{}, notification.NotificationFailedOver{}, notification.NotificationGivenUp{},
		notification.NotificationAttemptWithdrawn{}, notification.NotificationRejected{}, notification.NotificationSuppressed{},
		notification.NotificationExpired{}, notification.NotificationCancelled{}, notification.NotificationExhausted{},
		notification.NotificationReplied{}, notification.NotificationPaid{},
	} {
		x.expect(delivery.Recorded{Event: e}, s)
	}
}

func TestDeadlineOfAnAttempt(t *testing.T) {
	t.Run("scheduled: dispatched again until its patience ends", func(t *testing.T) {
		x := one(t)
		x.expect(fired, redispatch, dispatch, wake(1, 2*redispatch))
		x.expect(fired, patience-s, dispatch, wake(1, patience))
		x.expect(fired, patience, enforce(patience))
	})
	t.Run("given back by a worker: dispatched again, beside its watchdog", func(t *testing.T) {
		back := delivery.Fired{Attempt: 1, GivenBack: true}
		x := one(t)
		x.expect(back, 5*s, dispatch)
		x.expect(back, patience, enforce(patience))
		x.do(claim(6 * s))
		x.expect(back, 7*s)
		x.do(outcome(8*s, took("a"), took("b")))
		x.expect(back, 9*s)
		later := begin(t, notification.Request{SendAt: at(time.Hour)}, notification.Delivered, 1)
		later.expect(back, time.Hour-1)
	})
	t.Run("scheduled: not before it is due", func(t *testing.T) {
		x := begin(t, notification.Request{SendAt: at(time.Hour)}, notification.Delivered, 1)
		x.expect(fired, time.Hour-1, wake(1, time.Hour)) // by a clock that is ahead
		x.expect(fired, time.Hour, dispatch, wake(1, time.Hour+redispatch))
	})
	t.Run("dispatched", func(t *testing.T) {
		x := one(t).do(claim(s))
		x.expect(fired, redispatch-31*s, wake(1, s+wireLimit)) // one that was set while it was scheduled
		x.expect(fired, s+wireLimit, enforce(s+wireLimit))
	})
	t.Run("dispatched, when all else is over", func(t *testing.T) {
		x := begin(t, notification.Request{}, "", 0)
		both := one(t).state.Plan.Steps[0]
		both.Targets = append(both.Targets, both.Targets[0])
		second := claim(s)
		second.Attempt = 2
		x.do(notification.Enrich{Plan: notification.Plan{Steps: []notification.Step{both}}, At: noon}, claim(s), second)
		confirmed := says(receipt.Read, 1, 2*s)
		confirmed.Attempt = 2
		x.do(confirmed)
		x.expect(fired, 3*s, wake(1, s+wireLimit))
		x.expect(fired, s+wireLimit, enforce(s+wireLimit))
	})
	t.Run("sent", func(t *testing.T) {
		x := one(t).do(claim(0), outcome(s, took("a"), took("b")))
		x.expect(fired, wireLimit, wake(1, s+wait)) // one that was set while it was dispatched
		x.expect(fired, s+wait, enforce(s+wait))
		x.do(notification.EnforceLimit{Attempt: 1, At: at(s + wait)}) // exhausted
		x.expect(fired, 2*wait)
	})
	t.Run("unknown", func(t *testing.T) {
		x := one(t).do(claim(0), outcome(s, noAnswer))
		x.expect(fired, wireLimit, wake(1, s+unknownFor))
		x.expect(fired, s+unknownFor, enforce(s+unknownFor))
	})
	t.Run("of a step that failed over", func(t *testing.T) {
		x := begin(t, notification.Request{}, notification.Delivered, 2).do(
			claim(0), outcome(s, noAnswer), notification.EnforceLimit{Attempt: 1, At: at(s + unknownFor)})
		x.expect(fired, 2*unknownFor)
	})
	t.Run("delivered, and a read is wanted", func(t *testing.T) {
		x := begin(t, notification.Request{}, notification.Read, 1).do(claim(0), outcome(s, took("a"), took("b")),
			says(receipt.Delivered, 1, 5*s), says(receipt.Delivered, 2, 6*s))
		x.expect(fired, s+wait, enforce(s+wait))
	})
}

func TestDeadlineOfTheNotification(t *testing.T) {
	t.Run("a source is asked again", func(t *testing.T) {
		x := begin(t, notification.Request{ExpiresAt: at(wait)}, "", 0)
		x.expect(self, 5*s, delivery.Gather{})
		begin(t, notification.Request{}, "", 0).expect(self, 5*s, delivery.Gather{})
	})
	t.Run("planned meanwhile", func(t *testing.T) {
		one(t).expect(self, 5*s)
	})
	expiring := func(t *testing.T) *story {
		return begin(t, notification.Request{ExpiresAt: at(time.Minute * 30)}, notification.Delivered, 1)
	}
	expiry := 30 * time.Minute
	t.Run("expiry", func(t *testing.T) {
		expiring(t).expect(self, expiry, delivery.Tell{Command: notification.Expire{At: at(expiry)}})
		x := begin(t, notification.Request{ExpiresAt: at(expiry)}, "", 0)
		x.expect(self, expiry, delivery.Tell{Command: notification.Expire{At: at(expiry)}})
	})
	t.Run("expiry, by a clock that is ahead: it is not lost", func(t *testing.T) {
		expiring(t).expect(self, expiry-1, wake(0, expiry))
		x := begin(t, notification.Request{ExpiresAt: at(expiry)}, "", 0)
		x.expect(self, expiry-1, delivery.Gather{}, wake(0, expiry))
		expiring(t).expect(self, 5*s) // another deadline, long before: that of the expiry stands
	})
	t.Run("expiry in flight comes again", func(t *testing.T) {
		x := expiring(t).do(claim(expiry - s))
		x.expect(self, expiry, wake(0, expiry+2*s))
	})
	t.Run("nothing to expire any more", func(t *testing.T) {
		x := expiring(t).do(notification.Cancel{At: at(s)})
		x.expect(self, expiry)
		(&story{t: t}).expect(self, expiry) // a deadline of a notification that is not there
	})
}

func TestMatchedReceipt(t *testing.T) {
	x := one(t).do(claim(0))
	r := receipt.ReceiptMatched{
		ReceiptID: "r-1", Notification: id, Attempt: 1, Unit: 2, Status: "delivered", Code: "000", Basis: receipt.ByFit,
		DoneAt: at(s), ReceivedAt: at(2 * s), At: at(3 * s),
	}
	x.expect(delivery.Matched{Receipt: r}, 4*s, delivery.Tell{Command: notification.Confirm{
		ReceiptID: "r-1", Attempt: 1, Unit: 2, Status: receipt.Delivered, Code: "000", Basis: "fit",
		DoneAt: at(s), ReceivedAt: at(2 * s), At: at(4 * s),
	}})
}
