package sandbox

import (
	"net"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"

	"recapito/adapters/smpp/wire"
)

// serverID is the system_id we answer a bind with, as a C-octet string.
const serverID = "recapito-smsc\x00"

// peer is one ESME's session. Its fields are guarded by the simulator's lock.
type peer struct {
	session  *wire.Session
	bound    pdu.ID // the kind of bind, 0 before it
	inFlight int    // receipts without an answer
}

func (p *peer) sends() bool {
	return p.bound == pdu.BindTransceiverID || p.bound == pdu.BindTransmitterID
}

func (p *peer) receives() bool {
	return p.bound == pdu.BindTransceiverID || p.bound == pdu.BindReceiverID
}

// newPeer registers a connection, nil if there are too many.
func (s *Simulator) newPeer(conn net.Conn) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.peers) >= MaxSessions {
		return nil
	}
	p := &peer{}
	p.session = wire.NewSession(wire.Config{
		Conn: conn, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		Handle: func(_ *wire.Session, f wire.Frame) bool { return s.handle(p, f) },
	})
	s.peers = append(s.peers, p)
	return p
}

// serve runs a session to its end.
func (s *Simulator) serve(p *peer) {
	unbound := time.AfterFunc(bindTimeout, func() {
		s.mu.Lock()
		bound := p.bound != 0
		s.mu.Unlock()
		if !bound {
			p.session.Close(wire.ErrNoAnswer)
		}
	})
	err := p.session.Run()
	unbound.Stop()
	s.mu.Lock()
	for i, o := range s.peers {
		if o == p {
			s.peers = append(s.peers[:i:i], s.peers[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	s.o.Logger.Debug("session ended", "error", err)
}

func (s *Simulator) handle(p *peer, f wire.Frame) bool {
	switch f.ID {
	case pdu.BindReceiverID, pdu.BindTransmitterID, pdu.BindTransceiverID:
		s.bind(p, f)
	case pdu.SubmitSMID:
		s.submit(p, f)
	default:
		return false
	}
	return true
}

func (s *Simulator) bind(p *peer, f wire.Frame) {
	fields, err := f.Decode()
	if err != nil {
		p.session.Respond(f, wire.StatusInvalidLength, nil)
		return
	}
	if s.o.SystemID != "" && fields.Text(pdufield.SystemID) != s.o.SystemID {
		p.session.Respond(f, wire.StatusInvalidSystemID, nil)
		return
	}
	if s.o.SystemID != "" && fields.Text(pdufield.Password) != s.o.Password {
		p.session.Respond(f, wire.StatusInvalidPassword, nil)
		return
	}
	s.mu.Lock()
	again := p.bound != 0
	if !again {
		p.bound = f.ID
	}
	s.mu.Unlock()
	if again {
		p.session.Respond(f, wire.StatusAlreadyBound, nil)
		return
	}
	s.stats.binds.Add(1)
	p.session.Respond(f, wire.StatusOK, []byte(serverID))
	s.pump()
}
