package notification_test

import (
	"testing"
	"time"

	"recapito/domain/notification"
)

func isCancelled(d time.Duration, sent ...int) notification.NotificationCancelled {
	return notification.NotificationCancelled{Filing: filing, Reason: "moved", Sent: sent, At: at(d)}
}

func TestCancel(t *testing.T) {
	two := step(delivered, target(), target())
	t.Run("before it is planned", func(t *testing.T) {
		x := given(t, request()).When(cancel(s)).Then(isCancelled(s))
		is(t, x, notification.LifecycleCancelled, true).When(cancel(2 * s)).ThenNothing()
	})
	t.Run("what is scheduled is withdrawn, and what was sent is listed", func(t *testing.T) {
		x := planned(t, two).After(claim(1, 0), outcome(1, s, took("id", s)))
		x = x.When(cancel(2*s)).Then(isCancelled(2*s, 1), withdrawn(facts(2, scheduled, 2*s, toTarget(2)), "cancelled"))
		is(t, x, notification.LifecycleCancelled, true)
		is(t, x.After(says(1, 1, "delivered", "r", 9*s)), notification.LifecycleDelivered, true)
		x.When(limit(1, 2*wait)).ThenNothing()
	})
	t.Run("refused while an attempt is dispatched", func(t *testing.T) {
		planned(t, two).After(claim(1, 0)).When(cancel(s)).ThenError(notification.ErrInFlight)
	})
	t.Run("refused while an outcome is unknown within its limit", func(t *testing.T) {
		x := planned(t, two).After(claim(1, 0), outcome(1, s, noAnswer))
		x.When(cancel(s + unknownFor - 1)).ThenError(notification.ErrInFlight)
		x.When(cancel(s+unknownFor)).Then(isCancelled(s+unknownFor, 1), withdrawn(facts(2, scheduled, s+unknownFor, toTarget(2)), "cancelled"))
	})
	t.Run("an unknown one that was resent does not hold it up", func(t *testing.T) {
		x := planned(t, step(delivered, target(onUnknown(notification.UnknownResend)))).After(claim(1, 0), outcome(1, s, noAnswer))
		x.When(cancel(2*s)).Then(isCancelled(2*s, 1), withdrawn(facts(2, scheduled, 2*s, scheduledAt(s)), "cancelled"))
	})
	t.Run("nor one that was given up, or is of an earlier step", func(t *testing.T) {
		hold := target(onUnknown(notification.UnknownHold))
		x := planned(t, step(delivered, hold), step(delivered, target())).After(
			claim(1, 0), outcome(1, s, noAnswer), notification.GiveUpHeld{Attempt: 1, At: at(2 * s)})
		x.When(cancel(3*s)).Then(isCancelled(3*s, 1), withdrawn(facts(2, scheduled, 3*s, inStep(2), scheduledAt(2*s)), "cancelled"))
	})
	t.Run("what was refused was not sent, but in unit it was", func(t *testing.T) {
		x := planned(t, step(delivered, target(), target(units(2)), target())).After(
			claim(1, 0), outcome(1, s, refusal("11", false)), claim(2, 0), outcome(2, s, took("id", s), refusal("11", false)))
		x.When(cancel(2*s)).Then(isCancelled(2*s, 2), withdrawn(facts(3, scheduled, 2*s, toTarget(3)), "cancelled"))
	})
	t.Run("refused when all is over", func(t *testing.T) {
		for _, x := range []example{
			planned(t, step(sent, target())).After(claim(1, 0), outcome(1, s, took("id", s))),
			planned(t, step(sent, target())).After(limit(1, patience)),
			given(t, request(), notification.Reject{At: at(s)}),
			given(t, request(), notification.Suppress{At: at(s)}),
			given(t, request(expiresAt(s)), expire(s)),
		} {
			x.When(cancel(patience + s)).ThenError(notification.ErrFinal)
		}
	})
}

func TestExpire(t *testing.T) {
	expired := func(d time.Duration) notification.NotificationExpired {
		return notification.NotificationExpired{Filing: filing, At: at(d)}
	}
	with := func(t *testing.T, targets ...notification.Target) example {
		return given(t, request(expiresAt(time.Hour)), enrich(step(delivered, targets...)))
	}
	t.Run("nothing to expire", func(t *testing.T) {
		planned(t, step(sent, target())).When(expire(1000 * time.Hour)).ThenNothing()
		with(t, target()).When(expire(time.Hour - 1)).ThenNothing()
	})
	t.Run("what is scheduled is withdrawn", func(t *testing.T) {
		x := with(t, target(), target()).When(expire(time.Hour)).Then(expired(time.Hour),
			withdrawn(facts(1, scheduled, time.Hour), "expired"), withdrawn(facts(2, scheduled, time.Hour, toTarget(2)), "expired"))
		is(t, x, notification.LifecycleExpired, true).When(expire(time.Hour)).ThenNothing()
	})
	t.Run("before it is planned", func(t *testing.T) {
		x := given(t, request(expiresAt(time.Hour))).When(expire(time.Hour)).Then(expired(time.Hour))
		is(t, x, notification.LifecycleExpired, true)
	})
	t.Run("refused in flight, and comes again", func(t *testing.T) {
		x := with(t, target(), target()).After(claim(1, time.Hour-s))
		x.When(expire(time.Hour)).ThenError(notification.ErrInFlight)
		x = x.After(outcome(1, time.Hour+s, noAnswer))
		x.When(expire(time.Hour + 2*s)).ThenError(notification.ErrInFlight)
		end := time.Hour + s + unknownFor
		x.When(expire(end)).Then(expired(end), withdrawn(facts(2, scheduled, end, toTarget(2)), "expired"))
	})
	t.Run("delivered all the same", func(t *testing.T) {
		x := with(t, target()).After(claim(1, 0), outcome(1, s, took("id", s)), expire(time.Hour))
		is(t, x, notification.LifecycleExpired, true)
		is(t, x.After(says(1, 1, "delivered", "r", 2*time.Hour)), notification.LifecycleDelivered, true)
	})
	t.Run("not what is over", func(t *testing.T) {
		given(t, request(expiresAt(time.Hour)), cancel(s)).When(expire(time.Hour)).ThenNothing()
		with(t, target()).After(claim(1, 0), says(1, 1, "delivered", "r", 2*s)).When(expire(time.Hour)).ThenNothing()
	})
}
