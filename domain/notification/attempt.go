package notification

import (
	"slices"
	"time"

	"recapito/domain/receipt"
)

// Attempt is one try at one address over one route: its status, what is known of each of
// its units, and what limits its status.
type Attempt struct {
	Facts
	Kind      TryKind
	Of        int // predecessor
	Try       int
	Successor int // the retry or resend that follows it
	Status    Status
	Due       time.Time // when it may be claimed; later than Facts.DueAt once it was postponed
	Claim     string
	Token     string
	TokenKey  string

	DispatchedAt time.Time
	UnknownAt    time.Time
	RaisedAt     time.Time // when the present status was reached

	Answered bool // the complete outcome of its claim is recorded: no answer is awaited
	GivenUp  bool
	Reported []receipt.Status // what each unit's receipts report so far
	Accepted []Accepted       // units that the provider took
}

func newAttempt(e NotificationScheduled) Attempt {
	a := Attempt{
		Facts: e.Facts, Kind: e.Kind, Of: e.Of, Try: e.Try, Due: e.Due,
		Status: Scheduled, RaisedAt: e.At, Reported: make([]receipt.Status, max(e.Units, 0)),
	}
	a.From = None
	return a
}

// apply folds one event of the attempt. The status only rises, and Withdrawn comes only
// from Scheduled. It reports whether the status rose.
func (a *Attempt) apply(e AttemptEvent) bool {
	switch e := e.(type) {
	case NotificationDispatched:
		a.Claim, a.Token, a.TokenKey, a.DispatchedAt = e.Claim, e.Token, e.TokenKey, e.At
	case NotificationSent:
		a.Answered, a.SentAt, a.Accepted = true, e.SentAt, e.Accepted
	case NotificationOutcomeUnknown:
		a.UnknownAt, a.Accepted = firstTime(a.UnknownAt, e.At), e.Accepted
	case NotificationDelivered:
		a.report(e.Unit, receipt.Delivered)
	case NotificationUndelivered:
		if e.Why == UndeliveredByReceipt {
			a.report(e.Unit, receipt.Undelivered)
			break
		}
		a.Answered = e.Lost == 0
		if len(e.Accepted) > 0 {
			a.Accepted = e.Accepted
		}
	case NotificationRead:
		a.report(e.Unit, receipt.Read)
	case NotificationReceiptKept:
		if e.Why != KeptNotSent { // a receipt from before the attempt was sent is not about it
			a.report(e.Unit, e.Status)
		}
	case NotificationRetried:
		a.Successor = e.Next
	case NotificationPostponed:
		a.Due = e.Until
	case NotificationGivenUp:
		a.GivenUp = true
	case NotificationScheduled, NotificationAttemptWithdrawn: // its status is all
	}
	to := e.Reached()
	if to.Rank() <= a.Status.Rank() || to == Withdrawn && a.Status != Scheduled {
		return false
	}
	a.Status, a.RaisedAt = to, e.AttemptFacts().At
	return true
}

// report keeps what a unit's receipt reports, if that is more than what is known. The
// slice is shared with earlier states, so it is copied.
func (a *Attempt) report(unit int, status receipt.Status) {
	if unit < 1 || unit > len(a.Reported) || status.Rank() <= a.Reported[unit-1].Rank() {
		return
	}
	a.Reported = slices.Clone(a.Reported)
	a.Reported[unit-1] = status
}

// Limit returns when the attempt's present status has lasted its limit, and whether it
// has one at all.
func (s *State) Limit(a *Attempt) (time.Time, bool) {
	policy := &s.Target(a).Policy
	switch a.Status {
	case Scheduled:
		return a.Due.Add(time.Duration(policy.Patience)), true
	case Dispatched:
		return a.DispatchedAt.Add(time.Duration(policy.WireLimit)), true
	case OutcomeUnknown:
		return a.UnknownAt.Add(time.Duration(policy.UnknownLimit)), true
	case Sent:
		return a.RaisedAt.Add(time.Duration(s.Plan.Steps[a.Step-1].Wait)), true
	case Delivered:
		if s.wanted(a.Step) == Read {
			return firstTime(a.SentAt, a.RaisedAt).Add(time.Duration(s.Plan.Steps[a.Step-1].Wait)), true
		}
	}
	return time.Time{}, false
}

// past reports whether the attempt's present status has lasted its limit at t.
func (s *State) past(a *Attempt, t time.Time) bool {
	limit, ok := s.Limit(a)
	return ok && !t.Before(limit)
}

// failed reports whether the attempt counts as failed at t.
func (s *State) failed(a *Attempt, t time.Time) bool {
	switch a.Status {
	case Withdrawn, Undelivered:
		return true
	case OutcomeUnknown:
		return a.Successor != 0 || a.GivenUp || s.past(a, t)
	case Sent, Delivered:
		return s.past(a, t)
	}
	return false
}

// Held reports whether the attempt waits for a person's decision at t.
func (s *State) Held(a *Attempt, t time.Time) bool {
	return a.Status == OutcomeUnknown && s.Target(a).Policy.Unknown == UnknownHold && a.Successor == 0 &&
		!a.GivenUp && a.Step == s.Step && !s.Over() && !s.past(a, t)
}
