package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"

	"recapito/adapters/smpp/wire"
)

const patience = 10 * time.Second

// TestMain is also the simulator's process in the crash test.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SMSC_TEST_DIR"); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child runs a simulator whose receipts take long, and prints where it listens.
func child(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := New(Options{Dir: dir, Addr: "127.0.0.1:0", Behaviour: Behaviour{ReceiptDelay: 3 * time.Second, Mix: Mix{LoseAnswer: 0.2}}})
	if err == nil {
		fmt.Println(s.Addr())
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start runs a simulator until the test ends or stop is called.
func start(t *testing.T, o Options) (s *Simulator, stop func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Addr = "127.0.0.1:0"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("run: %v", err)
				}
			case <-time.After(patience):
				t.Error("run did not end")
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

// esme is a client without manners of its own: it remembers what comes.
type esme struct {
	*wire.Session
	t *testing.T

	mu     sync.Mutex
	log    []string // "answer <id>", "receipt <text>", in the order they came
	fields []wire.Fields
	status pdu.Status // what receipts are answered with
	mute   bool       // receipts are not answered
}

func connect(t *testing.T, addr string) *esme {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	e := &esme{t: t}
	e.Session = wire.NewSession(wire.Config{Conn: conn, IdleTimeout: time.Minute, WriteTimeout: patience, Handle: e.handle})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Run()
	}()
	t.Cleanup(func() {
		e.Close(wire.ErrClosed)
		<-ended
	})
	return e
}

// bound is a connected and bound transceiver.
func bound(t *testing.T, addr string) *esme {
	t.Helper()
	e := connect(t, addr)
	if f := e.ask(bindPDU(t, pdu.NewBindTransceiver(), "us", "")); f.Status != wire.StatusOK {
		t.Fatalf("bind: %s", wire.StatusCode(f.Status))
	}
	return e
}

func bindPDU(t *testing.T, p pdu.Body, systemID, password string) pdu.Body {
	t.Helper()
	err := errors.Join(p.Fields().Set(pdufield.SystemID, systemID), p.Fields().Set(pdufield.Password, password))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (e *esme) handle(s *wire.Session, f wire.Frame) bool {
	if f.ID != pdu.DeliverSMID {
		return false
	}
	fields, err := f.Decode()
	if err != nil {
		e.t.Errorf("deliver_sm: %v", err)
		return false
	}
	e.mu.Lock()
	e.log = append(e.log, "receipt "+fields.Text(pdufield.ShortMessage))
	e.fields = append(e.fields, fields)
	status, mute := e.status, e.mute
	e.mu.Unlock()
	if !mute {
		s.Respond(f, status, nil)
	}
	return true
}

func (e *esme) ask(p pdu.Body) wire.Frame {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f, err := e.Ask(ctx, p)
	if err != nil {
		e.t.Fatalf("no answer: %v", err)
	}
	return f
}

// submit sends and notes the answer when it comes.
func (e *esme) submit(p pdu.Body) {
	e.t.Helper()
	_, err := e.Request(p, func(f wire.Frame, err error) {
		if err == nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.log = append(e.log, fmt.Sprintf("answer %s %s", wire.StatusCode(f.Status), f.MessageID()))
		}
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *esme) events() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.log...)
}

func (e *esme) receipts() []wire.Fields {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]wire.Fields(nil), e.fields...)
}

const (
	testNumber = "393331234567"
	testText   = "Your appointment is on Monday, Mr Rossi"
)

// sm is a message that wants a receipt.
func sm(t *testing.T, reference string) pdu.Body {
	t.Helper()
	p := pdu.NewSubmitSM(nil)
	for name, v := range map[pdufield.Name]any{
		pdufield.SourceAddr: "Recapito", pdufield.SourceAddrTON: 5, pdufield.DestinationAddr: testNumber, pdufield.DestAddrTON: 1,
		pdufield.RegisteredDelivery: 1, pdufield.ShortMessage: testText,
	} {
		if err := p.Fields().Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	if reference != "" {
		if err := p.TLVFields().Set(wire.TagReference, reference); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
