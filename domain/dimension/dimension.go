// Package dimension lists what notifications and attempts are counted, filtered and
// grouped by. A dimension is one field of one struct here: the events that embed the
// struct carry it. The read models have structs with the same fields (readmodels.Dimensions),
// which rows, cells, columns, filters and groups are made of.
//
// The JSON name of a field is the dimension's name everywhere: in events, columns, reports
// and the API. No dimension holds personal data.
package dimension

// OfNotification are the dimensions that are known from the request on.
type OfNotification struct {
	Scenario string `json:"scenario,omitempty" doc:"the scenario's name"`
	Version  string `json:"version,omitempty" doc:"the scenario's version"`
	Brand    string `json:"brand,omitempty" doc:"the scenario's brand"`
	Segment  string `json:"segment,omitempty" doc:"the part of the business that the scenario serves"`
	Campaign string `json:"campaign,omitempty" doc:"the request's campaign"`
	Priority string `json:"priority,omitempty" doc:"high, normal or low"`
	Test     bool   `json:"test,omitempty" doc:"the request is a test"`
}

// OfAttempt are the dimensions that are known once an attempt is planned.
type OfAttempt struct {
	Channel  string `json:"channel,omitempty" doc:"the channel's name"`
	Route    string `json:"route,omitempty" doc:"the route's name"`
	Sender   string `json:"sender,omitempty" doc:"what the message is sent as"`
	Country  string `json:"country,omitempty" doc:"of the destination: ISO 3166-1 alpha-2"`
	Operator string `json:"operator,omitempty" doc:"of the destination, as far as known"`
}

// Dimensions are all of them.
type Dimensions struct {
	OfNotification
	OfAttempt
}

// Sample returns dimensions with every field filled, for the samples of events.
func Sample() Dimensions {
	return Dimensions{
		OfNotification: OfNotification{
			Scenario: "appointment", Version: "3f2a", Brand: "clinic", Segment: "care", Campaign: "spring-2026", Priority: "normal", Test: true,
		},
		OfAttempt: OfAttempt{Channel: "sms", Route: "smsc", Sender: "Clinic", Country: "IT", Operator: "22201"},
	}
}
