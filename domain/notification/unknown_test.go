package notification_test

import (
	"testing"
	"time"

	"recapito/domain/notification"
)

func TestUnknownWaits(t *testing.T) {
	x := planned(t, step(delivered, target())).After(claim(1, 0))
	x = x.When(outcome(1, s, noAnswer)).Then(isUnknown(facts(1, dispatched, s), "no_answer"))
	is(t, x, notification.LifecycleOutcomeUnknown, false)
	for _, c := range []command{notification.ResendHeld{Attempt: 1, At: at(2 * s)}, notification.GiveUpHeld{Attempt: 1, At: at(2 * s)}} {
		x.When(c).ThenError(notification.ErrNotHeld)
	}
	t.Run("a receipt that fits settles it", func(t *testing.T) {
		is(t, x.After(says(1, 1, "delivered", "r", 9*s)), notification.LifecycleDelivered, true)
	})
	t.Run("a receipt says undelivered", func(t *testing.T) {
		x.When(says(1, 1, "undelivered", "r", 9*s)).Then(
			reported(facts(1, unknown, 9*s), receiptOf("r", 1, 9*s)), exhausted(9*s))
	})
}

func TestUnknownIsResent(t *testing.T) {
	plan := func(change ...func(*notification.Target)) notification.Step {
		return step(delivered, target(append(change, onUnknown(notification.UnknownResend))...))
	}
	t.Run("in the same append, with its reason before it", func(t *testing.T) {
		x := planned(t, plan()).After(claim(1, 0))
		x = x.When(outcome(1, s, noAnswer)).Then(
			isUnknown(facts(1, dispatched, s), "no_answer"),
			notification.NotificationRetried{Facts: facts(1, unknown, s), Next: 2, Why: "resend"},
			resend(facts(2, "", s, scheduledAt(s)), 1, 1))
		x.When(limit(1, wireLimit)).ThenNothing()
		x.When(outcome(1, s, noAnswer)).ThenNothing()
	})
	t.Run("by the watchdog too", func(t *testing.T) {
		planned(t, plan()).After(claim(1, 0)).When(limit(1, wireLimit)).Then(
			isUnknown(facts(1, dispatched, wireLimit), "wire_limit"),
			notification.NotificationRetried{Facts: facts(1, unknown, wireLimit), Next: 2, Why: "resend"},
			resend(facts(2, "", wireLimit, scheduledAt(wireLimit)), 1, 1))
	})
	t.Run("so often as the policy says", func(t *testing.T) {
		x := planned(t, plan(resends(2))).After(
			claim(1, 0), outcome(1, s, noAnswer), claim(2, 2*s), outcome(2, 3*s, noAnswer), claim(3, 4*s))
		x.When(outcome(3, 5*s, noAnswer)).Then(isUnknown(facts(3, dispatched, 5*s, scheduledAt(3*s)), "no_answer"))
		planned(t, plan(resends(0))).After(claim(1, 0)).When(outcome(1, s, noAnswer)).Then(isUnknown(facts(1, dispatched, s), "no_answer"))
	})
	t.Run("each target has its own", func(t *testing.T) {
		to := target(onUnknown(notification.UnknownResend))
		x := planned(t, step(delivered, to, to)).After(claim(1, 0), claim(2, 0), outcome(1, s, noAnswer))
		x.When(outcome(2, s, noAnswer)).Then(
			isUnknown(facts(2, dispatched, s, toTarget(2)), "no_answer"),
			notification.NotificationRetried{Facts: facts(2, unknown, s, toTarget(2)), Next: 4, Why: "resend"},
			resend(facts(4, "", s, toTarget(2), scheduledAt(s)), 2, 1))
	})
	t.Run("not from expires_at on", func(t *testing.T) {
		x := given(t, request(expiresAt(time.Minute)), enrich(plan()), claim(1, 59*s))
		x.When(outcome(1, time.Minute, noAnswer)).Then(isUnknown(facts(1, dispatched, time.Minute), "no_answer"))
	})
	t.Run("not when all is over", func(t *testing.T) {
		x := planned(t, step(sent, target(onUnknown(notification.UnknownResend)), target())).After(
			claim(1, 0), claim(2, 0), outcome(2, s, took("id", s)))
		x.When(outcome(1, 2*s, noAnswer)).Then(isUnknown(facts(1, dispatched, 2*s), "no_answer"))
	})
	t.Run("not if an undelivered receipt is there already", func(t *testing.T) {
		x := planned(t, plan()).After(claim(1, 0), says(1, 1, "undelivered", "r", s))
		x.When(outcome(1, 2*s, noAnswer)).Then(
			isUnknown(facts(1, dispatched, 2*s), "no_answer"),
			reported(facts(1, unknown, 2*s), notification.ReceiptFacts{Unit: 1}), exhausted(2*s))
	})

	resent := planned(t, plan()).After(claim(1, 0), outcome(1, s, noAnswer))
	second := func(from notification.Status, d time.Duration) notification.Facts {
		return facts(2, from, d, scheduledAt(s))
	}
	t.Run("a late Sent withdraws the resend that is not sent yet", func(t *testing.T) {
		x := resent.When(outcome(1, 2*s, took("id", 2*s))).Then(
			isSent(facts(1, unknown, 2*s, sentAt(2*s)), accepted(1, "id", 2*s)), withdrawn(second(scheduled, 2*s), "first_sent"))
		is(t, x, notification.LifecycleSent, false)
		is(t, x.After(limit(1, 2*s+wait)), notification.LifecycleExhausted, true)
	})
	t.Run("a late Sent leaves the resend that is on its way", func(t *testing.T) {
		resent.After(claim(2, 2*s)).When(outcome(1, 3*s, took("id", 3*s))).Then(
			isSent(facts(1, unknown, 3*s, sentAt(3*s)), accepted(1, "id", 3*s)))
	})
	t.Run("a receipt shows that the first one was sent: the resend is withdrawn", func(t *testing.T) {
		resent.When(says(1, 1, "delivered", "r", 9*s)).Then(
			isDelivered(facts(1, unknown, 9*s), receiptOf("r", 1, 9*s)), withdrawn(second(scheduled, 9*s), "wanted_reached"))
		// Also where more than delivered is wanted.
		x := planned(t, step(read, target(onUnknown(notification.UnknownResend)))).After(claim(1, 0), outcome(1, s, noAnswer))
		x.When(says(1, 1, "delivered", "r", 9*s)).Then(
			isDelivered(facts(1, unknown, 9*s), receiptOf("r", 1, 9*s)), withdrawn(second(scheduled, 9*s), "first_sent"))
	})
	t.Run("an undelivered receipt of the first leaves the resend", func(t *testing.T) {
		resent.When(says(1, 1, "undelivered", "r", 9*s)).Then(reported(facts(1, unknown, 9*s), receiptOf("r", 1, 9*s)))
	})
	t.Run("nor does a Sent that comes after it withdraw the resend", func(t *testing.T) {
		x := resent.After(says(1, 1, "undelivered", "r", 9*s))
		x.When(outcome(1, 10*s, took("id", 2*s))).Then(isSent(facts(1, undelivered, 10*s, sentAt(2*s)), accepted(1, "id", 2*s)))
	})
	t.Run("the step fails when the resend fails too", func(t *testing.T) {
		resent.After(claim(2, 2*s)).When(outcome(2, 3*s, refusal("11", false))).Then(
			failed(second(dispatched, 3*s), "refused", "11", false), exhausted(3*s))
		resent.When(limit(2, s+patience)).Then(withdrawn(second(scheduled, s+patience), "patience"), exhausted(s+patience))
	})
	t.Run("the limit of the first does not fail the step while its resend is open", func(t *testing.T) {
		resent.After(claim(2, 2*s)).When(limit(1, s+unknownFor)).ThenNothing()
	})
}

