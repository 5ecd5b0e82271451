package receipt

import (
	"fmt"
	"time"

	"recapito/domain/event"
)

// Module is the aggregate as the catalogue lists it.
var Module = event.Module{
	Title: "Receipt", Prefix: StreamPrefix, Stream: Stream("smsc", "26"),
	About:       "What a provider reports, joined with what was submitted to it. Stream `receipt-<route>-<canonical provider id>`.",
	Definitions: definitions(),
	Samples:     samples,
	Phrase:      event.PhraseOf(phraseOf),
}

func phraseOf(e Event) string {
	switch e := e.(type) {
	case SubmissionRegistered:
		return fmt.Sprintf("The provider took unit %d of attempt %d of notification %s.", e.Unit, e.Attempt, e.Notification)
	case ProviderIDReused:
		return fmt.Sprintf("The provider of route %s gave an id again that was still open.", e.Route)
	case ReceiptRecorded:
		return fmt.Sprintf("The provider of route %s reported %s.", e.Route, e.Status)
	case ReceiptMatched:
		return fmt.Sprintf("The receipt is about unit %d of attempt %d of notification %s, by %s.", e.Unit, e.Attempt, e.Notification, e.Basis)
	case ReceiptAmbiguous:
		return fmt.Sprintf("The receipt may be about %d attempts, and confirms none of them.", e.Fits)
	}
	return ""
}

func samples() []any {
	return []any{
		SubmissionRegistered{Submission: Submission{
			Tenant: "acme", Notification: "n-1", Attempt: 2, Unit: 1, Token: "t-1", TokenKey: "tk-1", AcceptedAt: event.SampleAt(2 * time.Second),
			OpenFrom: event.SampleAt(-13 * time.Second), OpenUntil: event.SampleAt(2*time.Second + Window),
		}, Waiting: []string{"receipt-1"}, At: event.SampleAt(3 * time.Second)},
		ProviderIDReused{Route: "smsc", At: event.SampleAt(3 * time.Second)},
		ReceiptRecorded{
			Receipt: Receipt{
				ID: "receipt-2", Content: "receipt-1", Route: "smsc", ProviderID: "1A", Complete: true, Tokens: []Token{{Key: "tk-1", Token: "t-1"}},
				Sender: "Clinic", Status: "delivered", Code: "000", DoneAt: event.SampleAt(4 * time.Second), ReceivedAt: event.SampleAt(5 * time.Second),
				Notification: "n-1", Attempt: 2, Unit: 1,
			},
			At: event.SampleAt(6 * time.Second),
		},
		ReceiptMatched{
			Tenant: "acme", ReceiptID: "receipt-1", Notification: "n-1", Attempt: 2, Unit: 1, Status: "delivered", Code: "000",
			Basis: ByID, DoneAt: event.SampleAt(4 * time.Second), ReceivedAt: event.SampleAt(5 * time.Second), At: event.SampleAt(6 * time.Second),
		},
		ReceiptAmbiguous{ReceiptID: "receipt-1", Fits: 2, At: event.SampleAt(6 * time.Second)},
	}
}
