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
	case c.At.Before(a.DueAt):
		return ErrNotDue
	case t.s.ExpiryPassed(c.At):
		return ErrExpired
	}
	t.emit(NotificationDispatched{Facts: t.facts(a), Claim: c.Claim, Token: c.Token, TokenKey: c.TokenKey})
	return nil
}

// recordOutcome says what became of the units: all accepted is Sent; any unknown (or
// nothing told of any) is OutcomeUnknown; none accepted is Undelivered; some of each is a permanent
// Undelivered that carries the accepted ids.
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
	o := summarise(c.Units)
	switch {
	case o.unknown > 0 || len(c.Units) == 0:
		t.unknown(c.Attempt, whyNoAnswer, o.accepted)
	case len(o.accepted) == len(c.Units):
		t.sent(c.Attempt, o.accepted)
	default:
		t.refused(c.Attempt, o)
	}
	return nil
}

type outcome struct {
	accepted    []Accepted
	unknown     int
	refused     *UnitOutcome // the first one refused
	onlyNotSent bool
	noTry       bool // no unit was judged: not sent, or refused as too much at once
	permanent   bool
}

func summarise(units []UnitOutcome) outcome {
	o := outcome{onlyNotSent: true, noTry: true}
	for i, p := range units {
		if p.Fate != NotSent {
			o.onlyNotSent = false
			o.noTry = o.noTry && p.Fate == UnitRefused && p.Busy
		}
		switch p.Fate {
		case UnitAccepted:
			o.accepted = append(o.accepted, Accepted{Unit: i + 1, ProviderID: p.ProviderID, At: p.At})
		case UnitLost:
			o.unknown++
		case UnitRefused:
			if o.refused == nil {
				o.refused = &units[i]
			}
			o.permanent = o.permanent || !p.Transient
		case NotSent:
		}
	}
	return o
}

func (t *turn) unknown(number int, reason string, accepted []Accepted) {
	a, _ := t.s.Attempt(number)
	was := a.Status
	if was != Dispatched && len(accepted) <= len(a.Accepted) {
		return // too late to raise, and no ids that were not known yet
	}
	t.emit(NotificationOutcomeUnknown{
		Facts: t.facts(a), Token: a.Token, TokenKey: a.TokenKey, Reason: reason, Accepted: accepted,
	})
	if was != Dispatched || t.heldUndelivered(number) {
		return
	}
	a, _ = t.s.Attempt(number)
	if t.s.Target(a).Policy.Unknown == UnknownResend && t.mayFollow(a) && t.mayResend(a) {
		t.follow(number, Resend, t.at, a.Try, whyResend)
	}
}

func (t *turn) sent(number int, accepted []Accepted) {
	a, _ := t.s.Attempt(number)
	before := t.s.Reached
	e := NotificationSent{Facts: t.facts(a), Claim: a.Claim, Token: a.Token, TokenKey: a.TokenKey, Accepted: accepted}
	for _, unit := range accepted {
		if unit.At.After(e.SentAt) {
			e.SentAt = unit.At
		}
	}
	t.emit(e)
	t.raised(before)
	t.withdrawSuccessor(number)
	t.heldUndelivered(number)
}

// withdrawSuccessor follows what shows that an attempt was sent after all: what was to
// follow it, and is not sent yet, must not be.
func (t *turn) withdrawSuccessor(number int) {
	a, _ := t.s.Attempt(number)
	if next, ok := t.s.Attempt(a.Successor); ok && next.Status == Scheduled && a.Status != Undelivered {
		t.emit(NotificationAttemptWithdrawn{Facts: t.facts(next), Why: whyFirstSent})
	}
}

// refused: nothing was accepted, or not everything. What cannot raise the status is
// appended only if it carries ids.
func (t *turn) refused(number int, o outcome) {
	a, _ := t.s.Attempt(number)
	if a.Status.Rank() >= Undelivered.Rank() && len(o.accepted) == 0 {
		return
	}
	e := NotificationUndelivered{
		Facts: t.facts(a), Why: whyRefused, Claim: a.Claim, Token: a.Token, TokenKey: a.TokenKey, Accepted: o.accepted,
	}
	switch {
	case o.refused != nil:
		e.Code, e.Transient = o.refused.Code, !o.permanent && len(o.accepted) == 0
	default:
		e.Code, e.Transient = CodeNotSent, len(o.accepted) == 0
	}
	if o.onlyNotSent {
		e.Why = whyNotSent
	}
	if len(o.accepted) > 0 {
		e.Why = whyPartial
	}
	raises := a.Status.Rank() < Undelivered.Rank()
	t.emit(e)
	if !raises {
		return
	}
	if e.Transient {
		t.retry(number, o.noTry, e.Code)
	}
	t.settle()
}

func (t *turn) retry(number int, noTry bool, why string) {
	a, _ := t.s.Attempt(number)
	policy := &t.s.Target(a).Policy
	try := a.Try + 1
	if noTry { // the message itself was not judged
		try = a.Try
	}
	due := t.at.Add(t.backOff(a, policy))
	if try > policy.Tries || !t.mayFollow(a) {
		return
	}
	t.follow(number, Retry, due, try, why)
}

// mayFollow says whether an attempt may get a successor at all.
func (t *turn) mayFollow(a *Attempt) bool {
	return a.Successor == 0 && a.Step == t.s.Step && !t.s.Over() && !t.s.ExpiryPassed(t.at) && len(t.s.Attempts) < MaxAttempts
}

// mayResend says whether resends are left for the attempt's target.
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
