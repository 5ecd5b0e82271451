// Package receipt is the aggregate that joins what a provider reports with what was
// submitted to it: one stream for each canonical provider id of a route. It holds
// submissions (from the notification's Sent) and receipts (from the provider), in
// whichever order they come. ReceiptMatched is the only event that confirms.
//
// A receipt is matched by its id (match.go). The matcher issues MatchReceipt once it
// has passed the receipt's own position in $all, because attempts that are not
// registered yet may be the receipt's as well, and their events are on other streams. A
// receipt that the provider sends with our own reference is matched as it is recorded.
//
// Promises: a receipt is matched at most once by its id or its reference, and at most
// once by fit before that. A receipt that may be about several attempts confirms none
// (ReceiptAmbiguous). A recorded receipt is never dropped.
//
// Not promised: if the provider gives an id again while a submission under it is open,
// for the first time on the route, a receipt may confirm the other submission of that id,
// where its address cannot be read, or where the destination is the same and the answer to
// the second one was lost (docs/model, reuse.go).
//
// No destination and no text is stored here, only tokens under a route key that
// expires with the orphan window.
package receipt

import (
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of receipt streams.
const StreamPrefix = "receipt-"

// Stream names the stream of a provider id in its canonical form (see Canonical).
func Stream(route, canonicalID string) string { return StreamPrefix + route + "-" + canonicalID }

// Window is the orphan window: the longest time after a submission at which a receipt
// may still be matched to it, and the default of a route's own window. Tokens of a
// destination expire with it.
const Window = 7 * 24 * time.Hour

// Event is one of the events below. Their names are the storage format.
//
//sumtype:decl
type Event interface{ receiptEvent() }

// Submission is a unit that a provider accepted under an id.
type Submission struct {
	Tenant       string    `json:"tenant"`
	Notification string    `json:"notification"`
	Attempt      int       `json:"attempt"`
	Unit         int       `json:"unit"`
	Token        string    `json:"token"`
	TokenKey     string    `json:"token_key"`
	AcceptedAt   time.Time `json:"accepted_at"`
	// A receipt that is received from OpenFrom to OpenUntil may be about this submission.
	OpenFrom  time.Time `json:"open_from"`
	OpenUntil time.Time `json:"open_until"`
}

// Token is a destination under one of the route's keys.
type Token struct {
	Key   string `json:"key"`
	Token string `json:"token"`
}

// Receipt is what a provider reported.
type Receipt struct {
	ID         string `json:"id"`                // see ID
	Content    string `json:"content,omitempty"` // the ID that an earlier receipt of the same content has, if one does
	Route      string `json:"route"`
	ProviderID string `json:"provider_id"` // as it came
	// Tokens are those of its addresses under every key of the route. Complete: an
	// address of it is complete and none is masked or partial, so a destination that
	// has none of these tokens is another one.
	Tokens     []Token   `json:"tokens,omitempty"`
	Complete   bool      `json:"complete,omitempty"`
	Sender     string    `json:"sender,omitempty"`
	Status     Status    `json:"status"`
	Code       string    `json:"code,omitempty"`
	DoneAt     time.Time `json:"done_at,omitzero"`
	ReceivedAt time.Time `json:"received_at"`
	// Named by the provider's echo of our client reference, if it echoes it.
	Notification string `json:"notification,omitempty"`
	Attempt      int    `json:"attempt,omitempty"`
	Unit         int    `json:"unit,omitempty"`
}

// SubmissionRegistered: a provider accepted a unit under this id.
type SubmissionRegistered struct {
	Submission
	Waiting []string  `json:"waiting,omitempty"` // ids of earlier receipts that may be about it
	At      time.Time `json:"at"`
}

// ProviderIDReused: the provider gave the id to another attempt while a submission
// under it was open.
type ProviderIDReused struct {
	Route string    `json:"route"`
	At    time.Time `json:"at"`
}

// ReceiptRecorded: a provider's report, durable before it is acknowledged.
type ReceiptRecorded struct {
	Receipt
	At time.Time `json:"at"`
}

// Basis is the ground on which a receipt was matched.
type Basis string

// The grounds on which a receipt can be matched.
const (
	ByID        Basis = "id"        // the provider's id, in time
	ByReference Basis = "reference" // the provider echoed our reference
	ByFit       Basis = "fit"       // no submission of the id, and it fits exactly one unknown outcome
)

// ReceiptMatched confirms: this receipt is about that unit of that attempt.
type ReceiptMatched struct {
	Tenant       string    `json:"tenant,omitempty"`
	ReceiptID    string    `json:"receipt_id"`
	Notification string    `json:"notification"`
	Attempt      int       `json:"attempt"`
	Unit         int       `json:"unit"`
	Status       Status    `json:"status"`
	Code         string    `json:"code,omitempty"`
	Basis        Basis     `json:"basis"`
	DoneAt       time.Time `json:"done_at,omitzero"`
	ReceivedAt   time.Time `json:"received_at"`
	At           time.Time `json:"at"`
}

// ReceiptAmbiguous: the receipt may be about several attempts; it confirms none of them.
type ReceiptAmbiguous struct {
	ReceiptID string    `json:"receipt_id"`
	Fits      int       `json:"fits"`
	At        time.Time `json:"at"`
}

func (SubmissionRegistered) receiptEvent() {}
func (ProviderIDReused) receiptEvent()     {}
func (ReceiptRecorded) receiptEvent()      {}
func (ReceiptMatched) receiptEvent()       {}
func (ReceiptAmbiguous) receiptEvent()     {}

// OccurredAt of each event.
func (e SubmissionRegistered) OccurredAt() time.Time { return e.AcceptedAt }
func (e ProviderIDReused) OccurredAt() time.Time     { return e.At }
func (e ReceiptRecorded) OccurredAt() time.Time      { return e.ReceivedAt }
func (e ReceiptMatched) OccurredAt() time.Time       { return e.At }
func (e ReceiptAmbiguous) OccurredAt() time.Time     { return e.At }

// definitions registers the events under their stored names.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[SubmissionRegistered]("SubmissionRegistered",
			event.Doc("A provider accepted a unit of an attempt under the stream's id. Receipts received from open_from to open_until may be about it.")),
		event.Define[ProviderIDReused]("ProviderIDReused",
			event.Doc("A provider gave the stream's id again while a submission under it was open: the route's ids come back. From then on a receipt of that route is matched by its id only where its address is the submission's.")),
		event.Define[ReceiptRecorded]("ReceiptRecorded",
			event.Doc("A provider's report, durable before it is acknowledged to the provider.")),
		event.Define[ReceiptMatched]("ReceiptMatched",
			event.Doc("A receipt is about this unit of this attempt. The only event that confirms.")),
		event.Define[ReceiptAmbiguous]("ReceiptAmbiguous",
			event.Doc("A receipt may be about several attempts. It is kept and confirms none of them, until something new leaves only one.")),
	}
}

