// Package receipt is the aggregate that joins what a provider reports with what was
// submitted to it: one stream for each canonical provider id of a route. It holds
// submissions (from the notification's Sent) and receipts (from the provider), in
// whichever order they come, and emits ReceiptMatched once for each pair that fits.
// ReceiptMatched is the only event that confirms.
//
// A provider reuses its ids: a stream holds many submissions, distinguished by the
// destination's token and by time. Receipts that fit several are kept and listed
// (ReceiptAmbiguous). No destination and no text stands here, only tokens under a
// route key that expires with the orphan window.
package receipt

import (
	"slices"
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of receipt streams.
const StreamPrefix = "receipt-"

// Stream names the stream of a provider id in its canonical form (see Canonical).
func Stream(route, canonicalID string) string { return StreamPrefix + route + "-" + canonicalID }

// Window is the orphan window: how long after a submission a receipt may come and
// still be matched to it, and how long a receipt waits for its submission.
const Window = 7 * 24 * time.Hour

// skew is how much earlier than the submission a receipt may seem to be received
// (a receipt can overtake the answer to its submit).
const skew = 10 * time.Minute

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
}

// Token is a destination under one of the route's keys.
type Token struct {
	Key   string `json:"key"`
	Token string `json:"token"`
}

// Receipt is what a provider reported.
type Receipt struct {
	ID         string    `json:"id"` // see ID
	Route      string    `json:"route"`
	ProviderID string    `json:"provider_id"` // as it came
	Tokens     []Token   `json:"tokens,omitempty"`
	Sender     string    `json:"sender,omitempty"`
	Says       string    `json:"says"` // delivered, undelivered, read, intermediate
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
	At time.Time `json:"at"`
}

// ReceiptRecorded: a provider's report, durable before it is acknowledged.
type ReceiptRecorded struct {
	Receipt
	At time.Time `json:"at"`
}

// Basis is how a receipt was matched.
type Basis string

// How a receipt can be matched.
const (
	BySubmission Basis = "submission" // id, token and time
	ByReference  Basis = "reference"  // the provider echoed our reference
	ByFit        Basis = "fit"        // matched nothing, and fits exactly one unknown outcome
)

// ReceiptMatched confirms: this receipt is about that unit of that attempt.
type ReceiptMatched struct {
	Tenant       string    `json:"tenant,omitempty"`
	ReceiptID    string    `json:"receipt_id"`
	Notification string    `json:"notification"`
	Attempt      int       `json:"attempt"`
	Unit         int       `json:"unit"`
	Says         string    `json:"says"`
	Code         string    `json:"code,omitempty"`
	Basis        Basis     `json:"basis"`
	DoneAt       time.Time `json:"done_at,omitzero"`
	ReceivedAt   time.Time `json:"received_at"`
	At           time.Time `json:"at"`
}

// ReceiptAmbiguous: the receipt fits several submissions; a person must look.
type ReceiptAmbiguous struct {
	ReceiptID string    `json:"receipt_id"`
	Fits      int       `json:"fits"`
	At        time.Time `json:"at"`
}

func (SubmissionRegistered) receiptEvent() {}
func (ReceiptRecorded) receiptEvent()      {}
func (ReceiptMatched) receiptEvent()       {}
func (ReceiptAmbiguous) receiptEvent()     {}

// OccurredAt of each event.
func (e SubmissionRegistered) OccurredAt() time.Time { return e.AcceptedAt }
func (e ReceiptRecorded) OccurredAt() time.Time      { return e.ReceivedAt }
func (e ReceiptMatched) OccurredAt() time.Time       { return e.At }
func (e ReceiptAmbiguous) OccurredAt() time.Time     { return e.At }

// Definitions registers the events under their stored names.
func Definitions() []event.Definition {
	return []event.Definition{
		event.Define[SubmissionRegistered]("SubmissionRegistered",
			event.Doc("A provider accepted a unit of an attempt under the stream's id.")),
		event.Define[ReceiptRecorded]("ReceiptRecorded",
			event.Doc("A provider's report, durable before it is acknowledged to the provider.")),
		event.Define[ReceiptMatched]("ReceiptMatched",
			event.Doc("A receipt is about this unit of this attempt. The only event that confirms.")),
		event.Define[ReceiptAmbiguous]("ReceiptAmbiguous",
			event.Doc("A receipt fits several submissions; it is kept, and a person must look.")),
	}
}

// Command is one of the commands below.
//
//sumtype:decl
type Command interface{ receiptCommand() }

// RegisterSubmission: the id belongs to a unit of an attempt.
type RegisterSubmission struct {
	Submission
	At time.Time
}

// RecordReceipt keeps a provider's report.
type RecordReceipt struct {
	Receipt
	At time.Time
}

// ConfirmFit matches a receipt that matches nothing to the one unknown outcome it fits.
type ConfirmFit struct {
	ReceiptID    string
	Tenant       string
	Notification string
	Attempt      int
	Unit         int
	At           time.Time
}

func (RegisterSubmission) receiptCommand() {}
func (RecordReceipt) receiptCommand()      {}
func (ConfirmFit) receiptCommand()         {}

