package notification

import (
	"crypto/sha1" //nolint:gosec // jitter, not secrecy
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

func (t *turn) claim(c Claim) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	switch {
	case a.Status == Dispatched && a.Claim == c.Claim:
		return nil
	case a.Status != Scheduled || t.s.Over():
		return ErrNotScheduled
	case c.At.Before(a.Due):
		return ErrNotDue
	case t.s.ExpiryPassed(c.At):
		return ErrExpired
	}
	switch g := c.Guard; g.Verdict {
	case Allow:
		t.emit(NotificationDispatched{Facts: t.facts(a), Claim: c.Claim, Token: c.Token, TokenKey: c.TokenKey, Read: g.Read})
	case Reschedule:
		if !g.Until.After(c.At) {
			return ErrBadGuard
		}
		t.emit(NotificationPostponed{Facts: t.facts(a), Until: g.Until, Code: g.Code, Read: g.Read})
	case Forbid:
		t.emit(NotificationSuppressed{Filing: t.s.filing(), Code: g.Code, Detail: g.Detail, Read: g.Read, At: c.At})
		t.withdrawAll(WithdrawnSuppressed)
	default:
		return ErrBadGuard
	}
	return nil
}

// recordOutcome appends the outcome of a claim: every unit accepted is Sent; any refused
// or missing is Undelivered; only accepted and lost ones is OutcomeUnknown. A later outcome
// of the same claim, made complete by answers that came late, is appended where it raises
// the status or carries ids that were not known; a unit that was accepted stays accepted.
func (t *turn) recordOutcome(c RecordOutcome) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	if a.Claim == "" || a.Claim != c.Claim {
		return ErrWrongClaim
	}
	if a.Answered {
		return nil
	}
	o := summarise(a.stillAccepted(c.Units))
	switch {
	case len(c.Units) == 0:
		t.unknown(a, UnknownNoAnswer, nil)
	case len(o.accepted) == len(c.Units):
		t.sent(a, o.accepted)
	case o.refused != nil || o.missing > 0:
		t.refused(a, o)
	default:
		t.unknown(a, UnknownNoAnswer, o.accepted)
	}
	return nil
}

// stillAccepted returns the units with those accepted that were accepted before.
func (a *Attempt) stillAccepted(units []UnitOutcome) []UnitOutcome {
	for _, known := range a.Accepted {
		i := known.Unit - 1
		if i >= len(units) || units[i].Fate == UnitAccepted {
			continue
		}
		units = slices.Clone(units)
		units[i] = UnitOutcome{Fate: UnitAccepted, ProviderID: known.ProviderID, At: known.At}
	}
	return units
}

type outcome struct {
	accepted  []Accepted
	lost      int
	missing   int          // not on the wire
	refused   *UnitOutcome // the first one refused
	permanent bool         // one was refused for good
	noTry     bool         // no unit was judged: missing, or refused as too much at once
}

func summarise(units []UnitOutcome) outcome {
	o := outcome{noTry: true}
	for i, u := range units {
		o.noTry = o.noTry && (u.Fate == UnitNotSent || u.Fate == UnitRefused && u.Busy)
		switch u.Fate {
		case UnitAccepted:
			o.accepted = append(o.accepted, Accepted{Unit: i + 1, ProviderID: u.ProviderID, At: u.At})
		case UnitLost:
			o.lost++
		case UnitRefused:
			if o.refused == nil {
				o.refused = &units[i]
			}
			o.permanent = o.permanent || !u.Transient
		case UnitNotSent:
			o.missing++
		}
	}
	return o
}

// news reports whether an outcome has ids that the attempt does not have yet.
func (a *Attempt) news(accepted []Accepted) bool { return len(accepted) > len(a.Accepted) }

func (t *turn) unknown(a *Attempt, reason UnknownReason, accepted []Accepted) {
	raises := a.Status == Dispatched
	if !raises && !a.news(accepted) {
		return
	}
	t.emit(NotificationOutcomeUnknown{
		Facts: t.facts(a), Token: a.Token, TokenKey: a.TokenKey, Reason: reason, Accepted: accepted,
	})
	if !raises || t.heldUndelivered(a) {
		return
	}
	if t.s.Target(a).Policy.Unknown == UnknownResend && t.mayFollow(a) && t.mayResend(a) {
		t.follow(a, Resend, t.at, a.Try, RetriedResend, "")
	}
}

