package notification

import (
	"time"

	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

// Command is one of the commands below. Each carries the time at which it is decided.
//
//sumtype:decl
type Command interface{ notificationCommand() }

// Request accepts a notification. Repeating it with the same HMAC decides nothing;
// another HMAC is ErrKeyReused.
type Request struct {
	Tenant string
	dimension.OfNotification
	Person         personal.Ref
	To             map[string][]personal.Value
	Fields         map[string]personal.Value
	OpenFields     map[string]string
	SendAt         time.Time
	ExpiresAt      time.Time
	Reference      string
	IdempotencyKey string
	RequestHMAC    []byte
	// Planned is the Enrich, Reject or Suppress that is decided in the same append, where
	// planning needs nothing from outside. Nil: the process manager plans it.
	Planned Command
	At      time.Time
}

// Requested returns the event that accepts the request.
func (c Request) Requested() NotificationRequested {
	return NotificationRequested{
		Tenant: c.Tenant, OfNotification: c.OfNotification, Person: c.Person, To: c.To, Fields: c.Fields, OpenFields: c.OpenFields,
		SendAt: c.SendAt, ExpiresAt: c.ExpiresAt, Reference: c.Reference,
		IdempotencyKey: c.IdempotencyKey, RequestHMAC: c.RequestHMAC, Planned: c.Planned != nil, At: c.At,
	}
}

// Enrich gives the snapshot and the plan; the first step is scheduled in the same append.
type Enrich struct {
	Scenario string
	Version  string
	Plan     Plan
	Why      []Consideration
	At       time.Time
}

// Reject records that the request turned out invalid before anything was scheduled.
type Reject struct {
	Code   string
	Detail string
	Why    []Consideration
	At     time.Time
}

// Suppress records that policy forbids sending, before anything was scheduled.
type Suppress struct {
	Code   string
	Detail string
	Why    []Consideration
	At     time.Time
}

// Claim takes a scheduled attempt for one worker, before anything goes on the wire.
type Claim struct {
	Attempt  int
	Claim    string // random
	Token    string
	TokenKey string
	Guard    Guard
	At       time.Time
}

// RecordOutcome records the outcome of a claim: what became of each unit.
type RecordOutcome struct {
	Attempt int
	Claim   string
	Units   []UnitOutcome // in order
	At      time.Time
}

// Confirm accounts for one receipt that was matched to an attempt.
type Confirm struct {
	ReceiptID  string
	Attempt    int
	Unit       int // from 1
	Status     receipt.Status
	Code       string
	Basis      receipt.Basis
	DoneAt     time.Time
	ReceivedAt time.Time
	At         time.Time
}

// EnforceLimit is the watchdog: it settles an attempt whose status has lasted longer
// than its limit, and decides nothing before.
type EnforceLimit struct {
	Attempt int
	At      time.Time
}

// Expire stops what is unsent once expires_at has passed.
type Expire struct{ At time.Time }

// Cancel stops what is unsent.
type Cancel struct {
	Reason string
	At     time.Time
}

// ResendHeld sends a held attempt again, by a person's decision.
type ResendHeld struct {
	Attempt int
	At      time.Time
}

// GiveUpHeld counts a held attempt as failed, by a person's decision.
type GiveUpHeld struct {
	Attempt int
	Reason  string
	At      time.Time
}

// RecordReply keeps a person's answer.
type RecordReply struct {
	Attempt int
	Channel string
	ReplyID string
	Text    personal.Value
	DoneAt  time.Time
	At      time.Time
}

// RecordPayment keeps that it was paid.
type RecordPayment struct {
	PaymentID string
	DoneAt    time.Time
	At        time.Time
}

func (Request) notificationCommand()       {}
func (Enrich) notificationCommand()        {}
func (Reject) notificationCommand()        {}
func (Suppress) notificationCommand()      {}
func (Claim) notificationCommand()         {}
func (RecordOutcome) notificationCommand() {}
func (Confirm) notificationCommand()       {}
func (EnforceLimit) notificationCommand()  {}
func (Expire) notificationCommand()        {}
func (Cancel) notificationCommand()        {}
func (ResendHeld) notificationCommand()    {}
func (GiveUpHeld) notificationCommand()    {}
func (RecordReply) notificationCommand()   {}
func (RecordPayment) notificationCommand() {}

// Rules that a command can break. Compare with errors.Is.
var (
	ErrAbsent       = &event.Rule{Code: "not_found", Message: "there is no such notification"}
	ErrKeyReused    = &event.Rule{Code: "idempotency_key_reused", Message: "the idempotency key was used with another request"}
	ErrInFlight     = &event.Rule{Code: "in_flight", Message: "an attempt is being sent, or its outcome is not known yet; try again later"}
	ErrFinal        = &event.Rule{Code: "final", Message: "the notification is already final"}
	ErrNoAttempt    = &event.Rule{Code: "no_such_attempt", Message: "the notification has no such attempt"}
	ErrNotScheduled = &event.Rule{Code: "not_scheduled", Message: "the attempt is not scheduled any more"}
	ErrNotDue       = &event.Rule{Code: "not_due", Message: "the attempt is not due yet"}
	ErrExpired      = &event.Rule{Code: "expired", Message: "expires_at has passed"}
	ErrNotHeld      = &event.Rule{Code: "not_held", Message: "the attempt is not held for a decision"}
	ErrWrongClaim   = &event.Rule{Code: "wrong_claim", Message: "the attempt was claimed by another worker"}
	ErrBadGuard     = &event.Rule{Code: "bad_guard", Message: "the claim guard's result is not well formed"}
	ErrBadPlan      = &event.Rule{Code: "bad_plan", Message: "the plan is not well formed"}
	ErrPlanned      = &event.Rule{Code: "already_planned", Message: "the notification is planned already"}
)
