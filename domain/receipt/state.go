package receipt

import (
	"slices"

	"recapito/domain/event"
)

// State is a receipt stream, folded.
type State struct {
	Submissions []Submission
	Receipts    []Receipt
	matched     []match
	ambiguous   []string
	reused      bool
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
	case ProviderIDReused:
		s.reused = true
	case ReceiptRecorded:
		s.Receipts = append(slices.Clip(s.Receipts), e.Receipt)
	case ReceiptMatched:
		s.matched = append(slices.Clip(s.matched), match{e.ReceiptID, e.Notification, e.Attempt, e.Unit, e.Basis})
	case ReceiptAmbiguous:
		s.ambiguous = append(slices.Clip(s.ambiguous), e.ReceiptID)
	}
	return s
}

// Undecided reports whether neither its id nor its reference has matched a receipt.
func (s State) Undecided(receiptID string) bool {
	return !s.isMatched(receiptID, ByID, ByReference)
}

func (s State) isMatched(receiptID string, by ...Basis) bool {
	return slices.ContainsFunc(s.matched, func(m match) bool { return m.receipt == receiptID && slices.Contains(by, m.basis) })
}

// Receipt returns a receipt by its id.
func (s State) Receipt(id string) (Receipt, bool) {
	i := slices.IndexFunc(s.Receipts, func(r Receipt) bool { return r.ID == id })
	if i < 0 {
		return Receipt{}, false
	}
	return s.Receipts[i], true
}

// sameContent returns the latest receipt of a content and how many there are.
func (s State) sameContent(id string) (latest Receipt, n int) {
	for _, r := range s.Receipts {
		if r.ID == id || r.Content == id {
			latest = r
			n++
		}
	}
	return latest, n
}

// matchedSubmission returns the submission that a receipt was matched to by its id.
func (s State) matchedSubmission(receiptID string) (Submission, bool) {
	for _, m := range s.matched {
		if m.receipt != receiptID || m.basis != ByID {
			continue
		}
		for _, sub := range s.Submissions {
			if sub.is(m.notification, m.attempt, m.unit) {
				return sub, true
			}
		}
	}
	return Submission{}, false
}
