// Package delivery is the process manager of delivery as a pure function: given a
// notification's own folded state and an input, it returns what to do. The runner in
// commands carries the intents out and only then is done with the input. Inputs come
// at least once and in any order between streams, so every intent is idempotent.
package delivery

import (
	"time"

	"recapito/domain/deadline"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Input is what the process manager reacts to.
//
//sumtype:decl
type Input interface{ deliveryInput() }

// Recorded is an event of the notification itself.
type Recorded struct{ Event notification.Event }

// Matched is a receipt that was joined to an attempt of the notification.
type Matched struct{ Receipt receipt.ReceiptMatched }

// Fired is a deadline of the notification that has come: of an attempt, or (0) of the
// notification itself. GivenBack: of an attempt that its worker gave back; it comes
// in addition to the attempt's watchdog and does not replace it.
type Fired struct {
	Attempt   int
	GivenBack bool
}

func (Recorded) deliveryInput() {}
func (Matched) deliveryInput()  {}
func (Fired) deliveryInput()    {}

// Intent is something to be done.
//
//sumtype:decl
type Intent interface{ deliveryIntent() }

// Gather asks for the enrichment snapshot; the runner issues Enrich with it.
type Gather struct{}

// Tell issues a command to the notification.
type Tell struct{ Command notification.Command }

// Register issues RegisterSubmission for a unit that a provider accepted. When the
// submission stops being open is the route's setting.
type Register struct {
	Route      string
	ProviderID string
	Submission receipt.Submission
}

// Dispatch puts an attempt on its channel's dispatch topic.
type Dispatch struct {
	Attempt  int
	Channel  string
	Priority string
}

// Schedule wakes the process manager for an attempt (0: the notification) at At.
type Schedule struct {
	Attempt int
	At      time.Time
}

func (Gather) deliveryIntent()   {}
func (Tell) deliveryIntent()     {}
func (Register) deliveryIntent() {}
func (Dispatch) deliveryIntent() {}
func (Schedule) deliveryIntent() {}

// refusedAgain is how soon an expiry that something in flight held up comes again, at
// ticks, so that expiries fired again after a crash become one.
const refusedAgain = 2 * time.Second

// clockSkew is the most by which the clocks of two instances are taken to differ: a
// deadline that comes so much too early is set again.
const clockSkew = time.Minute

// React returns what an input asks for. It takes every event of the ledger; those that ask
// for nothing it does not name, so the runner is given every ledger prefix. s is the notification folded at least up to
// the input; now is the runner's clock.
func React(id string, s notification.State, in Input, now time.Time) []Intent {
	switch in := in.(type) {
	case Recorded:
		return onEvent(id, s, in.Event, now)
	case Matched:
		return []Intent{Tell{confirm(in.Receipt, now)}}
	case Fired:
		return onDeadline(s, in, now)
	}
	return nil
}

func onEvent(id string, s notification.State, e notification.Event, now time.Time) []Intent {
	switch e := e.(type) { //nolint:gochecksumtype // the other events ask for nothing
	case notification.NotificationRequested:
		var intents []Intent
		if !e.Planned {
			intents = append(intents, Gather{})
		}
		if !e.ExpiresAt.IsZero() {
			intents = append(intents, Schedule{At: e.ExpiresAt})
		}
		return intents
	case notification.NotificationScheduled:
		if e.Due.After(now) {
			return []Intent{Schedule{Attempt: e.Attempt, At: e.Due}}
		}
		return watch(s, e.Attempt, now, Dispatch{Attempt: e.Attempt, Channel: e.Channel, Priority: e.Priority})
	case notification.NotificationDispatched:
		return watch(s, e.Attempt, now)
	case notification.NotificationPostponed:
		return watch(s, e.Attempt, now)
	case notification.NotificationSent:
		return watch(s, e.Attempt, now, register(id, s, e.Facts, e.Token, e.TokenKey, e.Accepted)...)
	case notification.NotificationOutcomeUnknown:
		return watch(s, e.Attempt, now, register(id, s, e.Facts, e.Token, e.TokenKey, e.Accepted)...)
	case notification.NotificationUndelivered:
		return register(id, s, e.Facts, e.Token, e.TokenKey, e.Accepted)
	case notification.NotificationDelivered:
		return watch(s, e.Attempt, now) // only a wanted read still has a limit
	default: // the others ask for nothing
		return nil
	}
}

// watch adds the deadline of the attempt's present status, whatever that is by now:
// an input seen late must not arm less than what is needed.
func watch(s notification.State, attempt int, now time.Time, intents ...Intent) []Intent {
	if at, ok := next(&s, attempt, now); ok {
		intents = append(intents, Schedule{Attempt: attempt, At: at})
	}
	return intents
}

// next returns when the attempt must be looked at again, if ever.
func next(s *notification.State, attempt int, now time.Time) (time.Time, bool) {
	a, ok := s.Attempt(attempt)
	if !ok || settled(s, a) {
		return time.Time{}, false
	}
	limit, ok := s.Limit(a)
	if !ok {
		return time.Time{}, false
	}
	if a.Status == notification.Scheduled {
		if a.Due.After(now) {
			return a.Due, true
		}
		if again := deadline.Tick(a.Due, time.Duration(s.Target(a).Policy.Redispatch), now); again.Before(limit) {
			limit = again
		}
	}
	return limit, true
}

// settled reports that no limit of the attempt matters any more. A dispatched one always
// matters: it must come to an end for the notification to be final.
func settled(s *notification.State, a *notification.Attempt) bool {
	switch a.Status {
	case notification.Dispatched, notification.Scheduled:
		return false
	case notification.OutcomeUnknown, notification.Sent, notification.Delivered:
		return s.Over() || a.Step != s.Step
	case notification.None, notification.Undelivered, notification.Read, notification.Withdrawn:
		return true
	}
	return true
}

func onDeadline(s notification.State, in Fired, now time.Time) []Intent {
	attempt := in.Attempt
	if attempt == 0 {
		return onNotificationDeadline(&s, now)
	}
	a, ok := s.Attempt(attempt)
	if !ok || settled(&s, a) {
		return nil
	}
	limit, ok := s.Limit(a)
	switch {
	case !ok:
		return nil
	case !now.Before(limit):
		return []Intent{Tell{notification.EnforceLimit{Attempt: attempt, At: now}}}
	case a.Status == notification.Scheduled && !a.Due.After(now):
		again := Dispatch{Attempt: attempt, Channel: a.Channel, Priority: a.Priority}
		if in.GivenBack {
			return []Intent{again}
		}
		return watch(s, attempt, now, again)
	case in.GivenBack:
		return nil
	}
	return watch(s, attempt, now)
}

func onNotificationDeadline(s *notification.State, now time.Time) []Intent {
	switch {
	case !s.Exists || s.Over():
		return nil
	case !s.ExpiryPassed(now):
		var intents []Intent
		if !s.Enriched {
			intents = append(intents, Gather{}) // a slow source's retry
		}
		if at := s.Requested.ExpiresAt; !at.IsZero() && at.Sub(now) <= clockSkew {
			intents = append(intents, Schedule{At: at}) // the expiry's own, by a clock ahead of ours
		}
		return intents
	case s.InFlight(now):
		return []Intent{Schedule{At: deadline.Tick(s.Requested.ExpiresAt, refusedAgain, now)}}
	}
	return []Intent{Tell{notification.Expire{At: now}}}
}

func register(id string, s notification.State, f notification.Facts, token, tokenKey string, accepted []notification.Accepted) []Intent {
	var intents []Intent
	for _, unit := range accepted {
		if unit.ProviderID == "" {
			continue // no receipt can name it
		}
		intents = append(intents, Register{Route: f.Route, ProviderID: unit.ProviderID, Submission: receipt.Submission{
			Tenant: s.Requested.Tenant, Notification: id, Attempt: f.Attempt, Unit: unit.Unit,
			Token: token, TokenKey: tokenKey, AcceptedAt: unit.At, OpenFrom: openFrom(&s, f.Attempt, unit.At),
		}})
	}
	return intents
}

// openFrom returns the earliest time at which a receipt of a submission can come: half
// the wire limit, which bounds the wait for an answer, before the answer came. An answer
// that came later still was waited for since the attempt was dispatched.
func openFrom(s *notification.State, attempt int, acceptedAt time.Time) time.Time {
	a, ok := s.Attempt(attempt)
	if !ok {
		return acceptedAt
	}
	from := acceptedAt.Add(-time.Duration(s.Target(a).Policy.WireLimit) / 2)
	if !a.DispatchedAt.IsZero() && a.DispatchedAt.Before(from) {
		return a.DispatchedAt
	}
	return from
}

func confirm(r receipt.ReceiptMatched, now time.Time) notification.Confirm {
	return notification.Confirm{
		ReceiptID: r.ReceiptID, Attempt: r.Attempt, Unit: r.Unit, Status: r.Status, Code: r.Code,
		Basis: r.Basis, DoneAt: r.DoneAt, ReceivedAt: r.ReceivedAt, At: now,
	}
}
