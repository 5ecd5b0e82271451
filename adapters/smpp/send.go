package smpp

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"

	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// Acquire implements channel.Channel. A route without a bind returns at once.
func (r *Route) Acquire(ctx context.Context, parts int) (func(), error) {
	release, err := r.capacity.acquire(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", r.o.Name, err)
	}
	return release, nil
}

// Units implements channel.Channel: the segments of the text.
func (r *Route) Units(d content.Document) (int, error) {
	s, err := split(d.Member("text"))
	return len(s.parts), err
}

// Send implements channel.Channel. An answer is waited for until ctx ends, or for
// ResponseTimeout if that is sooner.
func (r *Route) Send(ctx context.Context, m channel.Message, fence func() bool, late func(channel.Outcome)) channel.Outcome {
	pdus, err := r.encode(m)
	if err != nil {
		return r.refused(err)
	}
	f := newFlight(r, len(pdus), late)
	b := r.pick()
	if b == nil {
		for i := range f.parts {
			f.parts[i].At = r.now()
		}
		return f.leave()
	}
	sent := 0
	for i, p := range pdus {
		if _, ok := f.state(sent); !ok || !r.put(ctx, b, f, i, p, fence) {
			break
		}
		sent++
		if i == 0 && len(pdus) > 1 {
			r.await(ctx, f)
			if open, _ := f.state(sent); open > 0 {
				break // nothing follows a part that nobody knows of
			}
		}
	}
	for i := sent; i < len(pdus); i++ {
		f.notSent(i)
	}
	r.await(ctx, f)
	return f.leave()
}

// put writes one part; false if nothing of it went out.
func (r *Route) put(ctx context.Context, b *bind, f *flight, i int, p pdu.Body, fence func() bool) bool {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	case <-b.session.Done():
		return false
	}
	f.begin(i, b)
	seq, ok := b.session.SubmitNow(ctx, p, fence, func(a wire.Frame, err error) { f.answered(i, a, err) })
	if !ok {
		f.notSent(i)
		return false
	}
	f.began(i, seq)
	return true
}

// await waits until every part on the wire is answered, or the time for it is over.
func (r *Route) await(ctx context.Context, f *flight) {
	timeout := time.NewTimer(r.o.ResponseTimeout)
	defer timeout.Stop()
	for {
		if open, _ := f.state(0); open == 0 {
			return
		}
		select {
		case <-f.changed:
		case <-timeout.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// refused is the outcome of a message that never could go out.
func (r *Route) refused(err error) channel.Outcome {
	code := "invalid_message"
	var rule *event.Rule
	if errors.As(err, &rule) {
		code = rule.Code
	}
	return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitRefused, Code: code, At: r.now()}}}
}

// encode makes a submit_sm of each part that is asked for.
func (r *Route) encode(m channel.Message) ([]pdu.Body, error) {
	from, err := sender(m.Sender)
	if err != nil {
		return nil, err
	}
	to, err := destination(m.Destination)
	if err != nil {
		return nil, err
	}
	s, err := split(m.Content.Member("text"))
	if err != nil {
		return nil, err
	}
	reference := byte(crc32.ChecksumIEEE([]byte(m.Reference))) // the same whenever a unit is tried
	var out []pdu.Body
	for i, octets := range s.parts {
		if len(m.Units) > 0 && !slices.Contains(m.Units, i+1) {
			continue
		}
		p := pdu.NewSubmitSM(nil)
		set := func(name pdufield.Name, v any) { err = errors.Join(err, p.Fields().Set(name, v)) }
		set(pdufield.SourceAddrTON, from.ton)
		set(pdufield.SourceAddrNPI, from.npi)
		set(pdufield.SourceAddr, from.value)
		set(pdufield.DestAddrTON, to.ton)
		set(pdufield.DestAddrNPI, to.npi)
		set(pdufield.DestinationAddr, to.value)
		set(pdufield.RegisteredDelivery, pdufield.FinalDeliveryReceipt)
		set(pdufield.DataCoding, s.coding)
		if !m.ValidUntil.IsZero() {
			set(pdufield.ValidityPeriod, m.ValidUntil.UTC().Format("060102150405")+"000+")
		}
		if len(s.parts) > 1 {
			set(pdufield.ESMClass, wire.ESMUDHI)
			octets = append(header(reference, len(s.parts), i+1), octets...)
		}
		set(pdufield.ShortMessage, octets)
		if r.o.SendReference && m.Reference != "" && len(m.Reference) <= maxReference {
			err = errors.Join(err, p.TLVFields().Set(wire.TagReference, m.Reference), p.TLVFields().Set(wire.TagPart, uint8(i+1)))
		}
		if err != nil {
			return nil, fmt.Errorf("set the fields of a submit_sm: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}