// ErrNoReceipt: a fit names a receipt that is not on the stream.
var ErrNoReceipt = &event.Rule{Code: "no_such_receipt", Message: "there is no such receipt"}

// State is a receipt stream folded from its events.
type State struct {
	Submissions []Submission
	Receipts    []Receipt
	matched     []match
	ambiguous   []string
}

type match struct {
	receipt, notification string
	attempt, unit         int
	basis                 Basis
}

// Decider is the aggregate.
var Decider = event.Decider[State, Command, Event]{
	Initial: func() State { return State{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Evolve folds one event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case SubmissionRegistered:
		s.Submissions = append(slices.Clip(s.Submissions), e.Submission)
	case ReceiptRecorded:
		s.Receipts = append(slices.Clip(s.Receipts), e.Receipt)
	case ReceiptMatched:
		s.matched = append(slices.Clip(s.matched), match{e.ReceiptID, e.Notification, e.Attempt, e.Unit, e.Basis})
	case ReceiptAmbiguous:
		s.ambiguous = append(slices.Clip(s.ambiguous), e.ReceiptID)
	}
	return s
}

// Decide returns what a command changes.
func Decide(s State, c Command) ([]Event, error) {
	switch c := c.(type) {
	case RegisterSubmission:
		return registerSubmission(s, c), nil
	case RecordReceipt:
		return recordReceipt(s, c), nil
	case ConfirmFit:
		return confirmFit(s, c)
	}
	return nil, nil
}

func registerSubmission(s State, c RegisterSubmission) []Event {
	if slices.ContainsFunc(s.Submissions, func(o Submission) bool {
		return o.Notification == c.Notification && o.Attempt == c.Attempt && o.Unit == c.Unit
	}) {
		return nil
	}
	events := []Event{SubmissionRegistered{Submission: c.Submission, At: c.At}}
	s = Evolve(s, events[0])
	for _, r := range s.Receipts {
		events = append(events, join(s, r, c.At)...)
	}
	return events
}

func recordReceipt(s State, c RecordReceipt) []Event {
	if s.receipt(c.ID) != nil {
		return nil
	}
	events := []Event{ReceiptRecorded{Receipt: c.Receipt, At: c.At}}
	s = Evolve(s, events[0])
	if c.Notification != "" {
		events = append(events, ReceiptMatched{
			ReceiptID: c.ID, Notification: c.Notification, Attempt: c.Attempt, Unit: c.Unit, Says: c.Says, Code: c.Code,
			Basis: ByReference, DoneAt: c.DoneAt, ReceivedAt: c.ReceivedAt, At: c.At,
		})
		return events
	}
	return append(events, join(s, c.Receipt, c.At)...)
}

// join matches a receipt to the one submission it fits, if it has not been yet.
func join(s State, r Receipt, at time.Time) []Event {
	if s.isMatched(r.ID, BySubmission, ByReference) {
		return nil
	}
	var fits []Submission
	for _, sub := range s.Submissions {
		if fitsSubmission(r, sub) {
			fits = append(fits, sub)
		}
	}
	switch {
	case len(fits) == 0:
		return nil
	case len(fits) > 1:
		if slices.Contains(s.ambiguous, r.ID) {
			return nil
		}
		return []Event{ReceiptAmbiguous{ReceiptID: r.ID, Fits: len(fits), At: at}}
	}
	sub := fits[0]
	if slices.Contains(s.matched, match{r.ID, sub.Notification, sub.Attempt, sub.Unit, ByFit}) {
		return nil // the fit was right
	}
	return []Event{ReceiptMatched{
		Tenant: sub.Tenant, ReceiptID: r.ID, Notification: sub.Notification, Attempt: sub.Attempt, Unit: sub.Unit,
		Says: r.Says, Code: r.Code, Basis: BySubmission, DoneAt: r.DoneAt, ReceivedAt: r.ReceivedAt, At: at,
	}}
}

func fitsSubmission(r Receipt, sub Submission) bool {
	wait := r.ReceivedAt.Sub(sub.AcceptedAt)
	if wait < -skew || wait > Window {
		return false
	}
	return len(r.Tokens) == 0 || slices.Contains(r.Tokens, Token{Key: sub.TokenKey, Token: sub.Token})
}

func confirmFit(s State, c ConfirmFit) ([]Event, error) {
	r := s.receipt(c.ReceiptID)
	if r == nil {
		return nil, ErrNoReceipt
	}
	if s.isMatched(c.ReceiptID, BySubmission, ByReference, ByFit) {
		return nil, nil
	}
	return []Event{ReceiptMatched{
		Tenant: c.Tenant, ReceiptID: r.ID, Notification: c.Notification, Attempt: c.Attempt, Unit: c.Unit,
		Says: r.Says, Code: r.Code, Basis: ByFit, DoneAt: r.DoneAt, ReceivedAt: r.ReceivedAt, At: c.At,
	}}, nil
}

func (s State) isMatched(receiptID string, by ...Basis) bool {
	return slices.ContainsFunc(s.matched, func(m match) bool { return m.receipt == receiptID && slices.Contains(by, m.basis) })
}

func (s State) receipt(id string) *Receipt {
	for i := range s.Receipts {
		if s.Receipts[i].ID == id {
			return &s.Receipts[i]
		}
	}
	return nil
}
