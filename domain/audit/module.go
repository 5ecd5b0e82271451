package audit

import (
	"fmt"

	"recapito/domain/event"
)

// Module is the aggregate as the catalogue lists it.
var Module = event.Module{
	Title: "Audit", Prefix: StreamPrefix, Stream: Stream("acme", event.SampleAt(0)),
	About:       "Calls of the API that no other event records. Stream `audit-<tenant, or _ where it is not known>-<yyyymmdd>`.",
	Definitions: definitions(),
	Samples:     samples,
	Phrase:      event.PhraseOf(phraseOf),
}

func phraseOf(e Event) string {
	calls := e.(CallsRecorded).Calls
	if len(calls) == 1 {
		return "1 call was recorded."
	}
	return fmt.Sprintf("%d calls were recorded.", len(calls))
}

func samples() []any {
	return []any{
		CallsRecorded{
			Calls: []Call{{
				ID: "00000000-0000-4000-8000-000000000001", At: event.SampleAt(0), Actor: "key:k-1", Operation: "get-notification", Method: "GET",
				Path: "/v1/notifications/{id}", Status: 404, Code: "not_found", Notification: "n-1", Target: "k-1",
				Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Millis: 12,
			}},
			At: event.SampleAt(0),
		},
	}
}
