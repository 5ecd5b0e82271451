package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// provider is a model SMSC: one a route. It outlives every crash of ours.
type provider struct {
	w      *world
	route  string
	form   receipt.Form
	echo   bool // receipts name our reference
	parts  int
	window int  // messages under way for each of our processes
	never  bool // has no session, ever
	// alien: receipts come under other ids than submits are answered with.
	alien bool

	refuseTransient, refusePermanent, lose, lateAnswer int // percent
	receipts, undelivered, read, intermediate, twice   int // percent
	slow                                               int // percent: a worker stands still before a part
	busy                                               int // percent: too much at once
	noSession                                          int // percent: the session is gone before a part
	pipelined                                          bool

	downUntil time.Time
	ids       int
	took      []*submission
}

// submission is a part that went on the wire.
type submission struct {
	route       string
	message     channel.Message
	part        int
	result      notification.UnitOutcome // what the provider decided
	at          time.Time
	answered    bool   // its answer reached our worker
	lost        bool   // no answer reached the call that sent it
	receiptForm string // the provider's id as its receipts write it
}

// line is a process's session with the provider.
type line struct {
	p     *provider
	owner *process
	inUse int
}

var _ channel.Channel = (*line)(nil)

var errTooLong = errors.New("too long")

func (l *line) Units(d content.Document) (int, error) {
	if d.Member("text") == "" {
		return 0, errTooLong
	}
	return l.p.parts, nil
}

func (l *line) Acquire(ctx context.Context, _ int) (func(), error) {
	s := l.p.w.s
	s.step()
	switch {
	case ctx.Err() != nil:
		return nil, channel.ErrRouteFull
	case l.p.never || l.p.downUntil.After(s.now):
		return nil, channel.ErrRouteDown
	case l.inUse >= l.p.window:
		return nil, channel.ErrRouteFull
	}
	l.inUse++
	released := false
	return func() {
		if released {
			s.fail("capacity was released twice")
		}
		released = true
		l.inUse--
	}, nil
}

func (l *line) Send(_ context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	p, s := l.p, l.p.w.s
	units := m.Units
	if len(units) == 0 {
		for i := range p.parts {
			units = append(units, i+1)
		}
	}
	out := channel.Outcome{Units: make([]notification.UnitOutcome, len(units))}
	sent := make([]*submission, len(units))
	answer := func(i int) bool { // false: nothing more of this message goes out
		sub := sent[i]
		if s.percent(p.lose) {
			sub.lost = true
			if s.percent(50) {
				s.sleep(s.between(0, 20*time.Second))
			}
			out.Units[i] = notification.UnitOutcome{Fate: notification.UnitLost, At: s.now}
			s.log("answer to part %d of attempt %d is lost", sub.part, m.Attempt)
			return false
		}
		s.sleep(s.between(0, 300*time.Millisecond))
		out.Units[i] = sub.result
		out.Units[i].At = s.now
		sub.answered = true
		return sub.result.Fate == notification.UnitAccepted
	}
	notSent := func(from int) {
		for j := from; j < len(out.Units); j++ {
			out.Units[j] = notification.UnitOutcome{Fate: notification.UnitNotSent, At: s.now}
		}
	}
	for i, unit := range units {
		s.step()
		if s.percent(p.slow) {
			s.sleep(s.between(0, 2*time.Minute))
		}
		if s.percent(p.noSession) || p.downUntil.After(s.now) {
			s.log("no session for part %d of attempt %d", unit, m.Attempt)
			notSent(i)
			break
		}
		if !fence() && !p.w.bugs.openFence {
			s.log("fence shut before part %d of attempt %d", unit, m.Attempt)
			notSent(i)
			break
		}
		sent[i] = p.submit(m, unit) // no step between the fence and the write
		if !p.pipelined && !answer(i) {
			notSent(i + 1)
			break
		}
	}
	if p.pipelined {
		for i := range sent {
			if sent[i] != nil {
				answer(i)
			}
		}
	}
	if p.w.bugs.lostAsNotSent {
		for i := range out.Units {
			if out.Units[i].Fate == notification.UnitLost {
				out.Units[i].Fate = notification.UnitNotSent
			}
		}
	}
	l.answerLate(m, out, sent, late)
	return out
}

// answerLate completes an outcome later, now and then, if answers were lost.
func (l *line) answerLate(m channel.Message, out channel.Outcome, sent []*submission, late func(channel.Outcome)) {
	p, s := l.p, l.p.w.s
	missing := false
	complete := channel.Outcome{Units: append([]notification.UnitOutcome(nil), out.Units...)}
	for i := range out.Units {
		if out.Units[i].Fate == notification.UnitLost {
			missing = true
			complete.Units[i] = sent[i].result
		}
	}
	if !missing || !s.percent(p.lateAnswer) {
		return
	}
	wait := s.between(0, 90*time.Second)
	s.spawn(l.owner, l.owner.name+"/late", func() {
		s.sleep(wait)
		for i := range complete.Units {
			complete.Units[i].At = s.now
			if sent[i] != nil {
				sent[i].answered = true
			}
		}
		s.log("late answer to attempt %d", m.Attempt)
		late(complete)
	})
}

