package notification_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"recapito/domain/notification"
)

func TestRequest(t *testing.T) {
	t.Run("a notification is requested", func(t *testing.T) {
		x := given(t).When(request(expiresAt(time.Hour))).Then(requested(request(expiresAt(time.Hour))))
		is(t, x, notification.LifecycleRequested, false)
	})
	t.Run("again, with the same body", func(t *testing.T) {
		again := request()
		again.At = at(time.Minute)
		given(t, request()).When(again).ThenNothing()
		planned(t, step(sent, target())).When(again).ThenNothing()
		given(t, request(), cancel(s)).When(again).ThenNothing()
	})
	t.Run("again, with another body", func(t *testing.T) {
		other := request()
		other.RequestHMAC = []byte{4}
		given(t, request()).When(other).ThenError(notification.ErrKeyReused)
	})
	t.Run("nothing else comes first", func(t *testing.T) {
		for _, c := range everyCommand()[1:] {
			given(t).When(c).ThenError(notification.ErrAbsent)
		}
	})
}

func TestIDFor(t *testing.T) {
	// The namespace is part of the storage format: the same key must give the same id for ever.
	if got := notification.IDFor("acme", "key-7"); got != "9a076f23-2e30-5d4c-bc71-e5444f0a491b" {
		t.Error(got)
	}
	if notification.IDFor("acme", "key-7") == notification.IDFor("acm", "e\nkey-7") {
		t.Error("keys of two tenants share an id")
	}
}

func TestEnrich(t *testing.T) {
	t.Run("the first step is scheduled in the same append, side by side", func(t *testing.T) {
		steps := []notification.Step{step(delivered, target(), target(units(2))), step(delivered, target())}
		x := given(t, request()).When(enrich(steps...)).Then(
			notification.NotificationEnriched(enrich(steps...)),
			first(facts(1, "", 0)),
			first(facts(2, "", 0, toTarget(2), ofParts(2))),
		)
		is(t, x, notification.LifecycleScheduled, false)
	})
	t.Run("a time to send at is when the first step is due, and the day it is filed under", func(t *testing.T) {
		later := 13 * time.Hour
		c := enrich(step(sent, target()))
		given(t, request(func(r *notification.Request) { r.SendAt = at(later) })).When(c).Then(
			notification.NotificationEnriched(c),
			notification.NotificationScheduled{Facts: facts(1, "", 0, onDay("2026-03-02"), dueAt(later)), Due: at(later), Kind: notification.FirstTry, Try: 1},
		)
	})
	t.Run("a time to send at that has passed means now", func(t *testing.T) {
		c := enrich(step(sent, target()))
		given(t, request(func(r *notification.Request) { r.SendAt = at(-time.Hour) })).When(c).Then(
			notification.NotificationEnriched(c), first(facts(1, "", 0)))
	})
	t.Run("the day is that of UTC", func(t *testing.T) {
		c := enrich(step(sent, target()))
		c.At = time.Date(2026, 3, 2, 0, 30, 0, 0, time.FixedZone("", 3600)) // still the 1st in UTC
		x := given(t, request(), c)
		if st := x.State(); st.Attempts[0].Day != "2026-03-01" {
			t.Error(st.Attempts[0].Day)
		}
	})
	t.Run("only once", func(t *testing.T) {
		planned(t, step(sent, target())).When(enrich(step(read, target()))).ThenNothing()
	})
	t.Run("not once it is over", func(t *testing.T) {
		given(t, request(), cancel(s)).When(enrich(step(sent, target()))).ThenNothing()
		given(t, request(), notification.Reject{Code: "x", At: at(s)}).When(enrich(step(sent, target()))).ThenNothing()
	})
	t.Run("from expires_at on, Expired is decided instead", func(t *testing.T) {
		c := enrich(step(sent, target()))
		c.At = at(time.Minute)
		x := given(t, request(expiresAt(time.Minute))).When(c).Then(notification.NotificationExpired{Filing: filing, At: at(time.Minute)})
		is(t, x, notification.LifecycleExpired, true).When(c).ThenNothing()
	})
	for name, plan := range map[string][]notification.Step{
		"no steps":                 {},
		"too many steps":           make([]notification.Step, notification.MaxSteps+1),
		"no targets":               {step(sent)},
		"too many targets":         {step(sent, make([]notification.Target, notification.MaxTargetsPerStep+1)...)},
		"a status nobody can want": {step(undelivered, target())},
		"no wait":                  {{Wanted: sent, Targets: []notification.Target{target()}}},
		"no units":                 {step(sent, target(units(0)))},
		"too many units":           {step(sent, target(units(notification.MaxUnits+1)))},
		"no wire limit":            {step(sent, target(func(to *notification.Target) { to.Policy.WireLimit = 0 }))},
		"no patience":              {step(sent, target(func(to *notification.Target) { to.Policy.Patience = 0 }))},
		"no time to redispatch":    {step(sent, target(func(to *notification.Target) { to.Policy.Redispatch = 0 }))},
		"a bad second step":        {step(sent, target()), step(sent)},
	} {
		t.Run("a bad plan: "+name, func(t *testing.T) {
			given(t, request()).When(enrich(plan...)).ThenError(notification.ErrBadPlan)
		})
	}
}

