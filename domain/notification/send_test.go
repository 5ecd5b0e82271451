package notification_test

import (
	"testing"
	"time"

	"recapito/domain/notification"
)

func TestClaim(t *testing.T) {
	one := step(delivered, target())
	t.Run("a scheduled attempt", func(t *testing.T) {
		x := planned(t, one).When(claim(1, 5*s)).Then(isDispatched(facts(1, scheduled, 5*s)))
		is(t, x, notification.LifecycleDispatched, false)
	})
	t.Run("twice by the same worker: the append was repeated", func(t *testing.T) {
		planned(t, one).After(claim(1, 0)).When(claim(1, s)).ThenNothing()
	})
	t.Run("twice by two workers", func(t *testing.T) {
		other := claim(1, s)
		other.Claim = "other"
		planned(t, one).After(claim(1, 0)).When(other).ThenError(notification.ErrNotScheduled)
	})
	t.Run("again after its result", func(t *testing.T) {
		planned(t, one).After(claim(1, 0), outcome(1, s, took("1", s))).When(claim(1, 2*s)).ThenError(notification.ErrNotScheduled)
		planned(t, one).After(claim(1, 0), outcome(1, s, noAnswer)).When(claim(1, 2*s)).ThenError(notification.ErrNotScheduled)
	})
	t.Run("before it is due", func(t *testing.T) {
		x := given(t, request(func(r *notification.Request) { r.SendAt = at(time.Hour) }), enrich(one))
		x.When(claim(1, time.Hour-1)).ThenError(notification.ErrNotDue)
		x.When(claim(1, time.Hour)).Then(isDispatched(facts(1, scheduled, time.Hour, dueAt(time.Hour))))
	})
	t.Run("from expires_at on", func(t *testing.T) {
		x := given(t, request(expiresAt(time.Hour)), enrich(one))
		x.When(claim(1, time.Hour-1)).Then(isDispatched(facts(1, scheduled, time.Hour-1)))
		x.When(claim(1, time.Hour)).ThenError(notification.ErrExpired)
	})
	t.Run("withdrawn", func(t *testing.T) {
		planned(t, one).After(cancel(s)).When(claim(1, 2*s)).ThenError(notification.ErrNotScheduled)
	})
}

