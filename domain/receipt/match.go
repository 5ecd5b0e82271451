package receipt

import (
	"slices"
	"time"
)

// Decide returns what a command changes.
func Decide(s State, c Command) ([]Event, error) {
	switch c := c.(type) {
	case RegisterSubmission:
		return registerSubmission(s, c), nil
	case RecordReceipt:
		return recordReceipt(s, c), nil
	case MatchReceipt:
		return matchReceipt(s, c)
	}
	return nil, nil
}

func registerSubmission(s State, c RegisterSubmission) []Event {
	reused := false
	for _, sub := range s.Submissions {
		if sub.is(c.Notification, c.Attempt, c.Unit) {
			return nil
		}
		another := sub.Notification != c.Notification || sub.Attempt != c.Attempt
		reused = reused || another && !c.AcceptedAt.After(sub.OpenUntil) && !sub.AcceptedAt.After(c.OpenUntil)
	}
	e := SubmissionRegistered{Submission: c.Submission, At: c.At}
	for _, r := range s.Receipts {
		fitted := slices.Contains(s.matched, match{r.ID, c.Notification, c.Attempt, c.Unit, ByFit}) // and the fit was right
		if !s.isMatched(r.ID, ByID, ByReference) && !fitted && c.openFor(r) && !c.contradictedBy(r) {
			e.Waiting = append(e.Waiting, r.ID)
		}
	}
	if reused && !s.reused {
		return []Event{e, ProviderIDReused{Route: c.Route, At: c.At}}
	}
	return []Event{e}
}

func recordReceipt(s State, c RecordReceipt) []Event {
	r := c.Receipt
	if latest, n := s.sameContent(c.ID); n > 0 {
		if !c.ReceivedAt.After(s.repeatsUntil(latest, c.Window)) {
			return nil
		}
		r.Content, r.ID = c.ID, again(c.ID, n+1)
	}
	events := []Event{ReceiptRecorded{Receipt: r, At: c.At}}
	if r.Notification != "" {
		to := Attempt{Notification: r.Notification, Attempt: r.Attempt, Unit: r.Unit}
		events = append(events, matched(r, to, ByReference, c.At))
	}
	return events
}

// repeatsUntil returns until when the same content is a repeat of a receipt: as long as
// the submission it was matched to is open; for w after the receipt itself, if it was
// matched to none. Later the provider has given the id again.
func (s State) repeatsUntil(r Receipt, w time.Duration) time.Time {
	if sub, ok := s.matchedSubmission(r.ID); ok {
		return sub.OpenUntil
	}
	return r.ReceivedAt.Add(w)
}

// Reason is why a receipt is matched to nothing, or Matched.
type Reason string

// The reasons.
const (
	Matched      Reason = "matched"       // it is matched
	NoSubmission Reason = "no_submission" // no submission of its id was open when it came
	Contradicts  Reason = "contradicts"   // one was, and the receipt's address is another
	NeedsToken   Reason = "needs_token"   // one was, the route's ids come back, and the receipt's address does not name it
	Ambiguous    Reason = "ambiguous"     // it may be about several attempts
)

// About returns what a MatchReceipt makes of a receipt: the attempt that it is about, or
// has been matched to, or the reason why there is none.
func (s State) About(c MatchReceipt) (Attempt, Reason) {
	for _, by := range []Basis{ByID, ByReference, ByFit} {
		for _, m := range s.matched {
			if m.receipt == c.ReceiptID && m.basis == by {
				return Attempt{Notification: m.notification, Attempt: m.attempt, Unit: m.unit}, Matched
			}
		}
	}
	r, found := s.Receipt(c.ReceiptID)
	if !found {
		return Attempt{}, NoSubmission
	}
	v := s.judge(r, c)
	if c.Unknown != nil && (v.reason == NoSubmission || v.reason == Contradicts) {
		return *c.Unknown, Matched
	}
	return v.about.attempt(), v.reason
}

// verdict is what the rule makes of a receipt: the submission it is about, or why none.
type verdict struct {
	reason Reason
	about  Submission
	fits   int // candidates
}

