package notification_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/notification"
)

var looked = []notification.Revision{{Stream: "recipient-person-1", Revision: 7}, {Stream: "tenant-acme", Revision: 3}}

func guarded(attempt int, d time.Duration, g notification.Guard) notification.Claim {
	c := claim(attempt, d)
	g.Read = looked
	c.Guard = g
	return c
}

func postponed(f notification.Facts, until time.Duration) notification.NotificationPostponed {
	return notification.NotificationPostponed{Facts: f, Until: at(until), Code: "quiet_hours", Read: looked}
}

func TestClaimGuard(t *testing.T) {
	closed := notification.Guard{Verdict: notification.Reschedule, Until: at(time.Hour), Code: "quiet_hours"}
	forbidden := notification.Guard{Verdict: notification.Forbid, Code: "opted_out", Detail: "the person opted out"}

	t.Run("allowed: the claim records what was read", func(t *testing.T) {
		e := isDispatched(facts(1, scheduled, s))
		e.Read = looked
		planned(t, step(delivered, target())).When(guarded(1, s, notification.Guard{})).Then(e)
	})
	t.Run("the window is closed: the attempt waits and is claimed later, as its first try", func(t *testing.T) {
		x := planned(t, step(delivered, target(tries(1)))).When(guarded(1, s, closed)).Then(postponed(facts(1, scheduled, s), time.Hour))
		is(t, x, notification.LifecycleScheduled, false)
		x.When(claim(1, time.Hour-s)).ThenError(notification.ErrNotDue)
		x.When(claim(1, time.Hour)).Then(isDispatched(facts(1, scheduled, time.Hour)))
		if a := x.State().Attempts[0]; a.Try != 1 || !a.Due.Equal(at(time.Hour)) || !a.DueAt.Equal(noon) {
			t.Errorf("try %d, due %v, first due %v", a.Try, a.Due, a.DueAt)
		}
	})
	t.Run("patience counts from when the window opens", func(t *testing.T) {
		x := planned(t, step(delivered, target())).After(guarded(1, s, closed))
		x.When(limit(1, patience)).ThenNothing()
		x.When(limit(1, time.Hour+patience)).Then(
			withdrawn(facts(1, scheduled, time.Hour+patience), "patience"), exhausted(time.Hour+patience))
	})
	t.Run("a window that opened already is no reason to wait", func(t *testing.T) {
		past := closed
		past.Until = at(s)
		planned(t, step(delivered, target())).When(guarded(1, s, past)).ThenError(notification.ErrBadGuard)
		planned(t, step(delivered, target())).When(guarded(1, s, notification.Guard{Verdict: 9})).ThenError(notification.ErrBadGuard)
	})
	t.Run("consent withdrawn: everything scheduled is withdrawn, and no step goes round it", func(t *testing.T) {
		x := planned(t, step(delivered, target(), target()), step(delivered, target())).When(guarded(1, s, forbidden)).Then(
			notification.NotificationSuppressed{Filing: filing, Code: "opted_out", Detail: "the person opted out", Read: looked, At: at(s)},
			withdrawn(facts(1, scheduled, s), "suppressed"), withdrawn(facts(2, scheduled, s, toTarget(2)), "suppressed"))
		is(t, x, notification.LifecycleSuppressed, true)
		x.When(guarded(2, 2*s, forbidden)).ThenError(notification.ErrNotScheduled)
		x.When(limit(1, patience)).ThenNothing()
	})
	t.Run("what is on the wire then goes on, and is still delivered", func(t *testing.T) {
		x := planned(t, step(delivered, target(), target())).After(claim(2, 0), guarded(1, s, forbidden))
		is(t, x, notification.LifecycleSuppressed, false)
		x = x.After(outcome(2, 2*s, took("id", 2*s)), says(2, 1, "delivered", "r", 3*s))
		is(t, x, notification.LifecycleDelivered, true)
	})
	t.Run("the guard is asked only of what may be claimed", func(t *testing.T) {
		again := guarded(1, s, forbidden)
		again.Claim = "another"
		planned(t, step(delivered, target())).After(claim(1, 0)).When(again).ThenError(notification.ErrNotScheduled)
	})
}