// Command is one of the commands below.
//
//sumtype:decl
type Command interface{ receiptCommand() }

// RegisterSubmission records that the route's provider gave the id to a unit of an attempt.
type RegisterSubmission struct {
	Submission
	Route string
	At    time.Time
}

// RecordReceipt keeps a provider's report. The same content within Window of an
// earlier one is a repeat and changes nothing (see repeatsUntil).
type RecordReceipt struct {
	Receipt
	Window time.Duration // the route's
	At     time.Time
}

// MatchReceipt decides what a recorded receipt is about.
type MatchReceipt struct {
	ReceiptID string
	// Unregistered counts the attempts that may be the receipt's and have no registered
	// submission: of the route, dispatched by the time of the receipt, not refused, and
	// to a destination whose token is the receipt's. None of them may still register.
	Unregistered int
	// Unknown is the only one of those that the receipt fits, if its outcome is unknown.
	Unknown *Attempt
	// Reused: the route's ids come back, see ProviderIDReused.
	Reused bool
	At     time.Time
}

// Attempt names a unit of an attempt.
type Attempt struct {
	Tenant       string
	Notification string
	Attempt      int
	Unit         int
}

func (RegisterSubmission) receiptCommand() {}
func (RecordReceipt) receiptCommand()      {}
func (MatchReceipt) receiptCommand()       {}

// ErrNoReceipt: a command names a receipt that is not on the stream.
var ErrNoReceipt = &event.Rule{Code: "no_such_receipt", Message: "there is no such receipt"}
