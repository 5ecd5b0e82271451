package smpp_test

import (
	"bufio"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"

	"recapito/adapters/smpp/wire"
)

// smsc is a provider under the test's control, PDU by PDU: it does what no well
// behaved simulator would.
type smsc struct {
	t    *testing.T
	addr string
	// submits and answers are what the route sent: its submit_sm, and its responses
	// to what the test sent.
	submits chan submitted
	answers chan wire.Frame
	unbinds chan struct{}

	mu    sync.Mutex
	links []*link
	deaf  bool // answers nothing any more, enquire_link neither
	binds int
	// bindStatus is what binds are answered with.
	bindStatus pdu.Status
}

type link struct {
	net.Conn
	mu sync.Mutex
}

// submitted is a submit_sm and the link it came on.
type submitted struct {
	*link
	frame  wire.Frame
	fields wire.Fields
}

func startSMSC(t *testing.T) *smsc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveSMSC(t, ln)
}

func serveSMSC(t *testing.T, ln net.Listener) *smsc {
	s := &smsc{t: t, addr: ln.Addr().String(), submits: make(chan submitted, 1000), answers: make(chan wire.Frame, 1000), unbinds: make(chan struct{}, 10)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			l := &link{Conn: conn}
			s.mu.Lock()
			s.links = append(s.links, l)
			s.mu.Unlock()
			wg.Go(func() { s.serve(l) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.cut()
		wg.Wait()
	})
	return s
}

func (s *smsc) serve(l *link) {
	defer l.Close()
	r := bufio.NewReader(l)
	for {
		f, err := wire.ReadFrame(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		deaf, status := s.deaf, s.bindStatus
		s.mu.Unlock()
		switch {
		case deaf:
		case f.IsResponse():
			s.answers <- f
		case f.ID == pdu.BindTransceiverID:
			s.mu.Lock()
			s.binds++
			s.mu.Unlock()
			l.respond(f, status, []byte("test\x00"))
		case f.ID == pdu.EnquireLinkID:
			l.respond(f, wire.StatusOK, nil)
		case f.ID == pdu.UnbindID:
			l.respond(f, wire.StatusOK, nil)
			s.unbinds <- struct{}{}
		case f.ID == pdu.SubmitSMID:
			fields, err := f.Decode()
			if err != nil {
				s.t.Errorf("submit_sm: %v", err)
				return
			}
			s.submits <- submitted{l, f, fields}
		default:
			s.t.Errorf("unexpected %s", f.ID)
		}
	}
}

func (s *smsc) boundTimes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binds
}

func (s *smsc) setDeaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// cut closes every connection.
func (s *smsc) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		_ = l.Close()
	}
}

// last is the newest connection.
func (s *smsc) last() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[len(s.links)-1]
}

func (s *smsc) submit() submitted {
	s.t.Helper()
	select {
	case f := <-s.submits:
		return f
	case <-time.After(patience):
		s.t.Fatal("no submit_sm came")
		return submitted{}
	}
}

func (s *smsc) answer() wire.Frame {
	s.t.Helper()
	select {
	case f := <-s.answers:
		return f
	case <-time.After(patience):
		s.t.Fatal("no answer came")
		return wire.Frame{}
	}
}

// accept answers a submit_sm with that message id.
func (f submitted) accept(id string) { f.respond(f.frame, wire.StatusOK, append([]byte(id), 0)) }

func (l *link) respond(f wire.Frame, status pdu.Status, body []byte) {
	l.raw(f.ID|0x80000000, status, f.Seq, body)
}

// raw writes a PDU whatever sense it makes.
func (l *link) raw(id pdu.ID, status pdu.Status, seq uint32, body []byte) {
	n := uint32(wire.HeaderSize + len(body))
	var b []byte
	for _, v := range []uint32{n, uint32(id), uint32(status), seq} {
		b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	l.write(append(b, body...))
}

func (l *link) write(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.Write(b)
}

// receipt sends a deliver_sm for a message, under that sequence number.
func (l *link) receipt(t *testing.T, seq uint32, esm byte, text string, tlvs map[pdutlv.Tag]any) {
	t.Helper()
	p := pdu.NewDeliverSM()
	for name, v := range map[pdufield.Name]any{
		pdufield.SourceAddr: "393330000001", pdufield.SourceAddrTON: 1, pdufield.DestinationAddr: "Recapito",
		pdufield.ESMClass: esm, pdufield.ShortMessage: text, pdufield.UDHLength: &pdufield.SM{},
	} {
		if err := p.Fields().Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	for tag, v := range tlvs {
		if err := p.TLVFields().Set(tag, v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := wire.Encode(p, seq)
	if err != nil {
		t.Fatal(err)
	}
	l.write(b)
}
