package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"recapito/commands/channel"
	"recapito/commands/channel/netguard"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Send implements channel.Channel.
func (r *Route) Send(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	one := func(u notification.UnitOutcome) channel.Outcome {
		return channel.Outcome{Units: []notification.UnitOutcome{u}}
	}
	notSent := func() channel.Outcome {
		return one(notification.UnitOutcome{Fate: notification.UnitNotSent, At: r.now()})
	}
	if ctx.Err() != nil || !r.begin() {
		return notSent()
	}
	ctxCall, cancel := context.WithTimeout(r.base, r.s.ConnectTimeout+r.s.Timeout)
	c := &call{fence: fence}
	req, err := r.requests.request(c.trace(ctxCall), m, r.now())
	if err != nil {
		cancel()
		r.calls.Done()
		code := CodeURL
		var why *refused
		if errors.As(err, &why) {
			code = why.code
		}
		r.o.Log.Warn("rest: no request can be made of a message", "route", r.o.Name, "attempt", m.Reference, "code", code, "error", err)
		return one(r.refusal(code))
	}
	done := make(chan notification.UnitOutcome, 1)
	go func() {
		defer r.calls.Done()
		defer cancel()
		done <- r.exchange(req, c, m)
	}()
	select {
	case u := <-done:
		return one(u)
	case <-ctx.Done():
	}
	if !c.end() {
		cancel()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && !c.connects() {
			r.down(errNoConnection) // Run finds out whether it can connect
		}
		return notSent()
	}
	select {
	case u := <-done:
		return one(u)
	default:
	}
	if !r.wait(done, late) {
		cancel()
	}
	return one(notification.UnitOutcome{Fate: notification.UnitLost, At: r.now()})
}

func (r *Route) refusal(code string) notification.UnitOutcome {
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: code, At: r.now()}
}

// wait has late called with the response, if there is one, and reports whether it may: the
// responses that are waited for are bounded in number, and each by the call's time-out.
func (r *Route) wait(done <-chan notification.UnitOutcome, late func(channel.Outcome)) bool {
	if late == nil {
		return false
	}
	select {
	case r.lates <- struct{}{}:
	default:
		return false
	}
	if !r.begin() {
		<-r.lates
		return false
	}
	go func() {
		defer r.calls.Done()
		defer func() { <-r.lates }()
		if u := <-done; u.Fate == notification.UnitAccepted || u.Fate == notification.UnitRefused {
			late(channel.Outcome{Units: []notification.UnitOutcome{u}})
		}
	}()
	return true
}

// exchange makes the call and returns what became of the message.
func (r *Route) exchange(req *http.Request, c *call, m channel.Message) notification.UnitOutcome {
	if c.ready() {
		res, err := r.transport.RoundTrip(req)
		if err == nil {
			return r.responded(res, m)
		}
		if !c.end() {
			return r.notWritten(req.Context(), err)
		}
	}
	if !c.end() {
		return notification.UnitOutcome{Fate: notification.UnitNotSent, At: r.now()}
	}
	r.counts.lost.Add(1)
	return notification.UnitOutcome{Fate: notification.UnitLost, At: r.now()}
}

// ready asks the fence before a connection is made for nothing.
func (c *call) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && !c.fence() {
		c.ended = true
	}
	return !c.ended
}

// notWritten is a request of which not one byte was handed to a connection.
func (r *Route) notWritten(ctx context.Context, err error) notification.UnitOutcome {
	var failed *dialError
	if errors.As(err, &failed) && ctx.Err() == nil {
		r.down(failed)
		if errors.Is(err, netguard.ErrPrivate) {
			return r.refusal(CodePrivateAddress)
		}
	}
	return notification.UnitOutcome{Fate: notification.UnitNotSent, At: r.now()}
}

// responded reads the response and returns what it means for the message.
func (r *Route) responded(res *http.Response, m channel.Message) notification.UnitOutcome {
	body, err := io.ReadAll(io.LimitReader(res.Body, r.s.MaxResponseBytes+1))
	res.Body.Close()
	complete := err == nil && int64(len(body)) <= r.s.MaxResponseBytes
	read := r.responses.read(res, body, complete)
	at := r.now()
	switch read.class {
	case classAccepted:
		r.counts.accepted.Add(1)
		r.capacity.accepted()
		if read.id == "" {
			read.id = m.Reference
		}
		r.atOnce(m, read, at)
		return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: read.id, At: at}
	case classUnknown:
		r.counts.lost.Add(1)
		return notification.UnitOutcome{Fate: notification.UnitLost, At: at}
	}
	r.counts.refused.Add(1)
	busy := read.class == classBusy
	if busy || read.retryAfter > 0 {
		r.capacity.busy(read.retryAfter)
	}
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: read.code, Transient: busy || read.class == classTransient, Busy: busy, At: at}
}

// atOnce hands on a status that came with the response. It is not tried again: the
// service's callback, or the route's limit, is what remains.
func (r *Route) atOnce(m channel.Message, read reading, at time.Time) {
	if read.status == "" || read.status == receipt.Intermediate {
		return
	}
	ctx, cancel := context.WithTimeout(r.base, receiptTimeout)
	defer cancel()
	err := r.o.Receipts.Receive(ctx, channel.ProviderReceipt{
		Route: r.o.Name, ProviderID: read.id, Reference: m.Reference, Unit: 1, Destination: m.Destination, Sender: m.Sender,
		Status: read.status, Code: read.statusCode, OccurredAt: at, ReceivedAt: at,
	})
	if err != nil {
		r.counts.unstored.Add(1)
		r.o.Log.Warn("rest: a status that came with a response was not stored", "route", r.o.Name, "attempt", m.Reference, "error", err)
	}
}

const receiptTimeout = 5 * time.Second

var errNoConnection = errors.New("no connection in time")