// judge is the rule by which a receipt is matched by its id (docs/model, reuse.go, r15).
// Candidates are the submissions of the id that were open when the receipt came, unless
// its complete address is another. One is it, whatever the receipt's address looks like;
// among several, the one with the receipt's token. Where the route's ids come back, an
// equal token is needed, and the unregistered attempts of that token count as well.
func (s State) judge(r Receipt, c MatchReceipt) verdict {
	var open, equal []Submission
	contradicts := false
	for _, sub := range s.Submissions {
		switch {
		case !sub.openFor(r):
		case sub.contradictedBy(r):
			contradicts = true
		case sub.tokenIn(r):
			equal = append(equal, sub)
			fallthrough
		default:
			open = append(open, sub)
		}
	}
	switch {
	case len(open) == 0 && contradicts:
		return verdict{reason: Contradicts}
	case len(open) == 0:
		return verdict{reason: NoSubmission}
	case c.Reused && c.Unregistered > 0:
		return verdict{reason: Ambiguous, fits: len(open) + c.Unregistered}
	case len(equal) == 1:
		return verdict{reason: Matched, about: equal[0]}
	case len(open) > 1:
		return verdict{reason: Ambiguous, fits: len(open)}
	case c.Reused:
		return verdict{reason: NeedsToken}
	}
	return verdict{reason: Matched, about: open[0]}
}

// matchReceipt decides an ambiguous receipt again: what was unknown then may be known.
func matchReceipt(s State, c MatchReceipt) ([]Event, error) {
	r, found := s.Receipt(c.ReceiptID)
	switch {
	case !found:
		return nil, ErrNoReceipt
	case s.isMatched(r.ID, ByID, ByReference):
		return nil, nil
	}
	v := s.judge(r, c)
	switch v.reason {
	case Matched:
		if slices.Contains(s.matched, match{r.ID, v.about.Notification, v.about.Attempt, v.about.Unit, ByFit}) {
			return nil, nil // the fit was right
		}
		return []Event{matched(r, v.about.attempt(), ByID, c.At)}, nil
	case Ambiguous:
		if s.isMatched(r.ID, ByFit) || slices.Contains(s.ambiguous, r.ID) {
			return nil, nil
		}
		return []Event{ReceiptAmbiguous{ReceiptID: r.ID, Fits: v.fits, At: c.At}}, nil
	case NoSubmission, Contradicts:
		if c.Unknown != nil && !s.isMatched(r.ID, ByFit) {
			return []Event{matched(r, *c.Unknown, ByFit, c.At)}, nil
		}
	case NeedsToken:
	}
	return nil, nil
}

func matched(r Receipt, to Attempt, by Basis, at time.Time) ReceiptMatched {
	return ReceiptMatched{
		Tenant: to.Tenant, ReceiptID: r.ID, Notification: to.Notification, Attempt: to.Attempt, Unit: to.Unit,
		Status: r.Status, Code: r.Code, Basis: by, DoneAt: r.DoneAt, ReceivedAt: r.ReceivedAt, At: at,
	}
}

func (sub Submission) attempt() Attempt {
	return Attempt{sub.Tenant, sub.Notification, sub.Attempt, sub.Unit}
}

func (sub Submission) is(notification string, attempt, unit int) bool {
	return sub.Notification == notification && sub.Attempt == attempt && sub.Unit == unit
}

func (sub Submission) openFor(r Receipt) bool {
	return !r.ReceivedAt.Before(sub.OpenFrom) && !r.ReceivedAt.After(sub.OpenUntil)
}

func (sub Submission) tokenIn(r Receipt) bool {
	return slices.Contains(r.Tokens, Token{Key: sub.TokenKey, Token: sub.Token})
}

// contradictedBy compares tokens under one key only: under another, equal addresses
// have different tokens.
func (sub Submission) contradictedBy(r Receipt) bool {
	sameKey := slices.ContainsFunc(r.Tokens, func(t Token) bool { return t.Key == sub.TokenKey })
	return r.Complete && sameKey && !sub.tokenIn(r)
}