func TestOutcome(t *testing.T) {
	claimed := func(t *testing.T, targets ...notification.Target) example {
		return planned(t, step(delivered, targets...), step(delivered, target())).After(claim(1, 0))
	}
	t.Run("accepted", func(t *testing.T) {
		x := claimed(t, target()).When(outcome(1, 2*s, took("id-1", s))).Then(
			isSent(facts(1, dispatched, 2*s, sentAt(s)), accepted(1, "id-1", s)))
		is(t, x, notification.LifecycleSent, false)
		x.When(outcome(1, 3*s, took("id-1", s))).ThenNothing()
		x.When(outcome(1, 3*s, refusal("x", true))).ThenNothing() // a whole answer is not taken back
	})
	t.Run("accepted in units: sent when the last one was", func(t *testing.T) {
		claimed(t, target(units(2))).When(outcome(1, 3*s, took("id-1", 2*s), took("id-2", s))).Then(
			isSent(facts(1, dispatched, 3*s, ofParts(2), sentAt(2*s)), accepted(1, "id-1", 2*s), accepted(2, "id-2", s)))
	})
	t.Run("by another claim", func(t *testing.T) {
		foreign := outcome(1, s, took("id", s))
		foreign.Claim = "other"
		claimed(t, target()).When(foreign).ThenError(notification.ErrWrongClaim)
		foreign.Claim = ""
		planned(t, step(sent, target())).When(foreign).ThenError(notification.ErrWrongClaim)
	})
	t.Run("refused for good: the step has failed", func(t *testing.T) {
		x := claimed(t, target()).When(outcome(1, s, refusal("11", false))).Then(
			failed(facts(1, dispatched, s), "refused", "11", false),
			failedOver(2, s),
			first(facts(2, "", s, inStep(2), scheduledAt(s))))
		is(t, x, notification.LifecycleScheduled, false)
	})
	t.Run("refused for good, the other of the step is still open", func(t *testing.T) {
		claimed(t, target(), target()).When(outcome(1, s, refusal("11", false))).Then(
			failed(facts(1, dispatched, s), "refused", "11", false))
	})
	t.Run("refused in the last step", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(claim(1, 0)).When(outcome(1, s, refusal("11", false))).Then(
			failed(facts(1, dispatched, s), "refused", "11", false), exhausted(s))
		is(t, x, notification.LifecycleExhausted, true)
	})
	t.Run("one unit refused, none accepted: the first refusal's code, permanent if one was", func(t *testing.T) {
		claimed(t, target(units(2)), target()).When(outcome(1, s, refusal("58", true), refusal("11", false))).Then(
			failed(facts(1, dispatched, s, ofParts(2)), "refused", "58", false))
	})
	for name, second := range map[string]notification.UnitOutcome{"refused": refusal("58", true), "dropped": dropped} {
		t.Run("one unit accepted, the other "+name+": permanent, with the accepted ids", func(t *testing.T) {
			code := second.Code
			if code == "" {
				code = notification.CodeNotSent
			}
			x := claimed(t, target(units(2)), target()).When(outcome(1, s, took("id-1", s), second)).Then(
				failed(facts(1, dispatched, s, ofParts(2)), "partial", code, false, accepted(1, "id-1", s)))
			if got := x.State(); len(got.SentAttempts()) != 1 {
				t.Error("what was sent in part is not listed as sent")
			}
		})
	}
	t.Run("accepted and lost units only: unknown, with the accepted ids", func(t *testing.T) {
		x := claimed(t, target(units(3))).When(outcome(1, s, took("id-1", s), noAnswer, noAnswer)).Then(
			isUnknown(facts(1, dispatched, s, ofParts(3)), "no_answer", accepted(1, "id-1", s)))
		is(t, x, notification.LifecycleOutcomeUnknown, false)
		x.When(outcome(1, s, took("id-1", s), noAnswer, noAnswer)).ThenNothing()
	})
	for name, others := range map[string][]notification.UnitOutcome{
		"accepted and lost": {took("id-1", s), noAnswer}, "lost": {noAnswer, noAnswer}, "accepted": {took("id-1", s), took("id-2", s)},
	} {
		var ids []notification.Accepted
		lost := 0
		for i, u := range others {
			if u.ProviderID != "" {
				ids = append(ids, accepted(i+1, u.ProviderID, s))
			} else {
				lost++
			}
		}
		for code, third := range map[string]notification.UnitOutcome{"58": refusal("58", true), "not_sent": dropped} {
			t.Run(name+" units, and one "+code+": permanent, because some may have been sent", func(t *testing.T) {
				e := failed(facts(1, dispatched, s, ofParts(3)), "partial", code, false, ids...)
				e.Lost = lost
				claimed(t, target(units(3)), target()).When(outcome(1, s, append(others[:2:2], third)...)).Then(e)
			})
		}
	}
	t.Run("refused and missing units, none that may have been sent: transient", func(t *testing.T) {
		x := planned(t, step(delivered, target(units(2), tries(1)), target())).After(claim(1, 0))
		x.When(outcome(1, s, refusal("58", true), dropped)).Then(failed(facts(1, dispatched, s, ofParts(2)), "refused", "58", true))
	})
	t.Run("an answer that was lost comes after all: what it brings is appended, once", func(t *testing.T) {
		x := claimed(t, target(units(2)), target()).After(outcome(1, s, noAnswer, refusal("58", true)))
		late := outcome(1, 2*s, took("id-1", 2*s), refusal("58", true))
		x.When(late).Then(failed(facts(1, undelivered, 2*s, ofParts(2)), "partial", "58", false, accepted(1, "id-1", 2*s))).When(late).ThenNothing()
	})
	t.Run("a unit that was accepted stays so, whatever a later outcome says", func(t *testing.T) {
		first := outcome(1, s, took("id-1", s), took("id-2", s), noAnswer)
		x := claimed(t, target(units(3)), target()).After(first)
		e := failed(facts(1, unknown, 2*s, ofParts(3)), "partial", "58", false, accepted(1, "id-1", s), accepted(2, "id-2", s))
		x = x.When(outcome(1, 2*s, took("id-1", s), noAnswer, refusal("58", true))).Then(e)
		x.When(first).ThenNothing()
	})
	t.Run("the sent that comes after a receipt was quicker is appended for its ids, once", func(t *testing.T) {
		x := claimed(t, target()).After(says(1, 1, "delivered", "r", s))
		late := outcome(1, 2*s, took("id-1", 2*s))
		x = x.When(late).Then(isSent(facts(1, delivered, 2*s, sentAt(2*s)), accepted(1, "id-1", 2*s)))
		x.When(late).ThenNothing()
	})
	t.Run("of no unit at all: nobody can know", func(t *testing.T) {
		claimed(t, target()).When(outcome(1, s)).Then(isUnknown(facts(1, dispatched, s), "no_answer"))
	})
}

