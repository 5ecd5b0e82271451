package smpp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recapito/adapters/smpp"
	"recapito/adapters/smpp/sandbox"
	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/domain/notification"
)

func results(o channel.Outcome) (out []notification.Fate) {
	for _, p := range o.Units {
		out = append(out, p.Fate)
	}
	return out
}

// TestWindow: never more in flight than the window, whatever is sent.
func TestWindow(t *testing.T) {
	const window = 10
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, Window: window})
	var got []<-chan channel.Outcome
	for n := range 3 * window {
		got = append(got, sending(t, r, within(t, patience), message(n, "hello"), nil))
	}
	var first []submitted
	for range window {
		first = append(first, s.submit())
	}
	select {
	case <-s.submits:
		t.Fatal("more than the window is in flight")
	case <-time.After(50 * time.Millisecond):
	}
	first[0].accept("x")
	next := s.submit() // room for one, so one more comes
	for _, f := range append(first[1:], next) {
		f.accept("x")
	}
	for range 2*window - 1 {
		s.submit().accept("x")
	}
	for _, c := range got {
		if out := outcomeOf(t, c); out.Units[0].Fate != notification.UnitAccepted {
			t.Errorf("outcome %+v", out)
		}
	}
}

// TestRestOfPartsTogether: after the first part, the others do not wait for each other.
func TestRestOfPartsTogether(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	got := sending(t, r, within(t, patience), message(1, strings.Repeat("x", 153*4)), nil)
	f := s.submit()
	select {
	case <-s.submits:
		t.Fatal("the second part did not wait for the first")
	case <-time.After(30 * time.Millisecond):
	}
	f.accept("1")
	rest := []submitted{s.submit(), s.submit(), s.submit()}
	for i := len(rest) - 1; i >= 0; i-- {
		rest[i].accept(string(rune('2' + i)))
	}
	out := outcomeOf(t, got)
	for i, p := range out.Units {
		if p.Fate != notification.UnitAccepted || p.ProviderID != string(rune('1'+i)) {
			t.Errorf("part %d: %+v", i+1, p)
		}
	}
}

// TestNothingFollowsAnUnknownPart: without an answer to the first, the rest stays off
// the wire.
func TestNothingFollowsAnUnknownPart(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, ResponseTimeout: 30 * time.Millisecond, KeepAlive: time.Hour})
	late := make(chan channel.Outcome, 1)
	got := sending(t, r, within(t, patience), message(1, strings.Repeat("x", 153*3)), func(o channel.Outcome) { late <- o })
	f := s.submit()
	want := []notification.Fate{notification.UnitLost, notification.UnitNotSent, notification.UnitNotSent}
	if diff := cmp.Diff(want, results(outcomeOf(t, got))); diff != "" {
		t.Error(diff)
	}
	f.accept("1")
	want[0] = notification.UnitAccepted
	if diff := cmp.Diff(want, results(outcomeOf(t, late))); diff != "" {
		t.Error(diff)
	}
	if len(s.submits) != 0 {
		t.Error("more went out")
	}
}

func TestRefusedInTheMiddle(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr})
	got := sending(t, r, within(t, patience), message(1, strings.Repeat("x", 153*2)), nil)
	s.submit().accept("1")
	f := s.submit()
	f.raw(pdu.GenericNACKID, wire.StatusSystemError, f.frame.Seq, nil)
	out := outcomeOf(t, got)
	if diff := cmp.Diff([]notification.Fate{notification.UnitAccepted, notification.UnitRefused}, results(out)); diff != "" {
		t.Error(diff)
	}
	if p := out.Units[1]; p.Code != "0x00000008" || !p.Transient {
		t.Errorf("part 2: %+v", p)
	}
}

// TestLateIsToldOnce: of two parts without an answer one comes; the other's session
// ends. What came is told then, once.
func TestLateIsToldOnce(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, ResponseTimeout: 50 * time.Millisecond, KeepAlive: time.Hour})
	late := make(chan channel.Outcome, 4)
	got := sending(t, r, within(t, patience), message(1, strings.Repeat("x", 153*3)), func(o channel.Outcome) { late <- o })
	s.submit().accept("1")
	second := s.submit()
	s.submit()
	want := []notification.Fate{notification.UnitAccepted, notification.UnitLost, notification.UnitLost}
	if diff := cmp.Diff(want, results(outcomeOf(t, got))); diff != "" {
		t.Fatal(diff)
	}
	second.accept("2")
	second.raw(pdu.EnquireLinkID, 0, 7, nil)
	s.answer() // so the route has read what came before
	if len(late) != 0 {
		t.Fatal("told before all is known")
	}
	s.cut()
	want[1] = notification.UnitAccepted
	if diff := cmp.Diff(want, results(outcomeOf(t, late))); diff != "" {
		t.Error(diff)
	}
}

