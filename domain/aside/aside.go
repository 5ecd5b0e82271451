// Package aside holds the record of stored events that a consumer could not take: what it
// was, and why. They are operational: a copy of the store carries none, its consumers meet
// the same events.
package aside

import (
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of these records.
const StreamPrefix = "aside-"

// Stream names the stream of a consumer's records.
func Stream(consumer string) string { return StreamPrefix + consumer }

// THE NAMES AND FIELDS BELOW ARE THE STORAGE FORMAT.

// EventSetAside records that a consumer went on without an event.
type EventSetAside struct {
	Stream   string         `json:"stream"`
	Revision event.Revision `json:"revision"`
	Position event.Position `json:"position"`
	Type     string         `json:"type"`
	Why      string         `json:"why"`
	At       time.Time      `json:"at"`
}

// EventTakenUp records that the consumer has taken it after all.
type EventTakenUp struct {
	Position event.Position `json:"position"`
	At       time.Time      `json:"at"`
}

// definitions registers every event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[EventSetAside]("EventSetAside",
			event.Doc("A consumer could not take a stored event, and went on without it.")),
		event.Define[EventTakenUp]("EventTakenUp",
			event.Doc("The consumer has taken the event after all.")),
	}
}

// Module is the category as the catalogue lists it.
var Module = event.Module{
	Title: "Set aside", Prefix: StreamPrefix, Stream: Stream("delivery"),
	About:       "Stored events that a consumer could not take. Streams `aside-<consumer>`.",
	Operational: true,
	Definitions: definitions(),
	Samples:     samples,
}

func samples() []any {
	return []any{
		EventSetAside{Stream: "notification-n-1", Revision: 3, Position: 12, Type: "NotificationSent", Why: "its data cannot be decoded", At: event.SampleAt(0)},
		EventTakenUp{Position: 12, At: event.SampleAt(time.Hour)},
	}
}
