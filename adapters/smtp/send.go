package smtp

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"recapito/commands/channel"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// Send implements channel.Channel.
func (r *Route) Send(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	if !r.begin() {
		return r.outcome(notification.UnitOutcome{})
	}
	defer r.working.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)() // nothing outlives the route's drain
	e, err := r.compose(m)
	if err != nil {
		o := notification.UnitOutcome{Fate: notification.UnitRefused, Code: CodeInvalidContent}
		var broken *event.Rule
		if errors.As(err, &broken) {
			o.Code = broken.Code
		}
		return r.outcome(o)
	}
	var o notification.UnitOutcome // not sent, unless a host refuses it
	up := slices.DeleteFunc(slices.Clone(r.hosts), func(h *host) bool { return h.state() != nil })
	for i, h := range up {
		t := transaction{route: r, host: h, envelope: e, fence: fence, late: late, more: i < len(up)-1}
		if o = worse(o, t.run(ctx)); !t.next || ctx.Err() != nil {
			break
		}
	}
	return r.outcome(o)
}

// worse returns what is known after another host: that nothing could be sent there does
// not undo what the host before it answered.
func worse(before, now notification.UnitOutcome) notification.UnitOutcome {
	if now.Fate == notification.UnitNotSent {
		return before
	}
	return now
}

func (r *Route) outcome(o notification.UnitOutcome) channel.Outcome {
	o.At = r.now()
	return channel.Outcome{Units: []notification.UnitOutcome{o}}
}

// transaction is one message over one host.
type transaction struct {
	route    *Route
	host     *host
	session  *session
	envelope envelope
	fence    func() bool
	late     func(channel.Outcome)
	more     bool // another host is up
	began    time.Time
	// next is whether another host may be tried: nothing of the content was sent here, and
	// what went wrong concerns this host.
	next bool
}

// budget ends when the host must be ready for the content: with ctx, or in half of its time
// where another host is left, so that one that hangs does not use it all up.
func (t *transaction) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ends := ctx.Deadline()
	if !t.more || !ends {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// leastHang is how long a message must have waited for a host that it ran out of time on, for
// that to be the host's fault and not that the message came with little time.
const leastHang = 500 * time.Millisecond

func (t *transaction) run(ctx context.Context) notification.UnitOutcome {
	t.began = time.Now()
	ready, cancel := t.budget(ctx)
	defer cancel()
	s, err := t.host.get(ready)
	if err != nil {
		return t.hostFailed(ctx, err)
	}
	t.session = s
	stopped := s.until(ready)
	content, o, usable := t.begin(ctx)
	if content == nil {
		if stopped() && usable { // else the end of ctx may close it under another message
			t.host.put(s)
		} else {
			s.close()
		}
		return o
	}
	if !stopped() { // the connection is closed already
		s.close()
		return t.hostFailed(ctx, context.DeadlineExceeded)
	}
	stopped = s.until(ctx)
	if _, err := content.Write(t.envelope.data); err != nil {
		stopped()
		return t.cut(ctx, err)
	}
	// From here on the connection outlives ctx: it may bring the answer.
	if !stopped() || ctx.Err() != nil || !t.fence() {
		s.close() // without the final dot nothing is accepted
		return notification.UnitOutcome{}
	}
	return t.finish(ctx, content)
}

// begin gets the host ready for the content. Without a writer the outcome holds, and
// usable is whether the session can take another message.
func (t *transaction) begin(ctx context.Context) (content *smtp.DataCommand, o notification.UnitOutcome, usable bool) {
	c, e := t.session.client, t.envelope
	if offered, _ := c.Extension("SMTPUTF8"); e.utf8 && !offered {
		t.next = true
		return nil, notification.UnitOutcome{Fate: notification.UnitRefused, Code: CodeNoSMTPUTF8}, true
	}
	if ctx.Err() != nil || !t.fence() {
		return nil, notification.UnitOutcome{}, true
	}
	mail := &smtp.MailOptions{Size: int64(len(e.data)), UTF8: e.utf8}
	var rcpt *smtp.RcptOptions
	if e.token != "" {
		mail.Return, mail.EnvelopeID = smtp.DSNReturnHeaders, e.token
		rcpt = &smtp.RcptOptions{
			Notify:                []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed},
			OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: e.to,
		}
		if !ascii(e.to) {
			rcpt.OriginalRecipientType = smtp.DSNAddressTypeUTF8
		}
	}
	err := c.Mail(e.from, mail)
	if err == nil {
		err = c.Rcpt(e.to, rcpt)
	}
	if err == nil {
		content, err = c.Data()
	}
	if err != nil {
		o, usable = t.refused(ctx, err)
		return nil, o, usable
	}
	return content, notification.UnitOutcome{}, true
}

