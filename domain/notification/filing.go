package notification

import "time"

// Filing is what an event of a notification as a whole is counted under, so that it can
// be without any other event. Events stored before it was told leave it empty.
type Filing struct {
	Scenario    string    `json:"scenario,omitempty"`
	Version     string    `json:"version,omitempty"`
	Brand       string    `json:"brand,omitempty"`    // of the scenario, as requested
	Segment     string    `json:"segment,omitempty"`  // of the scenario, as requested
	Campaign    string    `json:"campaign,omitempty"` // of the request
	Priority    string    `json:"priority,omitempty"`
	Person      string    `json:"person,omitempty"`
	Test        bool      `json:"test,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"`
}

// Filed is an event that tells what it is counted under; all do but Enriched.
type Filed interface {
	Event
	FiledUnder() Filing
}

// FiledUnder answers what the event is counted under.
func (f Filing) FiledUnder() Filing { return f }

// FiledUnder answers what the event is counted under.
func (f Facts) FiledUnder() Filing {
	return Filing{
		Scenario: f.Scenario, Version: f.Version, Brand: f.Brand, Segment: f.Segment, Campaign: f.Campaign,
		Priority: f.Priority, Person: f.Person, Test: f.Test, RequestedAt: f.RequestedAt,
	}
}

// FiledUnder answers what the event is counted under.
func (e NotificationRequested) FiledUnder() Filing {
	return Filing{
		Scenario: e.Scenario, Version: e.Version, Brand: e.Brand, Segment: e.Segment, Campaign: e.Campaign,
		Priority: e.Priority, Person: e.Person.Person, Test: e.Test, RequestedAt: e.At,
	}
}

// filing is the notification's, of the scenario that its plan was made of.
func (s *State) filing() Filing {
	f := s.Requested.FiledUnder()
	if s.Enriched {
		f.Scenario, f.Version = s.Scenario, s.Version
	}
	return f
}