// retried decides a command that must schedule a retry, and answers when that is due.
func retried(t *testing.T, x example, c command) (example, notification.NotificationScheduled) {
	t.Helper()
	events, err := notification.Decide(x.State(), c)
	if err != nil {
		t.Fatal(err)
	}
	last, ok := events[len(events)-1].(notification.NotificationScheduled)
	if !ok {
		t.Fatalf("the last event is %T", events[len(events)-1])
	}
	return x.Given(events...), last
}

func TestRetry(t *testing.T) {
	one := step(delivered, target(tries(3)))
	busy := func(attempt int, d time.Duration) command { return outcome(attempt, d, refusal("58", true)) }

	t.Run("a transient refusal is tried again after its back-off", func(t *testing.T) {
		x := planned(t, one).After(claim(1, 0))
		_, next := retried(t, x, busy(1, s))
		x.When(busy(1, s)).Then(
			failed(facts(1, dispatched, s), "refused", "58", true),
			notification.NotificationRetried{Facts: facts(1, undelivered, s), Next: 2, Why: "failed", Code: "58"},
			notification.NotificationScheduled{Facts: facts(2, "", s, scheduledAt(s), dueAt(next.Due.Sub(noon))), Due: next.Due, Kind: notification.Retry, Of: 1, Try: 2},
		).When(busy(1, 2*s)).ThenNothing()
	})
	t.Run("the back-off doubles up to its bound and is spread by a fifth", func(t *testing.T) {
		x := planned(t, step(delivered, target(tries(5))))
		now := time.Duration(0)
		for attempt, want := range []time.Duration{100 * s, 200 * s, 300 * s, 300 * s} {
			var next notification.NotificationScheduled
			x, next = retried(t, x.After(claim(attempt+1, now)), busy(attempt+1, now))
			got := next.Due.Sub(at(now))
			if got < want*8/10 || got > want*12/10 {
				t.Errorf("retry %d is due after %v, want %v ± 20 %%", attempt+1, got, want)
			}
			now += got
		}
	})
	t.Run("until no tries are left", func(t *testing.T) {
		x := planned(t, step(delivered, target(tries(1)))).After(claim(1, 0))
		x.When(busy(1, s)).Then(failed(facts(1, dispatched, s), "refused", "58", true), exhausted(s))
	})
	t.Run("what was not sent does not count as a try", func(t *testing.T) {
		x := planned(t, step(delivered, target(tries(1)))).After(claim(1, 0))
		drop := outcome(1, s, dropped)
		_, next := retried(t, x, drop)
		x = x.When(drop).Then(
			failed(facts(1, dispatched, s), "not_sent", "not_sent", true),
			notification.NotificationRetried{Facts: facts(1, undelivered, s), Next: 2, Why: "failed", Code: "not_sent"},
			notification.NotificationScheduled{Facts: facts(2, "", s, scheduledAt(s), dueAt(next.Due.Sub(noon))), Due: next.Due, Kind: notification.Retry, Of: 1, Try: 1},
		)
		if st := x.State(); len(st.SentAttempts()) != 0 {
			t.Error("what was not sent is listed as sent")
		}
		x = x.After(claim(2, 200*s))
		x.When(busy(2, 201*s)).Then(failed(facts(2, dispatched, 201*s, scheduledAt(s), dueAt(next.Due.Sub(noon))), "refused", "58", true), exhausted(201*s))
	})
	t.Run("what the provider throttled does not count as a try", func(t *testing.T) {
		throttled := refusal("58", true)
		throttled.Busy = true
		x := planned(t, step(delivered, target(units(2), tries(1)))).After(claim(1, 0))
		_, next := retried(t, x, outcome(1, s, throttled, dropped))
		if next.Try != 1 || next.Of != 1 {
			t.Errorf("the next attempt is try %d of %d, want the first", next.Try, next.Of)
		}
		if _, last := retried(t, x, outcome(1, s, throttled, throttled)); last.Try != 1 {
			t.Errorf("both units throttled: try %d", last.Try)
		}
		x.When(outcome(1, s, throttled, refusal("8", true))).Then(
			failed(facts(1, dispatched, s, ofParts(2)), "refused", "58", true), exhausted(s))
	})
	t.Run("a unit refused and the rest not sent does count", func(t *testing.T) {
		x := planned(t, step(delivered, target(units(2), tries(1)))).After(claim(1, 0))
		x.When(outcome(1, s, refusal("58", true), dropped)).Then(
			failed(facts(1, dispatched, s, ofParts(2)), "refused", "58", true), exhausted(s))
	})
	t.Run("never more attempts than the limit", func(t *testing.T) {
		x := planned(t, step(delivered, target()))
		now := time.Duration(0)
		for attempt := 1; attempt < notification.MaxAttempts; attempt++ {
			var next notification.NotificationScheduled
			x, next = retried(t, x.After(claim(attempt, now)), outcome(attempt, now, dropped))
			now = next.Due.Sub(noon)
		}
		x = x.After(claim(notification.MaxAttempts, now), outcome(notification.MaxAttempts, now, dropped))
		is(t, x, notification.LifecycleExhausted, true)
	})
	t.Run("not once it is cancelled, expired or satisfied", func(t *testing.T) {
		// A cancel is refused while an attempt is dispatched, so the end comes from its sibling.
		x := planned(t, step(sent, target(), target())).After(claim(1, 0), claim(2, 0), outcome(2, s, took("2", s)))
		x.When(busy(1, 2*s)).Then(failed(facts(1, dispatched, 2*s), "refused", "58", true))
	})
	t.Run("not from expires_at on", func(t *testing.T) {
		x := given(t, request(expiresAt(time.Minute)), enrich(step(sent, target()), step(sent, target())), claim(1, 50*s))
		x = x.When(busy(1, time.Minute)).Then(
			failed(facts(1, dispatched, time.Minute), "refused", "58", true), notification.NotificationExpired{Filing: filing, At: at(time.Minute)})
		is(t, x, notification.LifecycleExpired, true)
	})
	t.Run("not of a step that is not current", func(t *testing.T) {
		// Attempt 1 is unknown past its limit, so its step failed over; then its answer comes.
		x := planned(t, step(delivered, target()), step(delivered, target())).After(
			claim(1, 0), limit(1, wireLimit), limit(1, wireLimit+unknownFor))
		late := wireLimit + unknownFor + s
		x.When(busy(1, late)).Then(failed(facts(1, unknown, late), "refused", "58", true))
	})
	t.Run("not of an attempt that was resent", func(t *testing.T) {
		x := planned(t, step(delivered, target(onUnknown(notification.UnknownResend)))).After(claim(1, 0), outcome(1, s, noAnswer))
		x.When(busy(1, 2*s)).Then(failed(facts(1, unknown, 2*s), "refused", "58", true))
	})
}

