package notification

import (
	"bytes"
	"slices"
	"time"

	"recapito/domain/dimension"
)

// Decide returns what a command changes; no events means that it holds already. All
// events of one decision belong into one append.
func Decide(s State, c Command) ([]Event, error) {
	if _, ok := c.(Request); !ok && !s.Exists {
		return nil, ErrAbsent
	}
	t := newTurn(s)
	if err := t.decide(c); err != nil {
		return nil, err
	}
	return t.events, nil
}

func (t *turn) decide(c Command) error {
	s, err := &t.s, error(nil)
	switch c := c.(type) {
	case Request:
		err = t.request(c)
	case Enrich:
		err = t.enrich(c)
	case Reject:
		t.at = c.At
		err = t.refuse(NotificationRejected{Filing: s.filing(), Code: c.Code, Detail: c.Detail, Why: c.Why, At: c.At}, s.Rejected)
	case Suppress:
		t.at = c.At
		err = t.refuse(NotificationSuppressed{Filing: s.filing(), Code: c.Code, Detail: c.Detail, Why: c.Why, At: c.At}, s.Suppressed)
	case Claim:
		err = t.claim(c)
	case RecordOutcome:
		err = t.recordOutcome(c)
	case Confirm:
		err = t.confirm(c)
	case EnforceLimit:
		err = t.enforceLimit(c)
	case Expire:
		err = t.expire(c)
	case Cancel:
		err = t.cancel(c)
	case ResendHeld:
		err = t.resendHeld(c)
	case GiveUpHeld:
		err = t.giveUpHeld(c)
	case RecordReply:
		if !slices.Contains(s.Replies, c.ReplyID) {
			t.emit(NotificationReplied{
				Filing: s.filing(), Attempt: c.Attempt, Channel: c.Channel, ReplyID: c.ReplyID, Text: c.Text, DoneAt: c.DoneAt, At: c.At,
			})
		}
	case RecordPayment:
		if !slices.Contains(s.Payments, c.PaymentID) {
			t.emit(NotificationPaid{Filing: s.filing(), PaymentID: c.PaymentID, DoneAt: c.DoneAt, At: c.At})
		}
	}
	return err
}

// turn collects the events of one decision and the state they lead to.
type turn struct {
	s      State // its own, changed by each event
	at     time.Time
	events []Event
}

// newTurn copies the state once. A decision schedules a step's targets at most, and one
// retry or resend: with room for them the attempts stay where they are, and pointers to
// them stay good for the complete decision.
func newTurn(s State) *turn {
	t := &turn{s: s}
	t.s.Attempts = append(make([]Attempt, 0, len(s.Attempts)+MaxTargetsPerStep+1), s.Attempts...)
	return t
}

func (t *turn) emit(e Event) {
	t.events = append(t.events, e)
	t.s.apply(e)
}

func (t *turn) attempt(number int) (*Attempt, error) {
	a, ok := t.s.Attempt(number)
	if !ok {
		return nil, ErrNoAttempt
	}
	return a, nil
}

func (t *turn) facts(a *Attempt) Facts {
	f := a.Facts
	f.From, f.At = a.Status, t.at
	return f
}

func (t *turn) request(c Request) error {
	t.at = c.At
	if t.s.Exists {
		if !bytes.Equal(t.s.Requested.RequestHMAC, c.RequestHMAC) {
			return ErrKeyReused
		}
		return nil
	}
	t.emit(c.Requested())
	switch c.Planned.(type) { //nolint:gochecksumtype // no other command plans
	case nil:
		return nil
	case Enrich, Reject, Suppress:
		return t.decide(c.Planned)
	default:
		return ErrBadPlan
	}
}

// enrich decides nothing of a notification that is planned, at the door too, or over.
func (t *turn) enrich(c Enrich) error {
	t.at = c.At
	if t.s.Enriched || t.s.Over() {
		return nil
	}
	if err := c.Plan.Check(); err != nil {
		return err
	}
	if t.s.ExpiryPassed(c.At) {
		t.emit(NotificationExpired{Filing: t.s.filing(), At: c.At})
		return nil
	}
	t.emit(NotificationEnriched{Scenario: c.Scenario, Version: c.Version, Plan: c.Plan, Why: c.Why, At: c.At})
	t.scheduleStep(1)
	return nil
}

// Check refuses a plan that later rules could not work with: ErrBadPlan.
func (p Plan) Check() error {
	if len(p.Steps) == 0 || len(p.Steps) > MaxSteps {
		return ErrBadPlan
	}
	for _, step := range p.Steps {
		if len(step.Targets) == 0 || len(step.Targets) > MaxTargetsPerStep || step.Wait <= 0 ||
			!slices.Contains([]Status{Sent, Delivered, Read}, step.Wanted) {
			return ErrBadPlan
		}
		for _, target := range step.Targets {
			policy := &target.Policy
			if target.Units < 1 || target.Units > MaxUnits || policy.WireLimit <= 0 || policy.Patience <= 0 || policy.Redispatch <= 0 {
				return ErrBadPlan
			}
		}
	}
	return nil
}

func (t *turn) refuse(e Event, already bool) error {
	if already || t.s.Over() {
		return nil
	}
	if t.s.Enriched {
		return ErrPlanned
	}
	t.emit(e)
	return nil
}

