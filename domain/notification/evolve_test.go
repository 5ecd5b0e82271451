package notification_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/dimension"
	"recapito/domain/domaintest"
	"recapito/domain/notification"
)

// Two writers that start from one state each see only what they folded themselves,
// however much room there is behind its lists.
func TestTwoFuturesOfOneStateDoNotMeet(t *testing.T) {
	kinds := map[string]func(i int, by string) happens{
		"attempts": func(i int, by string) happens {
			return notification.NotificationScheduled{Facts: notification.Facts{Dimensions: dimension.Dimensions{OfAttempt: dimension.OfAttempt{Route: by}}, Attempt: i + 1, Step: 1, Units: 1}}
		},
		"replies":  func(i int, by string) happens { return notification.NotificationReplied{ReplyID: fmt.Sprint(i, by)} },
		"payments": func(i int, by string) happens { return notification.NotificationPaid{PaymentID: fmt.Sprint(i, by)} },
		"receipts": func(i int, by string) happens {
			return notification.NotificationReceiptKept{ReceiptFacts: notification.ReceiptFacts{ReceiptID: fmt.Sprint(i, by)}}
		},
	}
	for name, event := range kinds {
		t.Run(name, func(t *testing.T) {
			var history []happens
			fold := notification.Decider.Fold
			for i := range 20 {
				base := fold(notification.State{}, history...)
				one, other := notification.Evolve(base, event(i, "one")), notification.Evolve(base, event(i, "other"))
				for _, c := range []struct {
					held notification.State
					want []happens
				}{{base, history}, {one, append(history[:i:i], event(i, "one"))}, {other, append(history[:i:i], event(i, "other"))}} {
					if diff := domaintest.Diff(fold(notification.State{}, c.want...), c.held, cmp.AllowUnexported(notification.State{})); diff != "" {
						t.Fatalf("after %d events, a state was written to (-folded +held):\n%s", i, diff)
					}
				}
				history = append(history, event(i, "one"))
			}
		})
	}
}

// Evolve never fails, whatever a store holds.
func TestEvolveBearsWhatDoesNotFit(t *testing.T) {
	for _, attempt := range []int{-1, 0, 3} {
		for _, units := range []int{-1, 0, 1} {
			f := notification.Facts{Attempt: attempt, Units: units}
			var st notification.State
			for _, e := range []happens{
				notification.NotificationSent{Facts: f}, notification.NotificationScheduled{Facts: f},
				notification.NotificationDelivered{Facts: f, ReceiptFacts: notification.ReceiptFacts{Unit: 9}},
				notification.NotificationReceiptKept{Facts: notification.Facts{Attempt: 1}, ReceiptFacts: notification.ReceiptFacts{Unit: 9}, Status: "haunted"},
				notification.NotificationRetried{Facts: f, Next: 99}, notification.NotificationFailedOver{ToStep: 99},
			} {
				st = notification.Evolve(st, e)
				_, _ = st.Lifecycle(), st.Final()
			}
		}
	}
}
