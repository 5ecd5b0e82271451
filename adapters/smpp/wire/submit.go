package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
)

// minWrite is the least time a write is given; with less left it is not begun.
const minWrite = 5 * time.Millisecond

// SubmitNow writes a request itself, without the queue, so that the fence is asked
// when nothing is left between it and the wire. It waits for its turn and for the
// write at most until ctx ends (or WriteTimeout, if that is sooner).
//
// False: not a byte went out, whatever done was called with. True: it is on the wire, or may
// be, and done is called once, as by Request.
func (s *Session) SubmitNow(ctx context.Context, b pdu.Body, fence func() bool, done func(Frame, error)) (uint32, bool) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return 0, false
	case <-s.done:
		return 0, false
	}
	deadline := time.Now().Add(s.cfg.WriteTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if ctx.Err() != nil || time.Until(deadline) < minWrite {
		return 0, false
	}
	raw, err := Encode(b, 0)
	if err != nil {
		return 0, false
	}
	if s.cfg.Conn.SetWriteDeadline(deadline) != nil || !fence() {
		return 0, false
	}
	seq, err := s.register(b.Header().ID, done)
	if err != nil {
		return 0, false
	}
	binary.BigEndian.PutUint32(raw[12:16], seq)
	n, err := s.writeUntil(ctx, raw)
	if err == nil {
		return seq, true
	}
	if n == 0 && !s.isTLS() {
		// The kernel took nothing: a stalled peer, whom keep-alive will find, or a
		// broken connection, which the reader sees.
		s.Forget(seq)
		return 0, false
	}
	// Half a PDU makes all that follows unreadable. (TLS does not say what went out.)
	s.Close(fmt.Errorf("write PDU: %w", err))
	return seq, true
}

// writeUntil writes, and gives up when ctx is cancelled before its deadline.
func (s *Session) writeUntil(ctx context.Context, b []byte) (int, error) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = s.cfg.Conn.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err := s.cfg.Conn.Write(b)
	if !stop() {
		<-interrupted // so that it cannot hit the next writer
	}
	return n, err
}

func (s *Session) isTLS() bool {
	_, ok := s.cfg.Conn.(*tls.Conn)
	return ok
}