// submit takes one part off the wire.
func (p *provider) submit(m channel.Message, part int) *submission {
	s := p.w.s
	sub := &submission{route: p.route, message: m, part: part, at: s.now}
	p.took = append(p.took, sub)
	p.w.check.wire(sub)
	switch {
	case s.percent(p.busy):
		sub.result = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x00000058", Transient: true, Busy: true}
	case s.percent(p.refuseTransient):
		sub.result = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x00000045", Transient: true}
	case s.percent(p.refusePermanent):
		sub.result = notification.UnitOutcome{Fate: notification.UnitRefused, Code: "0x0000000b"}
	default:
		p.ids++
		n := uint64(p.ids)*7919 + 0xa0
		sub.result = notification.UnitOutcome{Fate: notification.UnitAccepted}
		sub.result.ProviderID, sub.receiptForm = p.written(n)
		p.report(sub)
	}
	s.log("attempt %d part %d on the WIRE: %v %s", m.Attempt, part, sub.result.Fate == notification.UnitAccepted, sub.result.ProviderID)
	return sub
}

// written answers an id as it stands in the answer and in receipts.
func (p *provider) written(n uint64) (answer, report string) {
	hex, dec := strconv.FormatUint(n, 16), strconv.FormatUint(n, 10)
	switch p.form {
	case receipt.Hex:
		answer, report = hex, fmt.Sprintf("%08X", n)
	case receipt.Decimal:
		answer, report = dec, fmt.Sprintf("%012d", n)
	case receipt.Either:
		if answer, report = hex, dec; p.pipelined {
			answer, report = dec, dec
		}
	case receipt.Text:
		answer = "m-" + dec
		report = answer
	}
	if p.alien {
		report = "9" + strconv.FormatUint(n*31, 10)
	}
	return answer, report
}

// report plans the receipts of an accepted part.
func (p *provider) report(sub *submission) {
	s := p.w.s
	if !s.percent(p.receipts) {
		return
	}
	wait := s.between(0, 100*time.Millisecond) // may overtake the answer
	if s.percent(60) {
		wait = s.between(0, 4*time.Minute)
	}
	if s.percent(p.intermediate) {
		p.deliver(sub, receipt.Intermediate, "ENROUTE", wait/2)
	}
	final := receipt.Delivered
	if s.percent(p.undelivered) {
		final = receipt.Undelivered
	}
	p.deliver(sub, final, "000", wait)
	if final == receipt.Delivered && s.percent(p.read) {
		p.deliver(sub, receipt.Read, "", s.between(0, 5*time.Minute))
	}
	if s.percent(p.twice) { // a second report, perhaps another one
		if s.percent(40) {
			final = map[receipt.Status]receipt.Status{receipt.Delivered: receipt.Undelivered, receipt.Undelivered: receipt.Delivered}[final]
		}
		p.deliver(sub, final, "001", s.between(0, 5*time.Minute))
	}
}

// deliver hands one receipt to our side until that acknowledges it; sometimes once more.
func (p *provider) deliver(sub *submission, says receipt.Status, code string, wait time.Duration) {
	w, s := p.w, p.w.s
	s.spawn(nil, "smsc/"+p.route, func() {
		s.sleep(wait)
		r := channel.ProviderReceipt{
			Route: p.route, ProviderID: sub.receiptForm, Destination: sub.message.Destination[1:], Sender: sub.message.Sender,
			Status: says, Code: code, OccurredAt: s.now.Truncate(time.Second),
		}
		if p.echo {
			r.Reference, r.Unit = sub.message.Reference, sub.part
		}
		for again := true; again; {
			s.wait(func() bool { return w.intake.up })
			r.ReceivedAt = s.now
			var err error
			served := s.spawn(w.intake, w.intake.name+"/receive", func() { err = w.intake.receiver.Receive(context.Background(), r) })
			s.wait(func() bool { return served.done })
			if (served.dead || err != nil) && !w.bugs.earlyAck {
				s.log("receipt of attempt %d not acknowledged: %v", sub.message.Attempt, err)
				s.sleep(s.between(time.Second, 10*time.Second))
				continue
			}
			s.log("receipt of attempt %d acknowledged", sub.message.Attempt)
			w.check.acknowledged(sub, r)
			again = s.chance(6) // the acknowledgement is lost
		}
	})
}
