package notification

import (
	"time"

	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/personal"
)

func samples() []any {
	at := event.SampleAt
	dimensions := dimension.Sample()
	person := personal.Ref{Person: "person-1", Key: "key-1"}
	number := personal.New(person, "+390000000001")
	text := personal.New(person, "Dear Ada, see you on Monday")
	facts := func(from Status) Facts {
		return Facts{
			Dimensions: dimensions,
			Attempt:    2, Step: 1, Target: 1, From: from, Person: person.Person, Day: "2026-03-01", Units: 2, RequestedAt: at(0), ScheduledAt: at(time.Second), DueAt: at(time.Minute), SentAt: at(2 * time.Second), At: at(3 * time.Second),
		}
	}

	filing := Filing{
		OfNotification: dimensions.OfNotification,
		Person:         person.Person, RequestedAt: at(0),
	}

	receiptFacts := ReceiptFacts{
		ReceiptID: "receipt-1", Unit: 1, Code: "000", Basis: "submission",
		DoneAt: at(4 * time.Second), ReceivedAt: at(5*time.Second + 123*time.Millisecond),
	}

	accepted := []Accepted{
		{Unit: 1, ProviderID: "1A", At: at(2 * time.Second)},
		{Unit: 2, ProviderID: "1b", At: at(2 * time.Second)},
	}
	revisions := []Revision{{Stream: "recipient-person-1", Revision: 7}}
	why := []Consideration{{Step: 1, Channel: "sms", Chosen: true, Reason: "the address is known"}}
	plan := Plan{Steps: []Step{{
		Wanted: Delivered, Wait: Duration(90 * time.Second),
		Targets: []Target{{
			OfAttempt:   dimensions.OfAttempt,
			Destination: number, Content: text, Units: 2,
			Policy: Policy{
				Tries: 3, BackOff: Duration(time.Second), BackOffMax: Duration(time.Minute),
				WireLimit: Duration(30 * time.Second), Redispatch: Duration(time.Minute),
				Patience: Duration(time.Hour), Unknown: UnknownHold,
				UnknownLimit: Duration(2 * time.Hour), Resends: 1,
			},
		}},
	}}}
	return []any{
		NotificationRequested{
			OfNotification: dimensions.OfNotification,
			Tenant:         "acme", Person: person, To: map[string][]personal.Value{"sms": {number}}, Fields: map[string]personal.Value{"name": personal.New(person, "Ada"), "note": personal.New(person, "")}, OpenFields: map[string]string{"day": "Monday"}, SendAt: at(time.Minute), ExpiresAt: at(time.Hour), Reference: "order-7", IdempotencyKey: "key-7", RequestHMAC: []byte{1, 2, 3}, Planned: true, At: at(0),
		},
		NotificationEnriched{
			Scenario: "appointment", Version: "3f2a", Plan: plan, Why: why, At: at(time.Second),
		},
		NotificationScheduled{
			Facts: facts(""), Due: at(time.Minute), Kind: Retry, Of: 1, Try: 2,
		},
		NotificationDispatched{
			Facts: facts(Scheduled), Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Read: revisions,
		},
		NotificationPostponed{
			Facts: facts(Scheduled), Until: at(time.Hour), Code: "quiet_hours", Read: revisions,
		},
		NotificationSent{
			Facts: facts(Dispatched), Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Accepted: accepted,
		},
		NotificationOutcomeUnknown{
			Facts: facts(Dispatched), Token: "t-1", TokenKey: "tk-1", Reason: "no_answer", Accepted: accepted[:1],
		},
		NotificationDelivered{Facts: facts(Sent), ReceiptFacts: receiptFacts},
		NotificationUndelivered{
			Facts: facts(Dispatched), ReceiptFacts: receiptFacts, Why: "partial", Transient: true,
			Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Accepted: accepted[:1], Lost: 1,
		},
		NotificationRead{Facts: facts(Delivered), ReceiptFacts: receiptFacts},
		NotificationReceiptKept{
			Facts: facts(Sent), ReceiptFacts: receiptFacts, Status: "delivered", Why: "unit",
		},
		NotificationRetried{Facts: facts(Undelivered), Next: 3, Why: RetriedFailed, Code: "0x00000058"},
		NotificationFailedOver{
			Filing: filing, FromStep: 1, ToStep: 2, Why: FailedOverAllFailed, At: at(time.Minute),
		},
		NotificationGivenUp{Facts: facts(OutcomeUnknown), Reason: "wrong number"},
		NotificationAttemptWithdrawn{
			Facts: facts(Scheduled), Why: "wanted_reached",
		},
		NotificationRejected{
			Filing: filing, Code: "no_address", Detail: "no channel of the scenario has an address", Why: why, At: at(time.Second),
		},
		NotificationSuppressed{
			Filing: filing, Code: "opt_out", Detail: "the person opted out of this scenario", Why: why, Read: revisions, At: at(time.Second),
		},
		NotificationExpired{Filing: filing, At: at(time.Hour)},
		NotificationCancelled{Filing: filing, Reason: "moved", Sent: []int{1}, At: at(time.Minute)},
		NotificationExhausted{Filing: filing, At: at(time.Hour)},
		NotificationReplied{
			Filing: filing, Attempt: 2, Channel: "sms", ReplyID: "reply-1", Text: personal.New(person, "I will come"),
			DoneAt: at(time.Minute), At: at(2 * time.Minute),
		},
		NotificationPaid{Filing: filing, PaymentID: "payment-1", DoneAt: at(time.Minute), At: at(2 * time.Minute)},
	}
}
