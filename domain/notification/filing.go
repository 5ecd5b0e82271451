package notification

import (
	"time"

	"recapito/domain/dimension"
)

// Filing is what an event of the notification itself is counted under, so that it can
// be counted without any other event.
type Filing struct {
	dimension.OfNotification
	Person      string    `json:"person,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"`
}

// Filed is an event that records what it is counted under; all do but Enriched.
type Filed interface {
	Event
	FiledUnder() Filing
}

// FiledUnder returns what the event is counted under.
func (f Filing) FiledUnder() Filing { return f }

// FiledUnder returns what the event is counted under.
func (f Facts) FiledUnder() Filing {
	return Filing{OfNotification: f.OfNotification, Person: f.Person, RequestedAt: f.RequestedAt}
}

// FiledUnder returns what the event is counted under.
func (e NotificationRequested) FiledUnder() Filing {
	return Filing{OfNotification: e.OfNotification, Person: e.Person.Person, RequestedAt: e.At}
}

// filing is the notification's, of the scenario that its plan was made of.
func (s *State) filing() Filing {
	f := s.Requested.FiledUnder()
	if s.Enriched {
		f.Scenario, f.Version = s.Scenario, s.Version
	}
	return f
}
