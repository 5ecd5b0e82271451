package notification_test

import (
	"testing"
	"time"

	"recapito/domain/notification"
)

func TestWatchdog(t *testing.T) {
	two := []notification.Step{step(delivered, target()), step(delivered, target())}
	t.Run("scheduled: withdrawn at the end of its patience, which counts as failed", func(t *testing.T) {
		x := planned(t, two...)
		x.When(limit(1, patience-1)).ThenNothing()
		x.When(limit(1, patience)).Then(
			withdrawn(facts(1, scheduled, patience), "patience"),
			failedOver(2, patience), first(facts(2, "", patience, inStep(2), scheduledAt(patience))),
		).When(limit(1, patience)).ThenNothing()
	})
	t.Run("scheduled: the patience counts from due", func(t *testing.T) {
		x := given(t, request(func(r *notification.Request) { r.SendAt = at(time.Hour) }), enrich(two...))
		x.When(limit(1, patience)).ThenNothing()
		x.When(limit(1, patience+time.Hour)).Then(
			withdrawn(facts(1, scheduled, patience+time.Hour, dueAt(time.Hour)), "patience"),
			failedOver(2, patience+time.Hour), first(facts(2, "", patience+time.Hour, inStep(2), scheduledAt(patience+time.Hour))))
	})
	t.Run("dispatched: unknown at the wire limit", func(t *testing.T) {
		x := planned(t, two...).After(claim(1, s))
		x.When(limit(1, s+wireLimit-1)).ThenNothing()
		x.When(limit(1, s+wireLimit)).Then(isUnknown(facts(1, dispatched, s+wireLimit), "wire_limit")).
			When(limit(1, s+wireLimit)).ThenNothing()
	})
	t.Run("unknown: counts as failed at its limit", func(t *testing.T) {
		x := planned(t, two...).After(claim(1, 0), outcome(1, s, noAnswer))
		x.When(limit(1, s+unknownFor-1)).ThenNothing()
		end := s + unknownFor
		x.When(limit(1, end)).Then(failedOver(2, end), first(facts(2, "", end, inStep(2), scheduledAt(end)))).
			When(limit(1, end)).ThenNothing()
	})
	t.Run("unknown: ids that come later do not put its limit off", func(t *testing.T) {
		x := planned(t, step(delivered, target(units(2)))).After(
			claim(1, 0), limit(1, wireLimit), outcome(1, time.Hour, took("id", s), noAnswer))
		x.When(limit(1, wireLimit+unknownFor)).Then(exhausted(wireLimit + unknownFor))
	})
	t.Run("sent: counts as failed at the end of the step's wait", func(t *testing.T) {
		x := planned(t, two...).After(claim(1, 0), outcome(1, s, took("id", s)))
		x.When(limit(1, s+wait-1)).ThenNothing()
		end := s + wait
		x = x.When(limit(1, end)).Then(failedOver(2, end), first(facts(2, "", end, inStep(2), scheduledAt(end))))
		is(t, x, notification.LifecycleScheduled, false).When(limit(1, end+s)).ThenNothing()
		is(t, x.After(limit(2, end+patience)), notification.LifecycleExhausted, true)
	})
	t.Run("delivered: counts as failed at the end of the wait if a read is wanted", func(t *testing.T) {
		x := planned(t, step(read, target()), step(read, target())).After(
			claim(1, 0), outcome(1, s, took("id", s)), says(1, 1, "delivered", "r", 10*s))
		x.When(limit(1, s+wait-1)).ThenNothing()
		end := s + wait
		x = x.When(limit(1, end)).Then(failedOver(2, end), first(facts(2, "", end, inStep(2), scheduledAt(end))))
		is(t, x, notification.LifecycleDelivered, false)
		is(t, x.After(limit(2, end+patience)), notification.LifecycleDelivered, true) // exhausted, and delivered all the same
	})
	t.Run("delivered before any Sent: the wait counts from there", func(t *testing.T) {
		x := planned(t, step(read, target())).After(claim(1, 0), says(1, 1, "delivered", "r", 10*s))
		x.When(limit(1, 10*s+wait-1)).ThenNothing()
		x.When(limit(1, 10*s+wait)).Then(exhausted(10*s + wait))
	})
	t.Run("settled: nothing", func(t *testing.T) {
		late := 100 * time.Hour
		planned(t, step(delivered, target(), target())).After(claim(1, 0), outcome(1, s, refusal("11", false))).
			When(limit(1, late)).ThenNothing()
		x := planned(t, step(delivered, target())).After(claim(1, 0), outcome(1, s, took("id", s)))
		x.After(says(1, 1, "delivered", "r", 2*s)).When(limit(1, late)).ThenNothing()
		x.After(says(1, 1, "read", "r", 2*s)).When(limit(1, late)).ThenNothing()
		x.After(cancel(2 * s)).When(limit(1, late)).ThenNothing()
		planned(t, two...).After(cancel(s)).When(limit(1, late)).ThenNothing()
	})
	t.Run("dispatched still comes to an end when all is over", func(t *testing.T) {
		x := planned(t, step(sent, target(), target())).After(claim(1, 0), claim(2, 0), outcome(1, s, took("id", s)))
		is(t, x, notification.LifecycleSent, false)
		x = x.When(limit(2, wireLimit)).Then(isUnknown(facts(2, dispatched, wireLimit, toTarget(2)), "wire_limit"))
		is(t, x, notification.LifecycleSent, true)
	})
}

