package notification

// Lifecycle is the state of a notification, derived from its attempts and
// from what is recorded of it.
type Lifecycle string

// The states of a notification (docs/architecture.md "A notification").
const (
	LifecycleRequested      Lifecycle = "requested"
	LifecycleEnriched       Lifecycle = "enriched"
	LifecycleScheduled      Lifecycle = "scheduled"
	LifecycleDispatched     Lifecycle = "dispatched"
	LifecycleSent           Lifecycle = "sent"
	LifecycleDelivered      Lifecycle = "delivered"
	LifecycleRead           Lifecycle = "read"
	LifecycleUndelivered    Lifecycle = "undelivered"
	LifecycleOutcomeUnknown Lifecycle = "outcome_unknown"
	LifecycleRejected       Lifecycle = "rejected"
	LifecycleSuppressed     Lifecycle = "suppressed"
	LifecycleExpired        Lifecycle = "expired"
	LifecycleCancelled      Lifecycle = "cancelled"
	LifecycleExhausted      Lifecycle = "exhausted"
)

// Final reports that the notification is over and nothing of it is scheduled or on its
// way to the wire. Final stays final, though the state may still rise to delivered or
// read.
func (s *State) Final() bool {
	if !s.Over() {
		return false
	}
	for i := range s.Attempts {
		if s.Attempts[i].Status.Unfinished() {
			return false
		}
	}
	return true
}

// Lifecycle derives the state of the notification: delivered or read if any attempt is;
// else how it ended; else the highest status of an attempt of the current step, or of one
// that reached what its step wants.
func (s *State) Lifecycle() Lifecycle {
	if best := s.highest(func(a *Attempt) bool { return a.Status == Delivered || a.Status == Read }); best != None {
		return Lifecycle(best)
	}
	switch {
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
	best := s.highest(func(a *Attempt) bool {
		// The wanted status may have been reached late, by an attempt of an earlier step.
		return a.Step == s.Step || s.Reached && a.Status.Satisfies(s.wanted(a.Step))
	})
	if best == None && s.Reached { // what reached it was reported undelivered since, and the current step is withdrawn
		best = s.highest(func(*Attempt) bool { return true })
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

// highest returns the highest status of the attempts that of accepts, but Withdrawn.
func (s *State) highest(of func(*Attempt) bool) Status {
	best := None
	for i := range s.Attempts {
		if a := &s.Attempts[i]; a.Status != Withdrawn && a.Status.Rank() > best.Rank() && of(a) {
			best = a.Status
		}
	}
	return best
}
