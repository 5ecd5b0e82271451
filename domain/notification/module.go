package notification

import "recapito/domain/event"

// Module is the aggregate as the catalogue lists it.
var Module = event.Module{
	Title: "Notification", Prefix: StreamPrefix, Stream: Stream("0198f000-0000-7000-8000-000000000001"),
	About:       "One message to one person, from its request to its final state. Stream `notification-<id>`.",
	Definitions: definitions(),
	Samples:     samples,
	Phrase:      event.PhraseOf(func(e Event) string { return PhraseOf(e).What }),
}

var ofAttempts = event.NamesOf[AttemptEvent](Module.Definitions)

// IsOfAttempt reports whether an event stored under a name is of one attempt (AttemptEvent).
func IsOfAttempt(name string) bool { return ofAttempts[name] }
