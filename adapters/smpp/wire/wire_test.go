package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
	"go.uber.org/goleak"
)

const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a session over a pipe without buffers: a write waits for the peer's read.
func pipe(t *testing.T, cfg Config) (*Session, net.Conn, <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	cfg.Conn = ours
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = patience
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = patience
	}
	s := NewSession(cfg)
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	t.Cleanup(func() {
		s.Close(ErrClosed)
		_ = theirs.Close()
	})
	return s, theirs, ended
}

func submit(t *testing.T) pdu.Body {
	t.Helper()
	p := pdu.NewSubmitSM(nil)
	if err := p.Fields().Set(pdufield.ShortMessage, "hello"); err != nil {
		t.Fatal(err)
	}
	return p
}

func yes() bool { return true }

// TestSubmitToStalledPeer: with a peer that does not read, nothing is waited for
// beyond ctx, nothing went out, and the session is as it was.
func TestSubmitToStalledPeer(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
	}{
		{"deadline", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 50*time.Millisecond)
		}},
		{"cancel", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, theirs, _ := pipe(t, Config{})
			ctx, cancel := c.ctx()
			defer cancel()
			begun := time.Now()
			if _, ok := s.SubmitNow(ctx, submit(t), yes, func(Frame, error) { t.Error("done was called") }); ok {
				t.Error("it says that something went out")
			}
			if d := time.Since(begun); d > patience/2 {
				t.Errorf("it took %v", d)
			}
			if s.Err() != nil {
				t.Fatalf("the session ended: %v", s.Err())
			}
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			answered := make(chan error, 1)
			if _, ok := s.SubmitNow(context.Background(), submit(t), yes, func(_ Frame, err error) { answered <- err }); !ok {
				t.Error("the next did not go out")
			}
			s.Close(ErrClosed)
			if err := <-answered; !errors.Is(err, ErrClosed) {
				t.Errorf("its outcome: %v", err)
			}
		})
	}
}

// TestHalfWritten: half a PDU ends the session, and the request may be out.
func TestHalfWritten(t *testing.T) {
	s, theirs, ended := pipe(t, Config{})
	go func() { _, _ = io.ReadFull(theirs, make([]byte, 10)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	outcome := make(chan error, 1)
	if _, ok := s.SubmitNow(ctx, submit(t), yes, func(_ Frame, err error) { outcome <- err }); !ok {
		t.Error("it says that nothing went out")
	}
	if err := <-outcome; err == nil {
		t.Error("no error")
	}
	if err := <-ended; err == nil {
		t.Error("the session ended without a reason")
	}
}

func TestFenceShut(t *testing.T) {
	s, theirs, _ := pipe(t, Config{})
	if _, ok := s.SubmitNow(context.Background(), submit(t), func() bool { return false }, func(Frame, error) { t.Error("done was called") }); ok {
		t.Error("it says that something went out")
	}
	s.Close(ErrClosed)
	if n, _ := theirs.Read(make([]byte, 1)); n != 0 {
		t.Error("something went out")
	}
}

func TestPeerThatNeverReads(t *testing.T) {
	_, theirs, ended := pipe(t, Config{KeepAlive: 10 * time.Millisecond, AnswerTimeout: 30 * time.Millisecond})
	select {
	case err := <-ended:
		if !errors.Is(err, ErrNoAnswer) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the session lives on")
	}
	_ = theirs
}

func TestSilentPeer(t *testing.T) {
	_, _, ended := pipe(t, Config{IdleTimeout: 20 * time.Millisecond})
	var timeout net.Error
	if err := <-ended; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(err)
	}
}

// TestFloodWithoutReading: a peer that asks and never reads the answers is left.
func TestFloodWithoutReading(t *testing.T) {
	_, theirs, ended := pipe(t, Config{})
	enquire := header(pdu.EnquireLinkID, 0, 1)
	for range 2 * outQueue {
		if _, err := theirs.Write(enquire); err != nil {
			break
		}
	}
	if err := <-ended; !errors.Is(err, ErrNotRead) {
		t.Error(err)
	}
}

func TestReadFrame(t *testing.T) {
	long := make([]byte, MaxFrame+1)
	copy(long, []byte{0, 0, byte(len(long) >> 8), byte(len(long)), 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9})
	r := bufio.NewReader(bytes.NewReader(slices.Concat(long, header(pdu.UnbindID, 0, 10))))
	if f, err := ReadFrame(r); !errors.Is(err, ErrFrameTooLong) || f.Seq != 9 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := ReadFrame(r); err != nil || f.ID != pdu.UnbindID || f.Seq != 10 {
		t.Errorf("after it: %+v, %v", f, err)
	}
	for _, length := range []byte{0, 15} {
		h := header(pdu.UnbindID, 0, 1)
		h[3] = length
		if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(h))); !errors.Is(err, ErrFrameLength) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	h := header(pdu.UnbindID, 0, 1)
	h[0] = 0x7F
	if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(h))); !errors.Is(err, ErrFrameLength) {
		t.Errorf("length of 2 GB: %v", err)
	}
}

// FuzzReadPDU: whatever comes, reading ends, keeps its bounds, and decoding answers
// with fields or an error.
func FuzzReadPDU(f *testing.F) {
	receipt := pdu.NewDeliverSM()
	_ = receipt.Fields().Set(pdufield.ShortMessage, "id:1 stat:DELIVRD")
	_ = receipt.Fields().Set(pdufield.UDHLength, &pdufield.SM{})
	_ = receipt.TLVFields().Set(pdutlv.TagReceiptedMessageID, "1\x00")
	b, _ := Encode(receipt, 1)
	f.Add(b)
	f.Add(append(b, b[:20]...))
	udh := bytes.Clone(b)
	udh[16+9] = ESMUDHI
	f.Add(udh)
	f.Add(header(pdu.EnquireLinkID, 0, 1))
	f.Add([]byte{0, 0, 0, 20, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 20, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c', 'd'})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			frame, err := ReadFrame(r)
			if errors.Is(err, ErrFrameTooLong) {
				continue
			}
			if err != nil {
				return
			}
			if len(frame.Body) > MaxFrame-HeaderSize {
				t.Fatalf("body of %d bytes", len(frame.Body))
			}
			if id := frame.MessageID(); len(id) > len(frame.Body) {
				t.Fatal("message id longer than the body")
			}
			fields, err := frame.Decode()
			if err != nil {
				continue
			}
			for _, name := range []pdufield.Name{pdufield.ShortMessage, pdufield.SourceAddr, pdufield.ESMClass, pdufield.SMLength, pdufield.DataCoding} {
				_, _ = fields.Text(name), fields.Byte(name)
			}
			_ = fields.TLVText(pdutlv.TagReceiptedMessageID)
		}
	})
}