func TestLateAnswers(t *testing.T) {
	lost := planned(t, step(delivered, target()), step(delivered, target())).After(claim(1, 0), limit(1, wireLimit))
	late := wireLimit + s
	t.Run("a Sent after its outcome was said unknown", func(t *testing.T) {
		lost.When(outcome(1, late, took("id", s))).Then(isSent(facts(1, unknown, late, sentAt(s)), accepted(1, "id", s)))
	})
	t.Run("no answer, after the watchdog said so", func(t *testing.T) {
		lost.When(outcome(1, late, noAnswer)).ThenNothing()
	})
	t.Run("no answer, but the ids of some units", func(t *testing.T) {
		two := planned(t, step(delivered, target(units(2)))).After(claim(1, 0), limit(1, wireLimit))
		two.When(outcome(1, late, took("id", s), noAnswer)).Then(
			isUnknown(facts(1, unknown, late, ofParts(2)), "no_answer", accepted(1, "id", s)),
		).When(outcome(1, late, took("id", s), noAnswer)).ThenNothing()
	})
	t.Run("not sent, after its outcome was said unknown: it may be tried again", func(t *testing.T) {
		_, next := retried(t, lost, outcome(1, late, dropped))
		if next.Of != 1 || next.Try != 1 {
			t.Errorf("%+v", next)
		}
	})
	t.Run("a refusal for good fails the step", func(t *testing.T) {
		lost.When(outcome(1, late, refusal("11", false))).Then(
			failed(facts(1, unknown, late), "refused", "11", false), failedOver(2, late),
			first(facts(2, "", late, inStep(2), scheduledAt(late))))
	})
	t.Run("a Sent that cannot raise the status is kept for its ids", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(claim(1, 0), says(1, 1, "delivered", "r", 2*s))
		x = x.When(outcome(1, 3*s, took("id", s))).Then(isSent(facts(1, delivered, 3*s, sentAt(s)), accepted(1, "id", s)))
		is(t, x, notification.LifecycleDelivered, true).When(outcome(1, 4*s, took("id", s))).ThenNothing()
	})
	t.Run("a refusal that cannot raise the status, with ids", func(t *testing.T) {
		x := planned(t, step(sent, target(units(2)))).After(claim(1, 0), limit(1, wireLimit), says(1, 1, "undelivered", "r", 31*s))
		x.When(outcome(1, late, took("id", s), refusal("58", true))).Then(
			failed(facts(1, undelivered, late, ofParts(2)), "partial", "58", false, accepted(1, "id", s)))
	})
	t.Run("a refusal that cannot raise the status, without ids", func(t *testing.T) {
		x := planned(t, step(sent, target())).After(claim(1, 0), limit(1, wireLimit), says(1, 1, "undelivered", "r", 31*s))
		x.When(outcome(1, late, refusal("58", true))).ThenNothing()
	})
	t.Run("a Sent of a step that failed over is the wanted status all the same", func(t *testing.T) {
		x := planned(t, step(sent, target()), step(sent, target())).After(claim(1, 0), limit(1, wireLimit), limit(1, wireLimit+unknownFor))
		end := wireLimit + unknownFor + s
		x = x.When(outcome(1, end, took("id", s))).Then(
			isSent(facts(1, unknown, end, sentAt(s)), accepted(1, "id", s)),
			withdrawn(facts(2, scheduled, end, inStep(2), scheduledAt(wireLimit+unknownFor)), "wanted_reached"))
		is(t, x, notification.LifecycleSent, true)
	})
}

func TestWantedSent(t *testing.T) {
	x := planned(t, step(sent, target(), target(), target()), step(sent, target())).After(claim(1, 0), claim(2, 0))
	x = x.When(outcome(1, s, took("id", s))).Then(
		isSent(facts(1, dispatched, s, sentAt(s)), accepted(1, "id", s)),
		withdrawn(facts(3, scheduled, s, toTarget(3)), "wanted_reached"))
	is(t, x, notification.LifecycleSent, false) // attempt 2 is still on its way
	x = x.After(outcome(2, 2*s, refusal("11", false)))
	is(t, x, notification.LifecycleUndelivered, true) // the step's highest attempt
	is(t, x.After(says(1, 1, "delivered", "r", 3*s)), notification.LifecycleDelivered, true)
	x.When(cancel(4 * s)).ThenError(notification.ErrFinal)
	x.When(expire(4 * s)).ThenNothing()
}