func TestRejectAndSuppress(t *testing.T) {
	reject := notification.Reject{Code: "no_address", Detail: "d", Why: []notification.Consideration{{Step: 1}}, At: at(s)}
	suppress := notification.Suppress{Code: "opt_out", Detail: "d", At: at(s)}
	isRejected := notification.NotificationRejected{Filing: filing, Code: reject.Code, Detail: reject.Detail, Why: reject.Why, At: reject.At}
	isSuppressed := notification.NotificationSuppressed{Filing: filing, Code: suppress.Code, Detail: suppress.Detail, At: suppress.At}
	t.Run("before it is planned", func(t *testing.T) {
		x := given(t, request()).When(reject).Then(isRejected)
		is(t, x, notification.LifecycleRejected, true)
		x.When(reject).ThenNothing()
		x.When(suppress).ThenNothing()
		y := given(t, request()).When(suppress).Then(isSuppressed)
		is(t, y, notification.LifecycleSuppressed, true)
		y.When(suppress).ThenNothing()
		y.When(reject).ThenNothing()
	})
	t.Run("not after", func(t *testing.T) {
		planned(t, step(sent, target())).When(reject).ThenError(notification.ErrPlanned)
		planned(t, step(sent, target())).When(suppress).ThenError(notification.ErrPlanned)
	})
}

func TestNoSuchAttempt(t *testing.T) {
	x := planned(t, step(sent, target()))
	for _, attempt := range []int{-1, 0, 2} {
		for _, c := range []command{
			claim(attempt, 0), notification.RecordOutcome{Attempt: attempt}, limit(attempt, 0), says(attempt, 1, "delivered", "r", s),
			notification.ResendHeld{Attempt: attempt}, notification.GiveUpHeld{Attempt: attempt},
		} {
			x.When(c).ThenError(notification.ErrNoAttempt)
		}
	}
}

func TestDurationIsAText(t *testing.T) {
	d := notification.Duration(90 * s)
	data, err := json.Marshal(d)
	if err != nil || string(data) != `"1m30s"` {
		t.Errorf("%s, %v", data, err)
	}
	var back notification.Duration
	if err := json.Unmarshal(data, &back); err != nil || back != d {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{`90`, `"90"`, `"secret"`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
	if !errors.Is(notification.ErrInFlight, notification.ErrInFlight) || errors.Is(notification.ErrInFlight, notification.ErrFinal) {
		t.Error("rules are not told apart by their code")
	}
}

// everyCommand holds one of each, Request first.
func everyCommand() []command {
	return []command{
		request(), enrich(step(sent, target())), notification.Reject{At: noon}, notification.Suppress{At: noon},
		claim(1, 0), outcome(1, 0, took("1", 0)), says(1, 1, "delivered", "r", s), limit(1, 0), expire(0), cancel(0),
		notification.ResendHeld{Attempt: 1, At: noon}, notification.GiveUpHeld{Attempt: 1, At: noon},
		notification.RecordReply{ReplyID: "r"}, notification.RecordPayment{PaymentID: "p"},
	}
}
