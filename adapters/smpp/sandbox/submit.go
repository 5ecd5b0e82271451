package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"

	"recapito/adapters/smpp/wire"
)

const (
	// firstLead is how long a receipt that comes before the answer is ahead of it.
	firstLead = 20 * time.Millisecond
	// maxReference is the longest reference kept, in bytes.
	maxReference = 255
)

// addresses are the two ends of a message, sealed in the journal for its receipt.
type addresses struct {
	From    string `json:"f"`
	FromTON byte   `json:"ft"`
	FromNPI byte   `json:"fn"`
	To      string `json:"t"`
	ToTON   byte   `json:"tt"`
	ToNPI   byte   `json:"tn"`
}

// submit takes one message: it is judged, written down, and only then answered. It
// waits when the journal's queue is full, and with it the peer.
func (s *Simulator) submit(p *peer, f wire.Frame) {
	fields, err := f.Decode()
	s.mu.Lock()
	may := p.sends()
	s.mu.Unlock()
	if err != nil {
		p.session.Respond(f, wire.StatusInvalidLength, nil)
		return
	}
	if !may {
		p.session.Respond(f, wire.StatusNotBound, nil)
		return
	}
	s.stats.messages.Add(1)
	r, first, latency := s.judge(fields)
	c, err := s.fill(&r, fields)
	if err != nil {
		s.o.Logger.Error("message not taken", "error", err)
		p.session.Respond(f, wire.StatusSystemError, nil)
		return
	}
	s.journal.append(r, func(err error) {
		if err != nil {
			p.session.Respond(f, wire.StatusSystemError, nil)
			return
		}
		s.count(r)
		answer := func() {
			var body []byte
			if r.Verdict == Accepted {
				body = append([]byte(r.ID), 0)
			}
			p.session.Respond(f, pdu.Status(r.Status), body)
		}
		if r.Receipt == ReceiptPending && first {
			s.due(c)
		}
		if !r.Silent {
			s.scheduler.after(latency, true, answer)
		}
		if r.Receipt == ReceiptPending && !first {
			s.scheduler.after(r.Delay, false, func() { s.due(c) })
		}
	})
}

// judge draws what becomes of a message: seeded by its ordinal, so that a run
// repeats. It also tells whether its receipt comes first, and when it is answered.
func (s *Simulator) judge(f wire.Fields) (r record, first bool, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	b := s.behaviour
	r = record{Kind: kindMessage, Number: s.last, At: s.now()}
	dice := rand.New(rand.NewPCG(s.o.Seed, s.last-s.base))
	// All are thrown each time: changing one probability leaves the other verdicts be.
	refusal, undelivered, silent, lost, twice, early, spread :=
		dice.Float64(), dice.Float64(), dice.Float64(), dice.Float64(), dice.Float64(), dice.Float64(), dice.Float64()
	latency = b.Latency
	wants := f.Byte(pdufield.RegisteredDelivery) & 0x03
	switch {
	case !s.limiter.Allow():
		r.Verdict, r.Status = Throttled, uint32(wire.StatusThrottled)
		return r, false, latency
	case refusal < b.Mix.RefusePermanently:
		r.Verdict, r.Status = Refused, uint32(wire.StatusInvalidDestination)
		return r, false, latency
	case refusal < b.Mix.RefusePermanently+b.Mix.RefuseTransiently:
		r.Verdict, r.Status = Refused, uint32(wire.StatusSystemError)
		return r, false, latency
	case refusal < b.Mix.RefusePermanently+b.Mix.RefuseTransiently+b.Mix.Throttle:
		r.Verdict, r.Status = Throttled, uint32(wire.StatusThrottled)
		return r, false, latency
	case s.waiting >= MaxPending:
		r.Verdict, r.Status = Refused, uint32(wire.StatusQueueFull)
		return r, false, latency
	}
	r.Verdict = Accepted
	r.ID = s.o.AnswerIDs.write(s.last)
	r.Silent = silent < b.Mix.LoseAnswer
	r.Delivered = undelivered >= b.Mix.Undelivered
	if wants == 0 || wants == 2 && r.Delivered {
		return r, false, latency
	}
	r.Receipt = ReceiptPending
	if lost < b.Mix.LoseReceipt {
		r.Receipt = ReceiptLost
		return r, false, latency
	}
	s.waiting++
	r.Twice = twice < b.Mix.DuplicateReceipt
	first = early < b.Mix.ReceiptFirst
	if first {
		latency = max(latency, firstLead)
	} else {
		r.Delay = latency + b.ReceiptDelay + time.Duration(spread*float64(b.ReceiptSpread))
	}
	return r, first, latency
}

// fill writes down what the message was, hashed or sealed, and makes its receipt.
func (s *Simulator) fill(r *record, f wire.Fields) (*receipt, error) {
	text := f.Bytes(pdufield.ShortMessage)
	if payload, ok := f.TLV(pdutlv.TagMessagePayload); ok && len(text) == 0 {
		text = payload
	}
	if f.Byte(pdufield.ESMClass)&wire.ESMUDHI != 0 {
		r.Part, r.Total, text = concatenation(text)
	}
	if part, ok := f.TLV(wire.TagPart); ok && len(part) == 1 {
		r.Part = int(part[0])
	}
	if ref := f.TLVText(wire.TagReference); len(ref) <= maxReference {
		r.Reference = ref
	}
	to := addresses{
		From: f.Text(pdufield.SourceAddr), FromTON: f.Byte(pdufield.SourceAddrTON), FromNPI: f.Byte(pdufield.SourceAddrNPI),
		To: f.Text(pdufield.DestinationAddr), ToTON: f.Byte(pdufield.DestAddrTON), ToNPI: f.Byte(pdufield.DestAddrNPI),
	}
	r.Destination = s.secrets.hash("destination", []byte(to.To))
	r.Text = s.secrets.hash("text", append([]byte{f.Byte(pdufield.DataCoding)}, text...))
	if r.Receipt != ReceiptPending {
		return nil, nil
	}
	plain, err := json.Marshal(to)
	if err != nil {
		return nil, fmt.Errorf("encode the addresses: %w", err)
	}
	r.Addresses = s.secrets.seal(r.ID, plain)
	return s.newReceipt(*r, to), nil
}

// concatenation reads and cuts off a user data header; 0 parts if it says nothing
// of them.
func concatenation(b []byte) (part, total int, rest []byte) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return 0, 0, b
	}
	h, rest := b[1:1+int(b[0])], b[1+int(b[0]):]
	for len(h) >= 2 && len(h) >= 2+int(h[1]) {
		data := h[2 : 2+int(h[1])]
		switch {
		case h[0] == 0x00 && len(data) == 3, h[0] == 0x08 && len(data) == 4:
			return int(data[len(data)-1]), int(data[len(data)-2]), rest
		}
		h = h[2+len(data):]
	}
	return 0, 0, rest
}

func (s *Simulator) count(r record) {
	switch r.Verdict {
	case Accepted:
		s.stats.accepted.Add(1)
	case Refused:
		s.stats.refused.Add(1)
	case Throttled:
		s.stats.throttled.Add(1)
	}
	if r.Silent {
		s.stats.unanswered.Add(1)
	}
}
