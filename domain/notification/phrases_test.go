package notification_test

import (
	"testing"

	"recapito/domain/dimension"
	"recapito/domain/notification"
)

// The history has which unit a receipt was about, the provider's code of a failure,
// and why what is never sent is not.
func TestPhrases(t *testing.T) {
	facts := notification.Facts{Dimensions: dimension.Dimensions{OfAttempt: dimension.OfAttempt{Channel: "sms"}}, Attempt: 1, Units: 1}
	long := facts
	long.Units = 3
	for _, c := range []struct {
		of   notification.Event
		want string
	}{
		{notification.NotificationReceiptKept{Facts: long, ReceiptFacts: notification.ReceiptFacts{Unit: 2}, Status: "delivered", Why: "unit"},
			"Attempt 1 by sms has a receipt: unit 2 of 3 delivered, the others are awaited."},
		{notification.NotificationReceiptKept{Facts: facts, ReceiptFacts: notification.ReceiptFacts{Unit: 1}, Status: "undelivered", Why: "contradicts"},
			"Attempt 1 by sms has a receipt: undelivered, against what is known."},
		{notification.NotificationUndelivered{Facts: facts, ReceiptFacts: notification.ReceiptFacts{Code: "0x0000000B"}, Why: "refused"},
			"Attempt 1 by sms failed: refused by the provider, code 0x0000000B."},
		{notification.NotificationUndelivered{Facts: facts, ReceiptFacts: notification.ReceiptFacts{Code: notification.CodeNotSent}, Why: "not_sent"},
			"Attempt 1 by sms failed: not sent."},
		{notification.NotificationAttemptWithdrawn{Facts: facts, Why: "patience"},
			"Attempt 1 by sms withdrawn, never to be sent: its route took nothing for as long as it may wait."},
	} {
		if got := notification.PhraseOf(c.of).What; got != c.want {
			t.Errorf("phrase\n%s\nwant\n%s", got, c.want)
		}
	}
}