// refused judges what went wrong before the content.
func (t *transaction) refused(ctx context.Context, err error) (o notification.UnitOutcome, usable bool) {
	var refused *smtp.SMTPError
	if !errors.As(err, &refused) || refused.Code/100 < 4 || ofHost(refused) {
		return t.hostFailed(ctx, err), false
	}
	t.host.set(nil)
	return judge(refused), true
}

// atFault returns whether what went wrong is the host's fault: not where the route stops, nor
// where the message had too little time.
func (t *transaction) atFault(ctx context.Context, err error) bool {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return false
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return time.Since(t.began) >= leastHang
	}
	return true
}

// hostFailed takes a host at fault out of use.
func (t *transaction) hostFailed(ctx context.Context, err error) notification.UnitOutcome {
	if t.atFault(ctx, err) {
		t.host.failed(err)
	}
	if ctx.Err() != nil {
		return notification.UnitOutcome{}
	}
	t.next = true
	var refused *smtp.SMTPError
	if errors.As(err, &refused) && ofHost(refused) {
		return judge(refused)
	}
	return notification.UnitOutcome{} // no host judged the message
}

// cut judges a connection that was lost within the content. It counts as a try: a host
// that fails on a message would be given it for ever.
func (t *transaction) cut(ctx context.Context, err error) notification.UnitOutcome {
	t.session.close()
	if t.atFault(ctx, err) {
		t.host.failed(err)
	}
	if ctx.Err() != nil {
		return notification.UnitOutcome{}
	}
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: CodeConnectionLost, Transient: true}
}

// finish sends the final dot and waits for the answer, after ctx in another goroutine.
func (t *transaction) finish(ctx context.Context, content *smtp.DataCommand) notification.UnitOutcome {
	answer := make(chan error, 1)
	t.route.working.Go(func() {
		_, err := content.CloseWithResponse()
		answer <- err
	})
	select {
	case err := <-answer:
		return t.settle(err)
	case <-ctx.Done():
	}
	lost := notification.UnitOutcome{Fate: notification.UnitLost}
	if t.late == nil {
		t.session.close()
		return lost
	}
	select {
	case t.route.late <- struct{}{}:
	default: // too many wait already
		t.session.close()
		return lost
	}
	t.route.working.Go(func() {
		defer func() { <-t.route.late }()
		if o := t.settle(<-answer); o.Fate != notification.UnitLost {
			t.late(t.route.outcome(o))
		}
	})
	return lost
}

// settle judges the answer to the final dot, and keeps or closes the session.
func (t *transaction) settle(err error) notification.UnitOutcome {
	t.session.messages++
	var answered *smtp.SMTPError
	isAnswer := errors.As(err, &answered)
	switch {
	case err == nil, isAnswer && answered.Code/100 == 2:
		t.host.set(nil)
		t.host.put(t.session)
		return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: t.envelope.id}
	case isAnswer && answered.Code/100 >= 4:
		if ofHost(answered) {
			t.session.close()
			t.host.failed(err)
		} else {
			t.host.set(nil)
			t.host.put(t.session)
		}
		return judge(answered)
	}
	t.session.close()
	return notification.UnitOutcome{Fate: notification.UnitLost}
}
