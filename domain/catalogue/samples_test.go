package catalogue_test

import (
	"time"

	"recapito/domain/audit"
	"recapito/domain/checkpoint"
	"recapito/domain/deadline"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/lease"
	"recapito/domain/mark"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	person = personal.Ref{Person: "person-1", Key: "key-1"}
	number = personal.New(person, "+390000000001")
	text   = personal.New(person, "Dear Ada, see you on Monday")
)

func after(d time.Duration) time.Time { return noon.Add(d) }

func facts(from notification.Status) notification.Facts {
	return notification.Facts{
		Dimensions: dimension.Dimensions{
			OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "3f2a", Brand: "clinic", Segment: "care", Campaign: "spring-2026", Priority: "normal", Test: true},
			OfAttempt:      dimension.OfAttempt{Channel: "sms", Route: "smsc", Sender: "Clinic", Country: "IT", Operator: "22201"},
		},
		Attempt: 2, Step: 1, Target: 1, From: from, Person: person.Person, Day: "2026-03-01", Units: 2, RequestedAt: noon, ScheduledAt: after(time.Second), DueAt: after(time.Minute), SentAt: after(2 * time.Second), At: after(3 * time.Second),
	}
}

var filing = notification.Filing{
	OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "3f2a", Brand: "clinic", Segment: "care", Campaign: "spring-2026", Priority: "normal", Test: true},
	Person:         person.Person, RequestedAt: noon,
}

func receiptFacts() notification.ReceiptFacts {
	return notification.ReceiptFacts{
		ReceiptID: "receipt-1", Unit: 1, Code: "000", Basis: "submission",
		DoneAt: after(4 * time.Second), ReceivedAt: after(5*time.Second + 123*time.Millisecond),
	}
}

var (
	accepted = []notification.Accepted{
		{Unit: 1, ProviderID: "1A", At: after(2 * time.Second)},
		{Unit: 2, ProviderID: "1b", At: after(2 * time.Second)},
	}
	revisions = []notification.Revision{{Stream: "recipient-person-1", Revision: 7}}
	why       = []notification.Consideration{{Step: 1, Channel: "sms", Chosen: true, Reason: "the address is known"}}
	plan      = notification.Plan{Steps: []notification.Step{{
		Wanted: notification.Delivered, Wait: notification.Duration(90 * time.Second),
		Targets: []notification.Target{{
			OfAttempt:   dimension.OfAttempt{Channel: "sms", Route: "smsc", Sender: "Clinic", Country: "IT", Operator: "22201"},
			Destination: number, Content: text, Units: 2,
			Policy: notification.Policy{
				Tries: 3, BackOff: notification.Duration(time.Second), BackOffMax: notification.Duration(time.Minute),
				WireLimit: notification.Duration(30 * time.Second), Redispatch: notification.Duration(time.Minute),
				Patience: notification.Duration(time.Hour), Unknown: notification.UnknownHold,
				UnknownLimit: notification.Duration(2 * time.Hour), Resends: 1,
			},
		}},
	}}}
	submission = receipt.Submission{
		Tenant: "acme", Notification: "n-1", Attempt: 2, Unit: 1, Token: "t-1", TokenKey: "tk-1", AcceptedAt: after(2 * time.Second),
		OpenFrom: after(-13 * time.Second), OpenUntil: after(2*time.Second + receipt.Window),
	}
)

