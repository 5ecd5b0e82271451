package notification

import (
	"time"

	"recapito/domain/event"
)

// State is a notification, folded from its events: its plan, its attempts, and how it ended.
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

	receipts map[string]bool // accounted for; copied before it is written
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

// Over reports that nothing more is to be scheduled: the wanted status is reached, or
// its end was decided.
func (s *State) Over() bool {
	return s.Reached || s.Rejected || s.Suppressed || s.Expired || s.Cancelled || s.Exhausted
}

// Target returns what an attempt is aimed at.
func (s *State) Target(a *Attempt) *Target {
	return &s.Plan.Steps[a.Step-1].Targets[a.Target-1]
}

// wanted returns the status that a step wants.
func (s *State) wanted(step int) Status {
	if step < 1 || step > len(s.Plan.Steps) {
		return None
	}
	return s.Plan.Steps[step-1].Wanted
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
