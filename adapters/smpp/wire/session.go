package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
)

// Limits of a session.
const (
	// outQueue is how many PDUs may wait to be written; a peer that lets more pile
	// up does not read.
	outQueue = 4096
	// coalesce is how many bytes of waiting PDUs go out in one write.
	coalesce = 32 << 10
	// readBuffer is the read buffer's size in bytes.
	readBuffer = 16 << 10
	// maxSeq is the greatest sequence number (SMPP 3.4, 3.2).
	maxSeq = 0x7FFFFFFF
)

// Why a session ended, other than errors of the network. Test with errors.Is.
var (
	ErrUnbound  = errors.New("the peer unbound")
	ErrClosed   = errors.New("session closed")
	ErrNoAnswer = errors.New("the peer did not answer in time")
	ErrNotRead  = errors.New("the peer does not read")
)

// Config is what a session needs. Every duration must be positive, but KeepAlive
// may be 0: no enquire_link is sent.
type Config struct {
	Conn net.Conn
	// IdleTimeout is the longest silence of the peer.
	IdleTimeout time.Duration
	// WriteTimeout is how long a write may take.
	WriteTimeout time.Duration
	// KeepAlive is the time between two enquire_link; each must get its response within
	// AnswerTimeout.
	KeepAlive     time.Duration
	AnswerTimeout time.Duration
	// Handle is given the peer's requests that the session does not answer itself,
	// in order; nothing else of the session is read meanwhile. False: the request is
	// refused as unsupported.
	Handle func(s *Session, f Frame) bool
}

// Session is one SMPP connection, either side. Run owns its goroutines.
type Session struct {
	cfg     Config
	r       *bufio.Reader
	out     chan outgoing
	writing chan struct{} // holds one token while someone writes
	done    chan struct{}

	mu      sync.Mutex
	err     error
	seq     uint32
	pending map[uint32]request
}

// request is one of ours that waits for its answer.
type request struct {
	id   pdu.ID
	done func(Frame, error)
}

// outgoing is a PDU to write, or, without bytes, the order to end the session.
type outgoing struct {
	b    []byte
	last error
}

// NewSession prepares a session on an open connection. Run must be called.
func NewSession(cfg Config) *Session {
	return &Session{
		cfg:     cfg,
		r:       bufio.NewReaderSize(cfg.Conn, readBuffer),
		out:     make(chan outgoing, outQueue),
		writing: make(chan struct{}, 1),
		done:    make(chan struct{}),
		pending: map[uint32]request{},
	}
}

// Run serves the session until it ends and returns why. When it returns, the
// connection is closed, nothing of the session runs any more, and every request has
// its outcome.
func (s *Session) Run() error {
	var wg sync.WaitGroup
	wg.Go(s.write)
	if s.cfg.KeepAlive > 0 {
		wg.Go(s.keepAlive)
	}
	s.Close(s.read())
	wg.Wait()
	return s.Err()
}

// Close ends the session at once; requests without an answer get the cause.
func (s *Session) Close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = cause
	lost := s.pending
	s.pending = nil
	close(s.done)
	s.mu.Unlock()
	_ = s.cfg.Conn.Close()
	for _, r := range lost {
		r.done(Frame{}, cause)
	}
}

// CloseAfterWrites ends the session once all that waits to be written is out.
func (s *Session) CloseAfterWrites(cause error) { s.post(outgoing{last: cause}) }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session ended; nil while it lives.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Session) read() error {
	for {
		if err := s.cfg.Conn.SetReadDeadline(time.Now().Add(s.cfg.IdleTimeout)); err != nil {
			return fmt.Errorf("set read deadline: %w", err)
		}
		f, err := ReadFrame(s.r)
		switch {
		case errors.Is(err, ErrFrameTooLong):
			if !f.IsResponse() {
				s.Refuse(f, StatusInvalidLength)
				continue
			}
		case err != nil:
			return fmt.Errorf("read PDU: %w", err)
		}
		if f.IsResponse() {
			s.answer(f)
			continue
		}
		switch {
		case f.ID == pdu.EnquireLinkID:
			s.Respond(f, StatusOK, nil)
		case f.ID == pdu.UnbindID:
			s.Respond(f, StatusOK, nil)
			s.CloseAfterWrites(ErrUnbound)
		case s.cfg.Handle != nil && s.cfg.Handle(s, f):
		case isSilent(f.ID):
		default:
			s.Refuse(f, StatusInvalidCommand)
		}
	}
}