func TestFailover(t *testing.T) {
	t.Run("only when all of the step have failed, each in its way, and once", func(t *testing.T) {
		x := planned(t, step(delivered, target(), target(), target()), step(delivered, target(), target())).After(
			claim(1, 0), outcome(1, s, took("id", s)), // sent: failed at wait
			claim(2, 0), outcome(2, s, refusal("11", false)), // refused: failed
		)
		x.When(limit(1, s+wait)).ThenNothing() // attempt 3 is scheduled
		end := patience
		x = x.When(limit(3, end)).Then(
			withdrawn(facts(3, scheduled, end, toTarget(3)), "patience"), failedOver(2, end),
			first(facts(4, "", end, inStep(2), scheduledAt(end))),
			first(facts(5, "", end, inStep(2), toTarget(2), scheduledAt(end))))
		for attempt := 1; attempt <= 3; attempt++ {
			x.When(limit(attempt, 2*patience)).ThenNothing()
		}
	})
	t.Run("each step has its own wanted status", func(t *testing.T) {
		x := planned(t, step(delivered, target()), step(sent, target())).After(claim(1, 0), outcome(1, s, took("id", s)))
		is(t, x, notification.LifecycleSent, false)
		x = x.After(limit(1, s+wait), claim(2, 2*wait), outcome(2, 2*wait, took("id-2", 2*wait)))
		is(t, x, notification.LifecycleSent, true)
		y := planned(t, step(sent, target()), step(delivered, target())).After(
			limit(1, patience), claim(2, patience), outcome(2, patience, took("id", patience)))
		is(t, y, notification.LifecycleSent, false)
	})
	t.Run("an attempt of a step before may still deliver", func(t *testing.T) {
		x := planned(t, step(delivered, target()), step(delivered, target())).After(
			claim(1, 0), outcome(1, s, took("id", s)), limit(1, s+wait))
		end := 2 * wait
		x = x.When(says(1, 1, "delivered", "r", end)).Then(
			isDelivered(facts(1, sent, end, sentAt(s)), receiptOf("r", 1, end)),
			withdrawn(facts(2, scheduled, end, inStep(2), scheduledAt(s+wait)), "wanted_reached"))
		is(t, x, notification.LifecycleDelivered, true)
	})
	t.Run("a step's end does not wait for those before it", func(t *testing.T) {
		// Attempt 1 is sent after all, when its step is over; the next step goes its way.
		end := wireLimit + unknownFor
		x := planned(t, step(delivered, target()), step(delivered, target())).After(
			claim(1, 0), limit(1, wireLimit), limit(1, end), outcome(1, end+s, took("id", s)), claim(2, end+2*s))
		x.When(outcome(2, end+3*s, refusal("11", false))).Then(
			failed(facts(2, dispatched, end+3*s, inStep(2), scheduledAt(end)), "refused", "11", false), exhausted(end+3*s))
	})
	t.Run("a receipt says undelivered: the step has failed, and is not tried again", func(t *testing.T) {
		x := planned(t, step(delivered, target(tries(9))), step(delivered, target())).After(claim(1, 0), outcome(1, s, took("id", s)))
		x.When(says(1, 1, "undelivered", "r", 9*s)).Then(
			reported(facts(1, sent, 9*s, sentAt(s)), receiptOf("r", 1, 9*s)),
			failedOver(2, 9*s), first(facts(2, "", 9*s, inStep(2), scheduledAt(9*s))))
	})
	t.Run("from expires_at on, Expired is decided instead", func(t *testing.T) {
		x := given(t, request(expiresAt(wait)), enrich(step(delivered, target()), step(delivered, target())), claim(1, 0), outcome(1, s, took("id", s)))
		x = x.When(limit(1, s+wait)).Then(notification.NotificationExpired{Filing: filing, At: at(s + wait)})
		is(t, x, notification.LifecycleExpired, true)
		is(t, x.After(says(1, 1, "delivered", "r", 2*wait)), notification.LifecycleDelivered, true)
	})
	t.Run("exhausted, and delivered after that", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(claim(1, 0), outcome(1, s, took("id", s)), limit(1, s+wait))
		is(t, x, notification.LifecycleExhausted, true)
		x = x.When(says(1, 1, "delivered", "r", 2*wait)).Then(isDelivered(facts(1, sent, 2*wait, sentAt(s)), receiptOf("r", 1, 2*wait)))
		is(t, x, notification.LifecycleDelivered, true)
		x = x.When(says(1, 1, "read", "r2", 3*wait)).Then(isRead(facts(1, delivered, 3*wait, sentAt(s)), receiptOf("r2", 1, 3*wait)))
		is(t, x, notification.LifecycleRead, true)
		x.When(cancel(3 * wait)).ThenError(notification.ErrFinal)
	})
}