// samples holds one event for every name, with every field filled. Change one only
// together with a new name: the golden files are what stands in stores.
var samples = map[string]any{
	"NotificationRequested": notification.NotificationRequested{
		OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "3f2a", Brand: "clinic", Segment: "care", Campaign: "spring-2026", Priority: "normal", Test: true},
		Tenant:         "acme", Person: person, To: map[string][]personal.Value{"sms": {number}}, Fields: map[string]personal.Value{"name": personal.New(person, "Ada"), "note": personal.New(person, "")}, OpenFields: map[string]string{"day": "Monday"}, SendAt: after(time.Minute), ExpiresAt: after(time.Hour), Reference: "order-7", IdempotencyKey: "key-7", RequestHMAC: []byte{1, 2, 3}, Planned: true, At: noon,
	},
	"NotificationEnriched": notification.NotificationEnriched{
		Scenario: "appointment", Version: "3f2a", Plan: plan, Why: why, At: after(time.Second),
	},
	"NotificationScheduled": notification.NotificationScheduled{
		Facts: facts(""), Due: after(time.Minute), Kind: notification.Retry, Of: 1, Try: 2,
	},
	"NotificationDispatched": notification.NotificationDispatched{
		Facts: facts(notification.Scheduled), Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Read: revisions,
	},
	"NotificationPostponed": notification.NotificationPostponed{
		Facts: facts(notification.Scheduled), Until: after(time.Hour), Code: "quiet_hours", Read: revisions,
	},
	"NotificationSent": notification.NotificationSent{
		Facts: facts(notification.Dispatched), Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Accepted: accepted,
	},
	"NotificationOutcomeUnknown": notification.NotificationOutcomeUnknown{
		Facts: facts(notification.Dispatched), Token: "t-1", TokenKey: "tk-1", Reason: "no_answer", Accepted: accepted[:1],
	},
	"NotificationDelivered": notification.NotificationDelivered{Facts: facts(notification.Sent), ReceiptFacts: receiptFacts()},
	"NotificationUndelivered": notification.NotificationUndelivered{
		Facts: facts(notification.Dispatched), ReceiptFacts: receiptFacts(), Why: "partial", Transient: true,
		Claim: "claim-1", Token: "t-1", TokenKey: "tk-1", Accepted: accepted[:1], Lost: 1,
	},
	"NotificationRead": notification.NotificationRead{Facts: facts(notification.Delivered), ReceiptFacts: receiptFacts()},
	"NotificationReceiptKept": notification.NotificationReceiptKept{
		Facts: facts(notification.Sent), ReceiptFacts: receiptFacts(), Says: "delivered", Why: "unit",
	},
	"NotificationRetried": notification.NotificationRetried{Facts: facts(notification.Undelivered), Next: 3, Why: "0x00000058"},
	"NotificationFailedOver": notification.NotificationFailedOver{
		Filing: filing, FromStep: 1, ToStep: 2, Why: "all_failed", At: after(time.Minute),
	},
	"NotificationGivenUp": notification.NotificationGivenUp{Facts: facts(notification.OutcomeUnknown), Reason: "wrong number"},
	"NotificationAttemptWithdrawn": notification.NotificationAttemptWithdrawn{
		Facts: facts(notification.Scheduled), Why: "wanted_reached",
	},
	"NotificationRejected": notification.NotificationRejected{
		Filing: filing, Code: "no_address", Detail: "no channel of the scenario has an address", Why: why, At: after(time.Second),
	},
	"NotificationSuppressed": notification.NotificationSuppressed{
		Filing: filing, Code: "opt_out", Detail: "the person opted out of this scenario", Why: why, Read: revisions, At: after(time.Second),
	},
	"NotificationExpired":   notification.NotificationExpired{Filing: filing, At: after(time.Hour)},
	"NotificationCancelled": notification.NotificationCancelled{Filing: filing, Reason: "moved", Sent: []int{1}, At: after(time.Minute)},
	"NotificationExhausted": notification.NotificationExhausted{Filing: filing, At: after(time.Hour)},
	"NotificationReplied": notification.NotificationReplied{
		Filing: filing, Attempt: 2, Channel: "sms", ReplyID: "reply-1", Text: personal.New(person, "I will come"),
		DoneAt: after(time.Minute), At: after(2 * time.Minute),
	},
	"NotificationPaid": notification.NotificationPaid{Filing: filing, PaymentID: "payment-1", DoneAt: after(time.Minute), At: after(2 * time.Minute)},

	"SubmissionRegistered": receipt.SubmissionRegistered{Submission: submission, Waiting: []string{"receipt-1"}, At: after(3 * time.Second)},
	"ProviderIDReused":     receipt.ProviderIDReused{Route: "smsc", At: after(3 * time.Second)},
	"ReceiptRecorded": receipt.ReceiptRecorded{
		Receipt: receipt.Receipt{
			ID: "receipt-2", Content: "receipt-1", Route: "smsc", ProviderID: "1A", Complete: true, Tokens: []receipt.Token{{Key: "tk-1", Token: "t-1"}},
			Sender: "Clinic", Says: "delivered", Code: "000", DoneAt: after(4 * time.Second), ReceivedAt: after(5 * time.Second),
			Notification: "n-1", Attempt: 2, Unit: 1,
		},
		At: after(6 * time.Second),
	},
	"ReceiptMatched": receipt.ReceiptMatched{
		Tenant: "acme", ReceiptID: "receipt-1", Notification: "n-1", Attempt: 2, Unit: 1, Says: "delivered", Code: "000",
		Basis: receipt.ByID, DoneAt: after(4 * time.Second), ReceivedAt: after(5 * time.Second), At: after(6 * time.Second),
	},
	"ReceiptAmbiguous": receipt.ReceiptAmbiguous{ReceiptID: "receipt-1", Fits: 2, At: after(6 * time.Second)},

	"TenantKeyCreated": tenant.KeyCreated{KeyID: "k-1", Hash: "9f86d081", Label: "booking service", At: noon},
	"TenantKeyRevoked": tenant.KeyRevoked{KeyID: "k-1", Hash: "9f86d081", At: after(time.Hour)},

	"CallsRecorded": audit.CallsRecorded{
		Calls: []audit.Call{{
			ID: "00000000-0000-4000-8000-000000000001", At: noon, Actor: "key:k-1", Operation: "get-notification", Method: "GET",
			Path: "/v1/notifications/{id}", Status: 404, Code: "not_found", Notification: "n-1", Target: "k-1",
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Millis: 12,
		}},
		At: noon,
	},

	"DeadlineSet":          deadline.DeadlineSet{At: after(time.Minute), Notification: "n-1", Attempt: 2, GivenBack: true},
	"DeadlineBucketClosed": deadline.BucketClosed{},

	"ProjectionCheckpointed": checkpoint.ProjectionCheckpointed{
		Projection: "edr", Generation: "g-1",
		Live: checkpoint.Table{
			Name: "edr_parts_1", Version: 1, Done: checkpoint.Done{Events: 10, Position: 99},
			Pending: &checkpoint.Batch{FirstSeq: 10, LastSeq: 19, First: 100, Last: 180},
		},
		Building: &checkpoint.Table{Name: "edr_parts_2", Version: 2},
		Retired:  []string{"edr_parts_0"},
	},
	"LeaseTaken":    lease.LeaseTaken{Holder: "4f1c09ab77d0", Epoch: 3},
	"Marked":        mark.Marked{Time: after(1234567 * time.Microsecond), Seq: 100, Position: 180, LastID: "0198f000-0000-7000-8000-000000000003"},
	"LeaseReleased": lease.LeaseReleased{Holder: "4f1c09ab77d0", Epoch: 3},

	"RunnerCheckpointed": checkpoint.RunnerCheckpointed{Position: 99},
	"MatcherCheckpointed": checkpoint.MatcherCheckpointed{
		Position: 99, Reused: []string{"smsc"}, Seen: new(event.Position(120)),
	},
	"DeadlinesCheckpointed": checkpoint.DeadlinesCheckpointed{
		Minute: 29_539_440, After: new(event.Position(81_234)), Fired: &noon, Seen: new(event.Position(81_240)),
	},
}
