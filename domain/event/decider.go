package event

// Decider is an aggregate as three pure functions (docs/architecture.md "Domain
// shape"). Decide returns no events when what the command wants already holds;
// Evolve never fails. C and E are the aggregate's sealed interfaces.
type Decider[S, C, E any] struct {
	Initial func() S
	Decide  func(S, C) ([]E, error)
	Evolve  func(S, E) S
}

// Fold evolves a state over events.
func (d Decider[S, C, E]) Fold(s S, events ...E) S {
	for _, e := range events {
		s = d.Evolve(s, e)
	}
	return s
}

// Rule is a broken rule: an error with a stable code that surfaces show to a caller.
// Message never holds personal data.
type Rule struct {
	Code    string // e.g. "in_flight"
	Message string
}

func (r *Rule) Error() string { return r.Message }

// Is compares by code, so that errors.Is(err, notification.ErrInFlight) holds for
// every rule with that code.
func (r *Rule) Is(target error) bool {
	t, ok := target.(*Rule)
	return ok && t.Code == r.Code
}
