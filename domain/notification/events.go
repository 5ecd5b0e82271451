package notification

import (
	"time"

	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

// THE NAMES AND FIELDS BELOW ARE THE STORAGE FORMAT. Never rename or reuse one:
// define a new version and an upcast (domain/event), and keep the golden file.

// Event is one of the events below. Facts and Filing hold the marker for the events that
// embed them; they are never events themselves.
//
// A consumer that ignores an event does not name it: its switch has a default, with
// //nolint:gochecksumtype and what the default is for. Only where an event left out is a fault (the
// fold) is the switch without one, and checked to be complete.
//
//sumtype:decl
type Event interface{ notificationEvent() }

// Facts stand on every event of an attempt, so that its row in the EDR can be filed
// from any of them, in any order.
type Facts struct {
	Attempt int `json:"attempt"` // from 1
	Step    int `json:"step"`    // from 1
	Target  int `json:"target"`  // within the step, from 1
	dimension.Dimensions
	From        Status    `json:"from,omitempty"` // the status it came from; what it has now is the higher of this and the event's
	Person      string    `json:"person"`
	Day         string    `json:"day"` // UTC date of the attempt's first due time, never changed
	Units       int       `json:"units"`
	RequestedAt time.Time `json:"requested_at"`
	ScheduledAt time.Time `json:"scheduled_at"`
	DueAt       time.Time `json:"due_at,omitzero"` // when it was first due
	SentAt      time.Time `json:"sent_at,omitzero"`
	At          time.Time `json:"at"` // when the ledger decided this
}

// AttemptFacts returns any attempt event's facts.
func (f Facts) AttemptFacts() Facts { return f }

// OccurredAt is when it happened, as far as the ledger knows.
func (f Facts) OccurredAt() time.Time { return f.At }

// AttemptEvent is any event of one attempt.
type AttemptEvent interface {
	Event
	AttemptFacts() Facts
	// Reached is the status that the event by itself stands for ("" for none).
	Reached() Status
}

// NotificationRequested: accepted. The only event a 202 needs.
type NotificationRequested struct {
	Tenant                   string                      `json:"tenant"`
	dimension.OfNotification                             // the version is that of the scenario that checked the fields
	Person                   personal.Ref                `json:"person"`
	To                       map[string][]personal.Value `json:"to,omitempty"`     // channel → addresses
	Fields                   map[string]personal.Value   `json:"fields,omitempty"` // personal custom fields
	OpenFields               map[string]string           `json:"open_fields,omitempty"`
	SendAt                   time.Time                   `json:"send_at,omitzero"`
	ExpiresAt                time.Time                   `json:"expires_at,omitzero"`
	Reference                string                      `json:"reference,omitempty"`
	IdempotencyKey           string                      `json:"idempotency_key,omitempty"`
	RequestHMAC              []byte                      `json:"request_hmac"`
	Planned                  bool                        `json:"planned,omitempty"` // with the request: its plan, or its refusal, is in the same append
	At                       time.Time                   `json:"at"`
}

// NotificationEnriched: the snapshot used and the plan decided, with its reasons.
type NotificationEnriched struct {
	Scenario string          `json:"scenario"`
	Version  string          `json:"version"`
	Plan     Plan            `json:"plan"`
	Why      []Consideration `json:"why"`
	At       time.Time       `json:"at"`
}

// Consideration explains one choice of the plan.
type Consideration struct {
	Step    int    `json:"step"`
	Channel string `json:"channel"`
	Chosen  bool   `json:"chosen"`
	Reason  string `json:"reason"`
}

// NotificationScheduled creates an attempt, due at Due.
type NotificationScheduled struct {
	Facts
	Due  time.Time `json:"due"`
	Kind TryKind   `json:"kind"`
	Of   int       `json:"of,omitempty"`  // the attempt it follows (retry, resend)
	Try  int       `json:"try,omitempty"` // how many sends of this target it makes, from 1
}

// TryKind is why an attempt exists.
type TryKind string

// Why an attempt exists.
const (
	FirstTry TryKind = "first"
	Retry    TryKind = "retry"
	Resend   TryKind = "resend"
)

// NotificationDispatched: a worker claimed the attempt. Durable before the wire.
type NotificationDispatched struct {
	Facts
	Claim    string     `json:"claim"` // random, of this claim
	Token    string     `json:"token"` // of the destination, under the route's key TokenKey
	TokenKey string     `json:"token_key"`
	Read     []Revision `json:"read,omitempty"` // what the claim guard read
}

// Revision is how far a stream was read.
type Revision struct {
	Stream   string `json:"stream"`
	Revision uint64 `json:"revision"`
}

// NotificationPostponed: the claim guard found the window closed. The attempt stays
// scheduled and may be claimed from Until on; no try is counted.
type NotificationPostponed struct {
	Facts
	Until time.Time  `json:"until"`
	Code  string     `json:"code"` // why, of the guard
	Read  []Revision `json:"read,omitempty"`
}

// Accepted is a unit the provider took.
type Accepted struct {
	Unit       int       `json:"unit"` // from 1
	ProviderID string    `json:"provider_id"`
	At         time.Time `json:"at"`
}

// NotificationSent: the provider took every unit.
type NotificationSent struct {
	Facts
	Claim    string     `json:"claim"`
	Token    string     `json:"token"`
	TokenKey string     `json:"token_key"`
	Accepted []Accepted `json:"accepted"`
}

// NotificationOutcomeUnknown: on the wire, and nobody can know what became of it.
type NotificationOutcomeUnknown struct {
	Facts
	Token    string        `json:"token"`
	TokenKey string        `json:"token_key"`
	Reason   UnknownReason `json:"reason"`             // no_answer, wire_limit
	Accepted []Accepted    `json:"accepted,omitempty"` // units whose answer did come
}

// ReceiptFacts say which receipt brought an event.
type ReceiptFacts struct {
	ReceiptID  string        `json:"receipt_id,omitempty"`
	Unit       int           `json:"unit,omitempty"`
	Code       string        `json:"code,omitempty"`   // the provider's code
	DoneAt     time.Time     `json:"done_at,omitzero"` // when, by the provider's clock
	Basis      receipt.Basis `json:"basis,omitempty"`
	ReceivedAt time.Time     `json:"received_at,omitzero"` // when it reached us
}

// NotificationDelivered: every unit of the attempt has its delivered receipt.
type NotificationDelivered struct {
	Facts
	ReceiptFacts
}

// NotificationUndelivered: refused, not sent, or reported undelivered.
type NotificationUndelivered struct {
	Facts
	ReceiptFacts
	Why       UndeliveredReason `json:"why"`                 // refused, not_sent, partial, receipt
	Transient bool              `json:"transient,omitempty"` // trying again later may succeed
	Claim     string            `json:"claim,omitempty"`
	Token     string            `json:"token,omitempty"`
	TokenKey  string            `json:"token_key,omitempty"`
	Accepted  []Accepted        `json:"accepted,omitempty"` // units accepted all the same
	Lost      int               `json:"lost,omitempty"`     // units that may have been on the wire: their answer may come yet
}

// NotificationRead: the person opened it.
type NotificationRead struct {
	Facts
	ReceiptFacts
}

// NotificationReceiptKept: a receipt that did not raise the attempt's status.
type NotificationReceiptKept struct {
	Facts
	ReceiptFacts
	Status receipt.Status `json:"status"`
	Why    KeptReason     `json:"why"` // unit, waits, double, contradicts, intermediate, no_such_unit, not_sent
}

// NotificationRetried: the attempt is followed by another one to the same target, scheduled
// in the same append.
type NotificationRetried struct {
	Facts
	Next int           `json:"next"`
	Why  RetriedReason `json:"why"`            // failed, resend
	Code string        `json:"code,omitempty"` // of the failure
}

// NotificationFailedOver: the step failed, the next one is scheduled in the same append.
type NotificationFailedOver struct {
	Filing
	FromStep int              `json:"from_step"`
	ToStep   int              `json:"to_step"`
	Why      FailedOverReason `json:"why"`
	At       time.Time        `json:"at"`
}

// NotificationGivenUp: a person gave up a held attempt.
type NotificationGivenUp struct {
	Facts
	Reason string `json:"reason,omitempty"`
}

// NotificationAttemptWithdrawn: scheduled, and never to be sent.
type NotificationAttemptWithdrawn struct {
	Facts
	Why WithdrawnReason `json:"why"` // wanted_reached, cancelled, expired, patience, first_sent, suppressed
}

// NotificationRejected: the request turned out invalid.
type NotificationRejected struct {
	Filing
	Code   string          `json:"code"`
	Detail string          `json:"detail"` // never personal data
	Why    []Consideration `json:"why,omitempty"`
	At     time.Time       `json:"at"`
}

// NotificationSuppressed: policy forbids it (consent, opt-out, cap, erasure), when it is planned or when an attempt
// is to be claimed.
type NotificationSuppressed struct {
	Filing
	Code   string          `json:"code"`
	Detail string          `json:"detail"`
	Why    []Consideration `json:"why,omitempty"`
	Read   []Revision      `json:"read,omitempty"` // by the claim guard
	At     time.Time       `json:"at"`
}

// NotificationExpired: expires_at passed first.
type NotificationExpired struct {
	Filing
	At time.Time `json:"at"`
}

// NotificationCancelled: a service or a person stopped it.
type NotificationCancelled struct {
	Filing
	Reason string    `json:"reason,omitempty"`
	Sent   []int     `json:"sent,omitempty"` // attempts that had been sent by then
	At     time.Time `json:"at"`
}

// NotificationExhausted: every step failed.
type NotificationExhausted struct {
	Filing
	At time.Time `json:"at"`
}

// NotificationReplied: the person replied. Engagement, apart from the state.
type NotificationReplied struct {
	Filing
	Attempt int            `json:"attempt,omitempty"`
	Channel string         `json:"channel"`
	ReplyID string         `json:"reply_id"`
	Text    personal.Value `json:"text"`
	DoneAt  time.Time      `json:"done_at,omitzero"`
	At      time.Time      `json:"at"`
}

// NotificationPaid: what it asked for was paid. Apart from the state.
type NotificationPaid struct {
	Filing
	PaymentID string    `json:"payment_id"`
	DoneAt    time.Time `json:"done_at,omitzero"`
	At        time.Time `json:"at"`
}

// definitions registers every event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[NotificationRequested]("NotificationRequested",
			event.Doc("A notification was accepted: it and the person's key are durable.")),
		event.Define[NotificationEnriched]("NotificationEnriched",
			event.Doc("The snapshot of what was known, the plan decided from it, and the reason of each choice.")),
		event.Define[NotificationScheduled]("NotificationScheduled",
			event.Doc("An attempt was created: one try at one address over one route, due at a time.")),
		event.Define[NotificationDispatched]("NotificationDispatched",
			event.Doc("A worker claimed the attempt; durable before anything of it goes on the wire.")),
		event.Define[NotificationPostponed]("NotificationPostponed",
			event.Doc("The window of the attempt was closed when it was to be claimed; it may be claimed later, and no try is counted.")),
		event.Define[NotificationSent]("NotificationSent",
			event.Doc("The provider took every unit; the event holds the ids it gave them.")),
		event.Define[NotificationOutcomeUnknown]("NotificationOutcomeUnknown",
			event.Doc("The attempt was on the wire, and nobody can know whether the provider took it.")),
		event.Define[NotificationDelivered]("NotificationDelivered",
			event.Doc("The provider reported every unit of the attempt delivered.")),
		event.Define[NotificationUndelivered]("NotificationUndelivered",
			event.Doc("The attempt failed: refused by the provider, not sent, sent only in part, or reported undelivered.")),
		event.Define[NotificationRead]("NotificationRead",
			event.Doc("The person opened the message.")),
		event.Define[NotificationReceiptKept]("NotificationReceiptKept",
			event.Doc("A receipt was accounted for that did not raise the attempt's status.")),
		event.Define[NotificationRetried]("NotificationRetried",
			event.Doc("The attempt is followed by another one to the same target, scheduled in the same append, because it failed for now (with the failure's code) or is sent again.")),
		event.Define[NotificationFailedOver]("NotificationFailedOver",
			event.Doc("All attempts of a step failed; the next step is scheduled in the same append.")),
		event.Define[NotificationGivenUp]("NotificationGivenUp",
			event.Doc("A person gave up an attempt whose outcome is unknown; it counts as failed.")),
		event.Define[NotificationAttemptWithdrawn]("NotificationAttemptWithdrawn",
			event.Doc("A scheduled attempt will never be sent.")),
		event.Define[NotificationRejected]("NotificationRejected",
			event.Doc("The request turned out invalid before anything was scheduled.")),
		event.Define[NotificationSuppressed]("NotificationSuppressed",
			event.Doc("Policy forbids sending: consent, opt-out, a cap, an erased person.")),
		event.Define[NotificationExpired]("NotificationExpired",
			event.Doc("The time the request set passed first; nothing more is sent.")),
		event.Define[NotificationCancelled]("NotificationCancelled",
			event.Doc("A service or a person stopped it; the event lists what had been sent by then.")),
		event.Define[NotificationExhausted]("NotificationExhausted",
			event.Doc("Every step of the plan failed.")),
		event.Define[NotificationReplied]("NotificationReplied",
			event.Doc("The person answered. Engagement, beside the notification's state.")),
		event.Define[NotificationPaid]("NotificationPaid",
			event.Doc("What the notification asked for was paid. Beside the notification's state.")),
	}
}
