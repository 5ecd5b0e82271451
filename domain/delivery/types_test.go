package delivery_test

import (
	"slices"
	"testing"

	"recapito/domain/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// A type that is left out must be one that is never reacted to, and one that is listed
// must be a stored name.
func TestTypesAreThoseReactedTo(t *testing.T) {
	silent := map[string]notification.Event{
		"NotificationEnriched": notification.NotificationEnriched{}, "NotificationRead": notification.NotificationRead{},
		"NotificationReceiptKept": notification.NotificationReceiptKept{}, "NotificationRetried": notification.NotificationRetried{},
		"NotificationFailedOver": notification.NotificationFailedOver{}, "NotificationGivenUp": notification.NotificationGivenUp{},
		"NotificationAttemptWithdrawn": notification.NotificationAttemptWithdrawn{}, "NotificationRejected": notification.NotificationRejected{},
		"NotificationSuppressed": notification.NotificationSuppressed{}, "NotificationExpired": notification.NotificationExpired{},
		"NotificationCancelled": notification.NotificationCancelled{}, "NotificationExhausted": notification.NotificationExhausted{},
		"NotificationReplied": notification.NotificationReplied{}, "NotificationPaid": notification.NotificationPaid{},
	}
	codec, err := event.NewCodec(slices.Concat(notification.Definitions(), receipt.Definitions())...)
	if err != nil {
		t.Fatal(err)
	}
	x := one(t)
	for _, name := range codec.Names() {
		e, isSilent := silent[name]
		switch listed := slices.Contains(delivery.Types, name); {
		case listed && isSilent:
			t.Errorf("%s is listed, and nothing follows it", name)
		case isSilent:
			x.expect(delivery.Recorded{Event: e}, 5*s)
		case !listed && name[:len("Notification")] == "Notification":
			t.Errorf("%s is not listed", name)
		}
	}
}
