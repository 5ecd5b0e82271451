package notification

import (
	"time"

	"recapito/domain/event"
)

// State is a notification folded from its events.
type State struct {
	Requested NotificationRequested
	Exists    bool
	Scenario  string // as enriched
	Version   string
	Plan      Plan
	Enriched  bool
	Step      int // the current step, from 1; 0 before the first
	Attempts  []Attempt

	Reached    bool // a step's wanted status was reached
	Rejected   bool
	Suppressed bool
	Expired    bool
	Cancelled  bool
	Exhausted  bool

	Replies  []string // ids
	Payments []string

	receipts map[string]bool // accounted for; owned by this state, copied on write
}

// Attempt is one try at one address over one route.
type Attempt struct {
	Facts
	Kind      TryKind
	Of        int // predecessor
	Try       int
	Successor int // the retry or resend that follows it
	Status    Status
	Claim     string
	Token     string
	TokenKey  string

	DispatchedAt time.Time
	UnknownAt    time.Time
	RaisedAt     time.Time // when the present status was reached

	Answered bool // the provider's complete response is recorded
	GivenUp  bool
	UnitSays []Says // what each unit's receipts say so far
	Accepted []Accepted
}

// Decider is the aggregate.
var Decider = event.Decider[State, Command, Event]{
	Initial: func() State { return State{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Attempt returns an attempt by its number.
func (s *State) Attempt(number int) (*Attempt, bool) {
	if number < 1 || number > len(s.Attempts) {
		return nil, false
	}
	return &s.Attempts[number-1], true
}

// Over reports whether nothing more is to be scheduled: the wanted status is reached, or
// the end was recorded.
func (s *State) Over() bool {
	return s.Reached || s.Rejected || s.Suppressed || s.Expired || s.Cancelled || s.Exhausted
}

// Final reports whether the notification is over and nothing of it is scheduled or on its
// way to the wire. Final stays final, though the state may still rise to delivered
// or read.
func (s *State) Final() bool {
	if !s.Over() {
		return false
	}
	for i := range s.Attempts {
		if st := s.Attempts[i].Status; st == Scheduled || st == Dispatched {
			return false
		}
	}
	return true
}

// Lifecycle derives the state of the notification.
func (s *State) Lifecycle() Lifecycle {
	best := None
	for i := range s.Attempts {
		if st := s.Attempts[i].Status; st == Delivered || st == Read {
			best = higher(best, st)
		}
	}
	switch {
	case best != None:
		return Lifecycle(best)
	case s.Rejected:
		return LifecycleRejected
	case s.Suppressed:
		return LifecycleSuppressed
	case s.Cancelled:
		return LifecycleCancelled
	case s.Expired:
		return LifecycleExpired
	case s.Exhausted:
		return LifecycleExhausted
	}
	for i := range s.Attempts {
		// The wanted status may have been reached late, by an attempt of an earlier step.
		if a := &s.Attempts[i]; (a.Step == s.Step || s.Reached) && a.Status != Withdrawn {
			best = higher(best, a.Status)
		}
	}
	switch {
	case best != None:
		return Lifecycle(best)
	case s.Step > 0:
		return LifecycleScheduled
	case s.Enriched:
		return LifecycleEnriched
	}
	return LifecycleRequested
}

// Target returns what an attempt is aimed at.
func (s *State) Target(a *Attempt) *Target {
	return &s.Plan.Steps[a.Step-1].Targets[a.Target-1]
}

// wanted answers the status that a step wants.
func (s *State) wanted(step int) Status {
	if step < 1 || step > len(s.Plan.Steps) {
		return None
	}
	return s.Plan.Steps[step-1].Wanted
}

// Limit returns when the attempt's present status has lasted its limit, and whether
// it has one at all.
func (s *State) Limit(a *Attempt) (time.Time, bool) {
	policy := &s.Target(a).Policy
	switch a.Status {
	case Scheduled:
		return a.DueAt.Add(time.Duration(policy.Patience)), true
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

// past says whether the attempt's present status has lasted its limit at t.
func (s *State) past(a *Attempt, t time.Time) bool {
	limit, ok := s.Limit(a)
	return ok && !t.Before(limit)
}

// failed says whether the attempt counts as failed at t.
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

// InFlight reports whether something may be on its way to the wire at t, so that
// neither cancel nor expiry can promise to stop it.
func (s *State) InFlight(t time.Time) bool {
	for i := range s.Attempts {
		a := &s.Attempts[i]
		switch a.Status {
		case Dispatched:
			return true
		case OutcomeUnknown:
			if a.Step == s.Step && a.Successor == 0 && !a.GivenUp && !s.past(a, t) {
				return true
			}
		}
	}
	return false
}

// ExpiryPassed reports whether expires_at has passed at t.
func (s *State) ExpiryPassed(t time.Time) bool {
	return !s.Requested.ExpiresAt.IsZero() && !t.Before(s.Requested.ExpiresAt)
}

// Held reports whether the attempt waits for a person's decision at t.
func (s *State) Held(a *Attempt, t time.Time) bool {
	return a.Status == OutcomeUnknown && s.Target(a).Policy.Unknown == UnknownHold && a.Successor == 0 &&
		!a.GivenUp && a.Step == s.Step && !s.Over() && !s.past(a, t)
}

func higher(a, b Status) Status {
	if b.Rank() > a.Rank() {
		return b
	}
	return a
}
