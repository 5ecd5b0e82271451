package notification

import (
	"maps"
	"slices"
)

// Evolve folds one event. It never fails and never changes the state it was given.
func Evolve(s State, e Event) State {
	s.Attempts = slices.Clone(s.Attempts)
	s.apply(e)
	return s
}

// apply folds one event into a state whose attempts are its own. Every other slice or map
// is copied before it is written, because earlier states share it. Pointers to attempts
// stay good as long as Attempts has room for one more (see newTurn).
func (s *State) apply(e Event) {
	switch e := e.(type) {
	case NotificationRequested:
		s.Requested, s.Exists = e, true
	case NotificationEnriched:
		s.Enriched, s.Plan, s.Scenario, s.Version = true, e.Plan, e.Scenario, e.Version
	case NotificationScheduled:
		s.Attempts = append(s.Attempts, newAttempt(e))
		s.Step = max(s.Step, e.Step)
	case AttemptEvent:
		s.applyToAttempt(e)
	case NotificationFailedOver:
		s.Step = e.ToStep
	case NotificationRejected:
		s.Rejected = true
	case NotificationSuppressed:
		s.Suppressed = true
	case NotificationExpired:
		s.Expired = true
	case NotificationCancelled:
		s.Cancelled = true
	case NotificationExhausted:
		s.Exhausted = true
	case NotificationReplied:
		s.Replies = append(slices.Clip(s.Replies), e.ReplyID)
	case NotificationPaid:
		s.Payments = append(slices.Clip(s.Payments), e.PaymentID)
	case Attempt, Facts, Filing: // embedded in events, never one themselves
	}
}

func (s *State) applyToAttempt(e AttemptEvent) {
	if r, ok := e.(interface{ accounts() string }); ok {
		s.account(r.accounts())
	}
	a, ok := s.Attempt(e.AttemptFacts().Attempt)
	if ok && a.apply(e) && a.Status.Satisfies(s.wanted(a.Step)) {
		s.Reached = true
	}
}

// account keeps the id of a receipt, so that it counts once.
func (s *State) account(receiptID string) {
	if receiptID == "" || s.receipts[receiptID] {
		return
	}
	m := maps.Clone(s.receipts)
	if m == nil {
		m = map[string]bool{}
	}
	m[receiptID] = true
	s.receipts = m
}

// accounted reports whether the notification has counted a receipt already.
func (s *State) accounted(receiptID string) bool { return s.receipts[receiptID] }