func TestLateIsForgotten(t *testing.T) {
	s := startSMSC(t)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, ResponseTimeout: 20 * time.Millisecond, LateLimit: 1, LateTTL: 600 * time.Millisecond})
	late := make(chan channel.Outcome, 4)
	tell := func(o channel.Outcome) { late <- o }
	r.Send(within(t, patience), message(1, "hello"), always, tell)
	first := s.submit()
	r.Send(within(t, patience), message(2, "hello"), always, tell) // over the limit: not remembered
	s.submit().accept("2")
	time.Sleep(900 * time.Millisecond) // past the time to live
	first.accept("1")
	// And there is room again, so it was forgotten and did not just come first.
	r.Send(within(t, patience), message(3, "hello"), always, tell)
	s.submit().accept("3")
	if got := outcomeOf(t, late); got.Units[0].ProviderID != "3" {
		t.Errorf("told of %q", got.Units[0].ProviderID)
	}
	if len(late) != 0 {
		t.Error("told more than once")
	}
}

func TestThrottledRouteBacksOff(t *testing.T) {
	sim := startSandbox(t, sandbox.Options{Behaviour: sandbox.Behaviour{Rate: 1}})
	r := startRoute(t, smpp.RouteOptions{Addr: sim.Addr(), ThrottleMin: 300 * time.Millisecond})
	var last notification.UnitOutcome
	for n := 0; last.Fate != notification.UnitRefused && n < 10; n++ {
		last = r.Send(within(t, patience), message(n, "hello"), always, nil).Units[0]
	}
	if last.Code != "0x00000058" || !last.Transient || !last.Busy {
		t.Fatalf("outcome %+v", last)
	}
	if _, err := r.Acquire(within(t, 20*time.Millisecond), 1); !errors.Is(err, channel.ErrRouteFull) {
		t.Errorf("acquire during the back-off: %v", err)
	}
	release, err := r.Acquire(within(t, patience), 1)
	if err != nil {
		t.Fatalf("acquire after the back-off: %v", err)
	}
	release()
	if r.State() != nil {
		t.Error("a throttled route is not down")
	}
}

// TestRunDrains: stopped, the route takes nothing new, waits for what is in flight,
// unbinds, and leaves nothing running.
func TestRunDrains(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("run", func(t *testing.T) {
		s := serveSMSC(t, ln)
		sink := newSink()
		sink.block = make(chan struct{})
		r := routeOf(t, smpp.RouteOptions{Addr: s.addr, Sink: sink, DrainTimeout: patience})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		eventually(t, "bind", func() bool { return r.State() == nil })
		got := sending(t, r, within(t, patience), message(1, "hello"), nil)
		f := s.submit()
		f.receipt(t, 3, wire.ESMReceipt, "id:a stat:DELIVRD", nil)
		f.raw(pdu.EnquireLinkID, 0, 4, nil)
		s.answer() // the receipt is in the sink's hands
		cancel()
		eventually(t, "closed route", func() bool {
			_, err := r.Acquire(within(t, time.Second), 1)
			return errors.Is(err, channel.ErrRouteDown)
		})
		f.accept("1")
		close(sink.block)
		if out := outcomeOf(t, got); out.Units[0].Fate != notification.UnitAccepted {
			t.Errorf("outcome %+v", out)
		}
		if a := s.answer(); a.ID != pdu.DeliverSMRespID || a.Status != wire.StatusOK {
			t.Errorf("answer %+v", a)
		}
		select {
		case <-s.unbinds:
		case <-time.After(patience):
			t.Error("no unbind")
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := r.State(); !errors.Is(err, channel.ErrRouteDown) {
			t.Errorf("state %v", err)
		}
		if err := r.Run(context.Background()); err == nil {
			t.Error("it runs twice")
		}
	})
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	s := serveSMSC(t, ln)
	r := startRoute(t, smpp.RouteOptions{Addr: s.addr, TLS: &tls.Config{RootCAs: pool, ServerName: "smsc.test"}})
	got := sending(t, r, within(t, patience), message(1, "hello"), nil)
	s.submit().accept("1")
	if out := outcomeOf(t, got); out.Units[0].Fate != notification.UnitAccepted {
		t.Errorf("outcome %+v", out)
	}

	stranger := routeOf(t, smpp.RouteOptions{Addr: s.addr, TLS: &tls.Config{ServerName: "smsc.test", RootCAs: x509.NewCertPool()}})
	runUntilEnd(t, stranger.Run)
	eventually(t, "refusal of an unknown certificate", func() bool {
		err := stranger.State()
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"smsc.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestOptions(t *testing.T) {
	_, err := smpp.NewRoute(smpp.RouteOptions{Password: "longer than eight", Binds: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, problem := range []string{"name", "address", "sink", "password", "binds"} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q does not speak of the %s", err, problem)
		}
	}
	if strings.Contains(err.Error(), "longer than eight") {
		t.Error("the error holds the password")
	}
}