func (t *turn) sent(a *Attempt, accepted []Accepted) {
	before := t.s.Reached
	e := NotificationSent{Facts: t.facts(a), Claim: a.Claim, Token: a.Token, TokenKey: a.TokenKey, Accepted: accepted}
	for _, unit := range accepted {
		if unit.At.After(e.SentAt) {
			e.SentAt = unit.At
		}
	}
	t.emit(e)
	t.raised(before)
	t.withdrawSuccessor(a)
	t.heldUndelivered(a)
}

// withdrawSuccessor follows what shows that an attempt was sent after all: what was to
// follow it, and is not sent yet, must not be.
func (t *turn) withdrawSuccessor(a *Attempt) {
	if next, ok := t.s.Attempt(a.Successor); ok && next.Status == Scheduled && a.Status != Undelivered {
		t.emit(NotificationAttemptWithdrawn{Facts: t.facts(next), Why: WithdrawnFirstSent})
	}
}

// refused: a unit was refused or is missing. It is transient only if no unit was accepted
// or may have been, so that no unit is ever sent twice.
func (t *turn) refused(a *Attempt, o outcome) {
	raises := a.Status.Rank() < Undelivered.Rank()
	if !raises && !a.news(o.accepted) {
		return
	}
	onWire := len(o.accepted)+o.lost > 0
	e := NotificationUndelivered{
		Facts: t.facts(a), Claim: a.Claim, Token: a.Token, TokenKey: a.TokenKey, Accepted: o.accepted, Lost: o.lost,
		ReceiptFacts: ReceiptFacts{Code: CodeNotSent}, Transient: !o.permanent && !onWire,
	}
	switch {
	case onWire:
		e.Why = UndeliveredPartial
	case o.refused != nil:
		e.Why = UndeliveredRefused
	default:
		e.Why = UndeliveredNotSent
	}
	if o.refused != nil {
		e.Code = o.refused.Code
	}
	t.emit(e)
	if !raises {
		return
	}
	if e.Transient {
		t.retry(a, o.noTry, e.Code)
	}
	t.settle()
}

func (t *turn) retry(a *Attempt, noTry bool, code string) {
	policy := &t.s.Target(a).Policy
	try := a.Try + 1
	if noTry { // the message itself was not judged
		try = a.Try
	}
	due := t.at.Add(t.backOff(a, policy))
	if try > policy.Tries || !t.mayFollow(a) {
		return
	}
	t.follow(a, Retry, due, try, RetriedFailed, code)
}

// mayFollow reports whether an attempt may get a successor at all.
func (t *turn) mayFollow(a *Attempt) bool {
	return a.Successor == 0 && a.Step == t.s.Step && !t.s.Over() && !t.s.ExpiryPassed(t.at) && len(t.s.Attempts) < MaxAttempts
}

// mayResend reports whether resends are left for the attempt's target.
func (t *turn) mayResend(a *Attempt) bool {
	resends := 0
	for i := range t.s.Attempts {
		if b := &t.s.Attempts[i]; b.Kind == Resend && b.Step == a.Step && b.Target == a.Target {
			resends++
		}
	}
	return resends < t.s.Target(a).Policy.Resends && !t.s.ExpiryPassed(t.at) && len(t.s.Attempts) < MaxAttempts
}

// backOff doubles with each attempt of the target and is spread by ±20 %, the same
// for the same attempt, so that the decision stays pure.
func (t *turn) backOff(a *Attempt, policy *Policy) time.Duration {
	wait, bound := time.Duration(policy.BackOff), time.Duration(policy.BackOffMax)
	for i := range t.s.Attempts {
		if b := &t.s.Attempts[i]; b.Attempt < a.Attempt && b.Step == a.Step && b.Target == a.Target && wait < bound {
			wait *= 2
		}
	}
	if bound > 0 && wait > bound {
		wait = bound
	}
	seed := sha1.Sum(strconv.AppendInt(slices.Clone(t.s.Requested.RequestHMAC), int64(a.Attempt), 10)) //nolint:gosec // jitter, not secrecy
	share := float64(binary.BigEndian.Uint32(seed[:4]))/(1<<32)*0.4 - 0.2
	return wait + time.Duration(float64(wait)*share)
}