func TestPlannedAtTheDoor(t *testing.T) {
	plannedBy := func(c notification.Command) func(*notification.Request) {
		return func(r *notification.Request) { r.Planned = c }
	}
	one := step(delivered, target())
	r := request(plannedBy(enrich(one)))

	t.Run("requested, enriched and scheduled in one append", func(t *testing.T) {
		x := given(t).When(r).Then(requested(r),
			notification.NotificationEnriched{Scenario: "appointment", Version: "1", Plan: enrich(one).Plan, At: noon},
			first(facts(1, "", 0)))
		is(t, x, notification.LifecycleScheduled, false)
		x.When(r).ThenNothing()
		x.When(enrich(one)).ThenNothing()
		x.After(cancel(s)).When(enrich(one)).ThenNothing()
	})
	t.Run("suppressed or rejected at the door", func(t *testing.T) {
		r := request(plannedBy(notification.Suppress{Code: "opt_out", Detail: "d", At: noon}))
		x := given(t).When(r).Then(requested(r), notification.NotificationSuppressed{Filing: filing, Code: "opt_out", Detail: "d", At: noon})
		is(t, x, notification.LifecycleSuppressed, true)
		x.When(enrich(one)).ThenNothing()
		r = request(plannedBy(notification.Reject{Code: "no_address", Detail: "d", At: noon}))
		given(t).When(r).Then(requested(r), notification.NotificationRejected{Filing: filing, Code: "no_address", Detail: "d", At: noon})
	})
	t.Run("expired at the door", func(t *testing.T) {
		r := request(plannedBy(enrich(one)), expiresAt(0))
		given(t).When(r).Then(requested(r), notification.NotificationExpired{Filing: filing, At: noon})
	})
	t.Run("a plan that is not one is refused with the request", func(t *testing.T) {
		given(t).When(request(plannedBy(enrich()))).ThenError(notification.ErrBadPlan)
		given(t).When(request(plannedBy(cancel(0)))).ThenError(notification.ErrBadPlan)
	})
}

// The state of a notification is that of what reached the wanted status, not of what
// failed before it.
func TestStateOfAFallbackThatWasSent(t *testing.T) {
	two := planned(t, step(sent, target()), step(sent, target()))
	x := two.After(claim(1, 0), outcome(1, s, refusal("11", false)), claim(2, 2*s), outcome(2, 3*s, took("id-2", 3*s)))
	is(t, x, notification.LifecycleSent, true)
	t.Run("the first was sent after all, late", func(t *testing.T) {
		x := two.After(claim(1, 0), outcome(1, s, noAnswer), limit(1, s+unknownFor), outcome(1, 2*s+unknownFor, took("id-1", 2*s)))
		is(t, x, notification.LifecycleSent, true)
	})
	t.Run("and reported undelivered since", func(t *testing.T) {
		is(t, x.After(says(2, 1, "undelivered", "r", 4*s)), notification.LifecycleUndelivered, true)
	})
}

func TestGuardsCombined(t *testing.T) {
	early := notification.Guard{Verdict: notification.Reschedule, Until: at(s), Code: "early", Read: looked[:1]}
	late := notification.Guard{Verdict: notification.Reschedule, Until: at(time.Hour), Code: "late"}
	forbidden := notification.Guard{Verdict: notification.Forbid, Code: "opted_out", Read: looked[1:]}
	for _, test := range []struct {
		all  []notification.Guard
		want notification.Guard
	}{
		{[]notification.Guard{{}, early, late}, notification.Guard{Verdict: notification.Reschedule, Until: at(time.Hour), Code: "late", Read: looked[:1]}},
		{[]notification.Guard{late, early}, notification.Guard{Verdict: notification.Reschedule, Until: at(time.Hour), Code: "late", Read: looked[:1]}},
		{[]notification.Guard{early, forbidden, late}, notification.Guard{Verdict: notification.Forbid, Code: "opted_out", Read: looked}},
		{[]notification.Guard{forbidden, early}, notification.Guard{Verdict: notification.Forbid, Code: "opted_out", Read: []notification.Revision{looked[1], looked[0]}}},
	} {
		var got notification.Guard
		for _, g := range test.all {
			got = got.And(g)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Error(diff)
		}
	}
}