func TestUnknownIsHeld(t *testing.T) {
	hold := step(delivered, target(onUnknown(notification.UnknownHold)))
	held := planned(t, hold, step(delivered, target())).After(claim(1, 0), outcome(1, s, noAnswer))
	again := func(d time.Duration) notification.ResendHeld { return notification.ResendHeld{Attempt: 1, At: at(d)} }
	giveUp := func(d time.Duration) notification.GiveUpHeld {
		return notification.GiveUpHeld{Attempt: 1, Reason: "wrong number", At: at(d)}
	}
	over := s + unknownFor

	t.Run("a person resends", func(t *testing.T) {
		x := held.When(again(9*s)).Then(
			notification.NotificationRetried{Facts: facts(1, unknown, 9*s), Next: 2, Why: "resend"},
			resend(facts(2, "", 9*s, scheduledAt(9*s)), 1, 1))
		x.When(again(9 * s)).ThenError(notification.ErrNotHeld)
		x.When(giveUp(9 * s)).ThenError(notification.ErrNotHeld)
		x = x.After(claim(2, 10*s), outcome(2, 11*s, noAnswer))
		x.When(notification.ResendHeld{Attempt: 2, At: at(12 * s)}).ThenError(notification.ErrNotHeld) // no resends left
	})
	t.Run("a person gives up", func(t *testing.T) {
		x := held.When(giveUp(9*s)).Then(
			notification.NotificationGivenUp{Facts: facts(1, unknown, 9*s), Reason: "wrong number"},
			failedOver(2, 9*s), first(facts(2, "", 9*s, inStep(2), scheduledAt(9*s))))
		x.When(giveUp(10 * s)).ThenNothing()
		x.When(again(10 * s)).ThenError(notification.ErrNotHeld)
		is(t, x.After(says(1, 1, "delivered", "r", 20*s)), notification.LifecycleDelivered, true)
	})
	t.Run("at its limit it counts as failed", func(t *testing.T) {
		x := held.When(limit(1, over)).Then(failedOver(2, over), first(facts(2, "", over, inStep(2), scheduledAt(over))))
		x.When(again(over)).ThenError(notification.ErrNotHeld)
		held.When(again(over)).ThenError(notification.ErrNotHeld)
		held.When(giveUp(over)).ThenError(notification.ErrNotHeld)
	})
	t.Run("only an unknown outcome is held", func(t *testing.T) {
		for _, x := range []example{
			planned(t, hold), planned(t, hold).After(claim(1, 0)),
			planned(t, hold).After(claim(1, 0), outcome(1, s, took("id", s))),
			planned(t, hold, hold).After(claim(1, 0), outcome(1, s, refusal("11", false))),
		} {
			x.When(again(2 * s)).ThenError(notification.ErrNotHeld)
			x.When(giveUp(2 * s)).ThenError(notification.ErrNotHeld)
		}
	})
	t.Run("not once all is over, nor resent from expires_at on", func(t *testing.T) {
		x := planned(t, step(sent, target(onUnknown(notification.UnknownHold)), target())).After(
			claim(1, 0), outcome(1, s, noAnswer), claim(2, s), outcome(2, 2*s, took("id", 2*s)))
		x.When(again(3 * s)).ThenError(notification.ErrNotHeld)
		x.When(giveUp(3 * s)).ThenError(notification.ErrNotHeld)
		y := given(t, request(expiresAt(time.Minute)), enrich(hold), claim(1, 0), outcome(1, s, noAnswer))
		y.When(again(time.Minute)).ThenError(notification.ErrNotHeld)
	})
}
