package receipt_test

import (
	"reflect"
	"testing"
	"time"

	"recapito/domain/domaintest"
	"recapito/domain/receipt"
)

type happens = receipt.Event

func exported(reflect.Type) bool { return true }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

type example = domaintest.Example[receipt.State, receipt.Command, receipt.Event]

func given(t *testing.T, commands ...receipt.Command) example {
	t.Helper()
	return domaintest.For(t, receipt.Decider).After(commands...)
}

const (
	second = time.Second
	day    = 24 * time.Hour
	early  = 15 * second // k
	window = 3 * day     // w
)

// submission of unit 1 of attempt 1 of a notification to the destination of a token,
// accepted and registered at d.
func submission(notification, token string, d time.Duration) receipt.RegisterSubmission {
	return receipt.RegisterSubmission{
		Submission: receipt.Submission{
			Tenant: "acme", Notification: notification, Attempt: 1, Unit: 1, Token: token, TokenKey: "key", AcceptedAt: at(d),
			OpenFrom: at(d - early), OpenUntil: at(d + window),
		},
		Route: "smsc", At: at(d),
	}
}

// report of a receipt received at d whose address has a token: complete, or (with "~"
// before it) not known to be complete; "" if it cannot be read.
func report(id, token string, d time.Duration) receipt.RecordReceipt {
	r := receipt.RecordReceipt{
		Receipt: receipt.Receipt{
			ID: id, Route: "smsc", ProviderID: "1A", Status: "delivered", Code: "000", DoneAt: at(d - second), ReceivedAt: at(d),
		},
		Window: window, At: at(d),
	}
	if token != "" {
		r.Complete = token[0] != '~'
		if !r.Complete {
			token = token[1:]
		}
		r.Tokens = []receipt.Token{{Key: "old key", Token: "another"}, {Key: "key", Token: token}}
	}
	return r
}

func match(id string, d time.Duration) receipt.MatchReceipt {
	return receipt.MatchReceipt{ReceiptID: id, At: at(d)}
}

// rivalled is a match while n attempts that may be the receipt's are not registered.
func rivalled(id string, n int, d time.Duration) receipt.MatchReceipt {
	c := match(id, d)
	c.Unregistered = n
	return c
}

// whereReused is the same match on a route whose ids come back.
func whereReused(c receipt.MatchReceipt) receipt.MatchReceipt {
	c.Reused = true
	return c
}

// fitted is a match of a receipt that fits one unknown outcome and nothing else.
func fitted(id, notification string, d time.Duration) receipt.MatchReceipt {
	c := rivalled(id, 1, d)
	c.Unknown = &receipt.Attempt{Tenant: "acme", Notification: notification, Attempt: 1, Unit: 1}
	return c
}

func registered(c receipt.RegisterSubmission) happens {
	return receipt.SubmissionRegistered{Submission: c.Submission, At: c.At}
}

// registeredLate is a submission whose receipt is there already.
func registeredLate(c receipt.RegisterSubmission, waiting string) happens {
	return receipt.SubmissionRegistered{Submission: c.Submission, Waiting: []string{waiting}, At: c.At}
}

func reused(d time.Duration) happens {
	return receipt.ProviderIDReused{Route: "smsc", At: at(d)}
}

func recorded(c receipt.RecordReceipt) happens {
	return receipt.ReceiptRecorded{Receipt: c.Receipt, At: c.At}
}

func matched(c receipt.RecordReceipt, notification string, by receipt.Basis, d time.Duration) receipt.ReceiptMatched {
	return receipt.ReceiptMatched{
		Tenant: "acme", ReceiptID: c.ID, Notification: notification, Attempt: 1, Unit: 1, Status: c.Status, Code: c.Code,
		Basis: by, DoneAt: c.DoneAt, ReceivedAt: c.ReceivedAt, At: at(d),
	}
}

func ambiguous(id string, fits int, d time.Duration) happens {
	return receipt.ReceiptAmbiguous{ReceiptID: id, Fits: fits, At: at(d)}
}