// answer gives a response to the request it answers. One that answers nothing of
// ours, or another kind of request, is dropped.
func (s *Session) answer(f Frame) {
	s.mu.Lock()
	r, ok := s.pending[f.Seq]
	if ok && f.ID != r.id|responseBit && f.ID != pdu.GenericNACKID {
		ok = false
	}
	if ok {
		delete(s.pending, f.Seq)
	}
	s.mu.Unlock()
	if ok {
		r.done(f, nil)
	}
}

// register takes a sequence number for a request.
func (s *Session) register(id pdu.ID, done func(Frame, error)) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	for {
		s.seq = s.seq%maxSeq + 1
		if _, taken := s.pending[s.seq]; !taken {
			break
		}
	}
	s.pending[s.seq] = request{id, done}
	return s.seq, nil
}

// Forget drops a request: its answer, if it comes, is ignored. False: it has its
// outcome already.
func (s *Session) Forget(seq uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.pending[seq]
	delete(s.pending, seq)
	return ok
}

// Request queues a request. done is called once, with the answer or with what ended
// the session, and must not block. An error means that done will not be called.
func (s *Session) Request(b pdu.Body, done func(Frame, error)) (uint32, error) {
	seq, err := s.register(b.Header().ID, done)
	if err != nil {
		return 0, err
	}
	raw, err := Encode(b, seq)
	if err != nil {
		s.Forget(seq)
		return 0, err
	}
	s.post(outgoing{b: raw})
	return seq, nil
}

// Ask queues a request and waits for its answer. A status other than 0 is no error.
func (s *Session) Ask(ctx context.Context, b pdu.Body) (Frame, error) {
	type result struct {
		f   Frame
		err error
	}
	got := make(chan result, 1)
	seq, err := s.Request(b, func(f Frame, err error) { got <- result{f, err} })
	if err != nil {
		return Frame{}, err
	}
	select {
	case r := <-got:
		return r.f, r.err
	case <-ctx.Done():
		s.Forget(seq)
		return Frame{}, ErrNoAnswer
	}
}

// Respond queues the response to a request. Without a body, responses to deliver_sm and
// data_sm get the empty message id that they must have.
func (s *Session) Respond(f Frame, status pdu.Status, body []byte) {
	if body == nil && (f.ID == pdu.DeliverSMID || f.ID == pdu.DataSMID) {
		body = []byte{0}
	}
	b := append(header(f.ID|responseBit, status, f.Seq), body...)
	b[2], b[3] = byte(len(b)>>8), byte(len(b))
	s.post(outgoing{b: b})
}

// Refuse responds to a request that is not served: by its own response if it has one,
// else by a generic_nack.
func (s *Session) Refuse(f Frame, status pdu.Status) {
	if hasResponse(f.ID) {
		s.Respond(f, status, nil)
		return
	}
	s.post(outgoing{b: header(pdu.GenericNACKID, status, f.Seq)})
}

func (s *Session) post(o outgoing) {
	select {
	case s.out <- o:
	default:
		s.Close(ErrNotRead)
	}
}

// write sends what is queued, several PDUs in one write where they wait.
func (s *Session) write() {
	var batch []byte
	for {
		var last error
		batch = batch[:0]
		select {
		case <-s.done:
			return
		case o := <-s.out:
			batch, last = append(batch, o.b...), o.last
		}
		for last == nil && len(batch) < coalesce && len(s.out) > 0 {
			o := <-s.out
			batch, last = append(batch, o.b...), o.last
		}
		if err := s.writeBatch(batch); err != nil {
			s.Close(fmt.Errorf("write PDU: %w", err))
			return
		}
		if last != nil {
			s.Close(last)
			return
		}
	}
}

func (s *Session) writeBatch(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	select {
	case s.writing <- struct{}{}:
	case <-s.done:
		return s.Err()
	}
	defer func() { <-s.writing }()
	if err := s.cfg.Conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
		return err
	}
	_, err := s.cfg.Conn.Write(b)
	return err
}

// keepAlive asks for a sign of life; it also finds a peer that stopped reading.
func (s *Session) keepAlive() {
	tick := time.NewTicker(s.cfg.KeepAlive)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AnswerTimeout)
		_, err := s.Ask(ctx, pdu.NewEnquireLink())
		cancel()
		if err != nil {
			s.Close(fmt.Errorf("enquire_link: %w", err))
			return
		}
	}
}
