package notification

import (
	"encoding/json"
	"fmt"
	"time"

	"recapito/domain/dimension"
	"recapito/domain/personal"
)

// Limits of a plan. MaxAttempts bounds every retry and resend of a notification
// together: past it a transient failure counts as permanent.
const (
	MaxSteps          = 10
	MaxTargetsPerStep = 10
	MaxAttempts       = 100
	MaxUnits          = 10
)

// Plan is what is to be tried, in order: a step after the other, the attempts of a
// step side by side.
type Plan struct {
	Steps []Step `json:"steps"`
}

// Step is a set of targets tried side by side, the status wanted of any of them, and
// how long to wait for it once a target's message is sent.
type Step struct {
	Wanted  Status   `json:"wanted"` // sent, delivered or read
	Wait    Duration `json:"wait"`
	Targets []Target `json:"targets"`
}

// Target is one address over one route, with the rendered content.
type Target struct {
	dimension.OfAttempt
	Destination personal.Value `json:"destination"`
	Content     personal.Value `json:"content"` // rendered, of the channel's kind
	Units       int            `json:"units"`
	Policy      Policy         `json:"policy"`
}

// Policy is how a route's attempts are watched, retried and settled. It is part of
// the snapshot, so a later change of a route does not change what was decided.
type Policy struct {
	Tries      int           `json:"tries"`        // sends at most, the first included; not_sent, and what the provider throttled, do not count
	BackOff    Duration      `json:"back_off"`     // before the first retry; doubles each time
	BackOffMax Duration      `json:"back_off_max"` // bound of the doubling
	WireLimit  Duration      `json:"wire_limit"`   // dispatched at most so long, then outcome unknown
	Redispatch Duration      `json:"redispatch"`   // scheduled and due for so long: dispatched again
	Patience   Duration      `json:"patience"`     // scheduled and due for so long: withdrawn
	Unknown    UnknownPolicy `json:"unknown"`
	// UnknownLimit: outcome unknown for so long counts as failed.
	UnknownLimit Duration `json:"unknown_limit"`
	Resends      int      `json:"resends"` // by policy resend or by a person, at most
}

// UnknownPolicy decides what follows an unknown outcome.
type UnknownPolicy string

// The policies for an unknown outcome.
const (
	UnknownWait   UnknownPolicy = "wait"   // for a receipt that fits
	UnknownResend UnknownPolicy = "resend" // send again: possibly twice, never by one attempt
	UnknownHold   UnknownPolicy = "hold"   // a person resends or gives up
)

// Duration is a time.Duration that stands in JSON as Go's text form, e.g. "1m30s".
type Duration time.Duration

// MarshalJSON writes the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("a duration is a text like \"1m30s\": %w", err)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("a duration is a text like \"1m30s\"")
	}
	*d = Duration(v)
	return nil
}
