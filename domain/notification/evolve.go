package notification

import (
	"maps"
	"slices"
)

// Evolve folds one event. It never fails and never changes the state it was given:
// slices and maps are copied before they are written.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case NotificationRequested:
		s.Requested, s.Exists = e, true
	case NotificationEnriched:
		s.Enriched, s.Plan, s.Scenario, s.Version = true, e.Plan, e.Scenario, e.Version
	case NotificationScheduled:
		s = evolveScheduled(s, e)
	case NotificationDispatched:
		s = s.change(e.Facts, Dispatched, func(a *Attempt) {
			a.Claim, a.Token, a.TokenKey, a.DispatchedAt = e.Claim, e.Token, e.TokenKey, e.At
		})
	case NotificationSent:
		s = s.change(e.Facts, Sent, func(a *Attempt) {
			a.Answered, a.SentAt, a.Accepted = true, e.SentAt, e.Accepted
		})
	case NotificationOutcomeUnknown:
		s = s.change(e.Facts, OutcomeUnknown, func(a *Attempt) {
			a.UnknownAt, a.Accepted = firstTime(a.UnknownAt, e.At), e.Accepted
		})
	case NotificationDelivered:
		s = s.withReceipt(e.ReceiptFacts)
		s = s.change(e.Facts, Delivered, func(a *Attempt) { a.say(e.Unit, SaysDelivered) })
	case NotificationUndelivered:
		s = s.withReceipt(e.ReceiptFacts)
		s = s.change(e.Facts, Undelivered, func(a *Attempt) {
			if e.Why == whyReceipt {
				a.say(e.Unit, SaysUndelivered)
				return
			}
			a.Answered = true
			if len(e.Accepted) > 0 {
				a.Accepted = e.Accepted
			}
		})
	case NotificationRead:
		s = s.withReceipt(e.ReceiptFacts)
		s = s.change(e.Facts, Read, func(a *Attempt) { a.say(e.Unit, SaysRead) })
	case NotificationReceiptKept:
		s = s.withReceipt(e.ReceiptFacts)
		s = s.change(e.Facts, None, func(a *Attempt) {
			if e.Why != keptNotSent { // what is said of an attempt before it was sent is not about it
				a.say(e.Unit, Says(e.Says))
			}
		})
	case NotificationRetried:
		s = s.change(e.Facts, None, func(a *Attempt) { a.Successor = e.Next })
	case NotificationFailedOver:
		s.Step = e.ToStep
	case NotificationGivenUp:
		s = s.change(e.Facts, None, func(a *Attempt) { a.GivenUp = true })
	case NotificationAttemptWithdrawn:
		s = s.change(e.Facts, Withdrawn, func(*Attempt) {})
	case NotificationRejected:
		s.Rejected = true
	case NotificationSuppressed:
		s.Suppressed = true
	case NotificationExpired:
		s.Expired = true
	case NotificationCancelled:
		s.Cancelled = true
	case NotificationExhausted:
		s.Exhausted = true
	case NotificationReplied:
		s.Replies = append(slices.Clip(s.Replies), e.ReplyID)
	case NotificationPaid:
		s.Payments = append(slices.Clip(s.Payments), e.PaymentID)
	}
	return s
}

func evolveScheduled(s State, e NotificationScheduled) State {
	a := Attempt{
		Facts: e.Facts, Kind: e.Kind, Of: e.Of, Try: e.Try,
		Status: Scheduled, RaisedAt: e.At, UnitSays: make([]Says, max(e.Units, 0)),
	}
	a.From, a.DueAt = None, e.Due // DueAt was not always told
	s.Attempts = append(slices.Clip(s.Attempts), a)
	s.Step = max(s.Step, e.Step)
	return s
}

// change applies an event to its attempt: the status only rises, and Withdrawn comes
// only from Scheduled.
func (s State) change(f Facts, to Status, apply func(*Attempt)) State {
	if f.Attempt < 1 || f.Attempt > len(s.Attempts) {
		return s
	}
	s.Attempts = slices.Clone(s.Attempts)
	a := &s.Attempts[f.Attempt-1]
	a.UnitSays = slices.Clone(a.UnitSays)
	apply(a)
	if to.Rank() > a.Status.Rank() && (to != Withdrawn || a.Status == Scheduled) {
		a.Status, a.RaisedAt = to, f.At
		if to.Satisfies(s.wanted(a.Step)) {
			s.Reached = true
		}
	}
	return s
}

func (a *Attempt) say(unit int, says Says) {
	if unit < 1 || unit > len(a.UnitSays) {
		return
	}
	if p := &a.UnitSays[unit-1]; saysRank(says) > saysRank(*p) {
		*p = says
	}
}

// saysRank: what is known of a unit only rises, like a status.
func saysRank(s Says) int {
	return slices.Index([]Says{"", SaysIntermediate, SaysUndelivered, SaysDelivered, SaysRead}, s)
}

func (s State) withReceipt(r ReceiptFacts) State {
	if r.ReceiptID == "" || s.receipts[r.ReceiptID] {
		return s
	}
	m := maps.Clone(s.receipts)
	if m == nil {
		m = map[string]bool{}
	}
	m[r.ReceiptID] = true
	s.receipts = m
	return s
}

// accounted says whether a receipt stands on the notification already.
func (s *State) accounted(receiptID string) bool { return s.receipts[receiptID] }
