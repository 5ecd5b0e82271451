package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"

	"recapito/adapters/smpp/wire"
)

// receiptDate is a receipt's time in its text.
const receiptDate = "060102150405"

// undeliveredError is the network's error of an undelivered message: absent subscriber.
const undeliveredError = 27

// receipt is one that an ESME has not acknowledged. What may change is guarded by the
// simulator's lock.
type receipt struct {
	number    uint64
	id        string // in the form of receipts
	addresses addresses
	delivered bool
	reference string
	part      int
	submitted time.Time
	done      time.Time // when it first was due

	copies       int // how often it is still to be sent
	tries        int
	acknowledged bool
}

func (s *Simulator) newReceipt(r record, to addresses) *receipt {
	c := &receipt{
		number: r.Number, id: s.o.ReceiptIDs.write(r.Number), addresses: to, delivered: r.Delivered,
		reference: r.Reference, part: r.Part, submitted: r.At, done: r.At.Add(r.Delay), copies: 1,
	}
	if r.Twice {
		c.copies = 2
	}
	return c
}

// receiptOf makes a pending receipt out of the journal.
func (s *Simulator) receiptOf(r record) (*receipt, error) {
	plain, err := s.secrets.open(r.ID, r.Addresses)
	if err != nil {
		return nil, errors.New("a pending receipt does not open: the key is not this journal's")
	}
	var to addresses
	if err := json.Unmarshal(plain, &to); err != nil {
		return nil, fmt.Errorf("%w: addresses: %w", ErrCorrupt, err)
	}
	return s.newReceipt(r, to), nil
}

// due puts a receipt up to be sent.
func (s *Simulator) due(c *receipt) {
	s.mu.Lock()
	for range c.copies {
		s.ready = append(s.ready, c)
	}
	c.copies = 1
	s.mu.Unlock()
	s.pump()
}

// pump sends what is ready to peers that have room, in turn.
func (s *Simulator) pump() {
	for {
		s.mu.Lock()
		var p *peer
		if len(s.ready) > 0 {
			p = s.free()
		}
		if p == nil {
			s.mu.Unlock()
			return
		}
		c := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		p.inFlight++
		s.mu.Unlock()
		s.send(p, c)
	}
}

// free is the next peer that takes a receipt, nil if there is none. The caller holds
// the lock.
func (s *Simulator) free() *peer {
	for range s.peers {
		s.turn++
		p := s.peers[s.turn%len(s.peers)]
		if p.receives() && p.inFlight < receiptWindow && p.session.Err() == nil {
			return p
		}
	}
	return nil
}

func (s *Simulator) send(p *peer, c *receipt) {
	s.stats.sent.Add(1)
	var seq uint32
	seq, err := p.session.Request(s.deliver(c), func(f wire.Frame, err error) { s.answered(p, c, f, err) })
	if err != nil {
		s.answered(p, c, wire.Frame{}, err)
		return
	}
	s.scheduler.after(s.o.AnswerTimeout, false, func() {
		if p.session.Forget(seq) {
			s.answered(p, c, wire.Frame{}, wire.ErrNoAnswer)
		}
	})
}

// answered takes the ESME's answer to a receipt. Without a good one it is sent
// again: at once when the session was lost, else after a while.
func (s *Simulator) answered(p *peer, c *receipt, f wire.Frame, err error) {
	taken := err == nil && f.Status == wire.StatusOK && f.ID == pdu.DeliverSMRespID
	s.mu.Lock()
	p.inFlight--
	first := taken && !c.acknowledged
	if first {
		c.acknowledged = true
		s.waiting--
	}
	c.tries++
	wait := min(s.o.ReceiptRetryMin<<min(c.tries-1, 16), s.o.ReceiptRetryMax)
	again := !taken && !c.acknowledged
	s.mu.Unlock()
	if err == nil && !taken {
		s.stats.declined.Add(1)
	}
	switch {
	case first:
		s.stats.acknowledged.Add(1)
		s.journal.append(record{Kind: kindReceipt, Number: c.number, At: s.now()}, func(error) {})
	case again && err != nil && !errors.Is(err, wire.ErrNoAnswer):
		s.mu.Lock()
		s.ready = append(s.ready, c)
		s.mu.Unlock()
	case again:
		s.scheduler.after(wait, false, func() { s.due(c) })
	}
	// Elsewhere, since this may run inside a pump, or under a session's end.
	s.scheduler.at(time.Now(), false, s.pump)
}

// deliver is the deliver_sm of a receipt.
func (s *Simulator) deliver(c *receipt) pdu.Body {
	stat, state, code, delivered := "DELIVRD", wire.StateDelivered, 0, 1
	if !c.delivered {
		stat, state, code, delivered = "UNDELIV", wire.StateUndeliverable, undeliveredError, 0
	}
	p := pdu.NewDeliverSM()
	set := func(name pdufield.Name, v any) {
		if err := p.Fields().Set(name, v); err != nil {
			panic(fmt.Sprintf("smsc: %s takes no %T", name, v)) // of ours, a programming error
		}
	}
	set(pdufield.SourceAddrTON, c.addresses.ToTON)
	set(pdufield.SourceAddrNPI, c.addresses.ToNPI)
	set(pdufield.SourceAddr, c.addresses.To)
	set(pdufield.DestAddrTON, c.addresses.FromTON)
	set(pdufield.DestAddrNPI, c.addresses.FromNPI)
	set(pdufield.DestinationAddr, c.addresses.From)
	set(pdufield.ESMClass, wire.ESMReceipt)
	text := ""
	if !s.o.OmitText {
		text = fmt.Sprintf("id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:%03d text:",
			c.id, delivered, c.submitted.Format(receiptDate), c.done.Format(receiptDate), stat, code)
	}
	set(pdufield.ShortMessage, text)
	// The codec's list has the length of a user data header, and writes a stray 0x00
	// for it when it is not set.
	set(pdufield.UDHLength, &pdufield.SM{})
	tlv := func(tag pdutlv.Tag, v any) {
		if err := p.TLVFields().Set(tag, v); err != nil {
			panic(fmt.Sprintf("smsc: %s takes no %T", tag.Hex(), v))
		}
	}
	if !s.o.OmitTLVs {
		tlv(pdutlv.TagReceiptedMessageID, pdutlv.CString(c.id))
		tlv(pdutlv.TagMessageStateOption, state)
	}
	if s.o.EchoReference && c.reference != "" {
		tlv(wire.TagReference, c.reference)
		if c.part > 0 {
			tlv(wire.TagPart, uint8(c.part))
		}
	}
	return p
}