// scheduleStep schedules every target of a step, unless expires_at has passed:
// Expired is decided instead.
func (t *turn) scheduleStep(step int) {
	if t.s.ExpiryPassed(t.at) {
		t.emit(NotificationExpired{Filing: t.s.filing(), At: t.at})
		return
	}
	if step > 1 {
		t.emit(NotificationFailedOver{Filing: t.s.filing(), FromStep: step - 1, ToStep: step, Why: FailedOverAllFailed, At: t.at})
	}
	for i := range t.s.Plan.Steps[step-1].Targets {
		due := t.at
		if step == 1 {
			due = firstTime(t.s.Requested.SendAt, t.at)
			if due.Before(t.at) {
				due = t.at
			}
		}
		t.schedule(step, i+1, due, FirstTry, 0, 1)
	}
}

func (t *turn) schedule(step, target int, due time.Time, kind TryKind, of, try int) {
	to := &t.s.Plan.Steps[step-1].Targets[target-1]
	t.emit(NotificationScheduled{
		Facts: Facts{
			Attempt: len(t.s.Attempts) + 1, Step: step, Target: target,
			Dimensions: dimension.Dimensions{OfNotification: t.s.filing().OfNotification, OfAttempt: to.OfAttempt},
			Person:     t.s.Requested.Person.Person, Day: due.UTC().Format(time.DateOnly), Units: to.Units,
			RequestedAt: t.s.Requested.At, ScheduledAt: t.at, DueAt: due, At: t.at,
		},
		Due: due, Kind: kind, Of: of, Try: try,
	})
}

// follow schedules the retry or the resend of an attempt, and records why before it.
func (t *turn) follow(a *Attempt, kind TryKind, due time.Time, try int, why RetriedReason, code string) {
	t.emit(NotificationRetried{Facts: t.facts(a), Next: len(t.s.Attempts) + 1, Why: why, Code: code})
	t.schedule(a.Step, a.Target, due, kind, a.Attempt, try)
}

// settle fails the current step over, once all its attempts have failed.
func (t *turn) settle() {
	if t.s.Over() {
		return
	}
	for i := range t.s.Attempts {
		if a := &t.s.Attempts[i]; a.Step == t.s.Step && !t.s.failed(a, t.at) {
			return
		}
	}
	if t.s.Step < len(t.s.Plan.Steps) {
		t.scheduleStep(t.s.Step + 1)
		return
	}
	t.emit(NotificationExhausted{Filing: t.s.filing(), At: t.at})
}

// raised follows an event that may have reached the wanted status: then every
// scheduled attempt is withdrawn in the same append.
func (t *turn) raised(before bool) {
	if !before && t.s.Reached {
		t.withdrawAll(WithdrawnWantedReached)
	}
}

func (t *turn) withdrawAll(why WithdrawnReason) {
	for i := range t.s.Attempts {
		if a := &t.s.Attempts[i]; a.Status == Scheduled {
			t.emit(NotificationAttemptWithdrawn{Facts: t.facts(a), Why: why})
		}
	}
}

func (t *turn) enforceLimit(c EnforceLimit) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	if !t.s.past(a, c.At) {
		return nil
	}
	switch a.Status {
	case Scheduled:
		t.emit(NotificationAttemptWithdrawn{Facts: t.facts(a), Why: WithdrawnPatience})
		t.settle()
	case Dispatched:
		t.unknown(a, UnknownWireLimit, nil)
	case OutcomeUnknown, Sent, Delivered:
		if a.Step == t.s.Step {
			t.settle()
		}
	case None, Undelivered, Read, Withdrawn: // settled themselves
	}
	return nil
}

func (t *turn) expire(c Expire) error {
	t.at = c.At
	if t.s.Over() || !t.s.ExpiryPassed(c.At) {
		return nil
	}
	if t.s.InFlight(c.At) {
		return ErrInFlight
	}
	t.emit(NotificationExpired{Filing: t.s.filing(), At: c.At})
	t.withdrawAll(WithdrawnExpired)
	return nil
}

func (t *turn) cancel(c Cancel) error {
	t.at = c.At
	if t.s.Cancelled {
		return nil
	}
	if t.s.Over() {
		return ErrFinal
	}
	if t.s.InFlight(c.At) {
		return ErrInFlight
	}
	t.emit(NotificationCancelled{Filing: t.s.filing(), Reason: c.Reason, Sent: t.s.SentAttempts(), At: c.At})
	t.withdrawAll(WithdrawnCancelled)
	return nil
}

// SentAttempts lists the attempts that were, or may have been, on the wire.
func (s *State) SentAttempts() []int {
	var sent []int
	for i := range s.Attempts {
		a := &s.Attempts[i]
		if a.Status != Scheduled && a.Status != Withdrawn && (a.Status != Undelivered || len(a.Accepted) > 0) {
			sent = append(sent, a.Attempt)
		}
	}
	return sent
}

func (t *turn) resendHeld(c ResendHeld) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	if !t.s.Held(a, c.At) || !t.mayResend(a) {
		return ErrNotHeld
	}
	t.follow(a, Resend, c.At, a.Try, RetriedResend, "")
	return nil
}

func (t *turn) giveUpHeld(c GiveUpHeld) error {
	t.at = c.At
	a, err := t.attempt(c.Attempt)
	if err != nil {
		return err
	}
	if a.GivenUp {
		return nil
	}
	if !t.s.Held(a, c.At) {
		return ErrNotHeld
	}
	t.emit(NotificationGivenUp{Facts: t.facts(a), Reason: c.Reason})
	t.settle()
	return nil
}
