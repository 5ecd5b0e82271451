package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/adapters/smtp"
	"recapito/adapters/smtp/smtptest"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// fate is an outcome without its time.
func fate(o channel.Outcome) notification.UnitOutcome {
	u := o.Units[0]
	u.At = time.Time{}
	return u
}

func TestRefusals(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	r := startRoute(t, settings(t, server), channel.Options{})
	for name, c := range map[string]struct {
		b    smtptest.Behaviour
		want notification.UnitOutcome
	}{
		"mail":             {smtptest.Behaviour{Mail: refusedForGood}, notification.UnitOutcome{Code: "5.1.1"}},
		"rcpt":             {smtptest.Behaviour{Rcpt: refusedForGood}, notification.UnitOutcome{Code: "5.1.1"}},
		"rcpt for now":     {smtptest.Behaviour{Rcpt: refusedForNow}, notification.UnitOutcome{Code: "4.7.1", Transient: true}},
		"data":             {smtptest.Behaviour{Data: refusedForGood}, notification.UnitOutcome{Code: "5.1.1"}},
		"data for now":     {smtptest.Behaviour{Data: refusedForNow}, notification.UnitOutcome{Code: "4.7.1", Transient: true}},
		"no enhanced code": {smtptest.Behaviour{Data: withoutEnhanced}, notification.UnitOutcome{Code: "552"}},
		"unknown code":     {smtptest.Behaviour{Rcpt: unknownTransient}, notification.UnitOutcome{Code: "4.99.99", Transient: true}},
		"busy at mail":     {smtptest.Behaviour{Mail: hostUnavailable}, notification.UnitOutcome{Code: "4.3.2", Transient: true, Busy: true}},
		"busy at data":     {smtptest.Behaviour{Data: hostUnavailable}, notification.UnitOutcome{Code: "4.3.2", Transient: true, Busy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			eventually(t, "the route is up", func() bool { return r.State() == nil })
			server.Behave(c.b)
			defer server.Behave(smtptest.Behaviour{})
			c.want.Fate = notification.UnitRefused
			if diff := cmp.Diff(c.want, fate(r.Send(within(t, patience), message(1), always, nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestServerTextIsNotKept: what a server says may hold a mailbox.
func TestServerTextIsNotKept(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	unavailable := *hostUnavailable
	unavailable.Message = "not for person1@example.net"
	server.Behave(smtptest.Behaviour{Mail: &unavailable})
	s := settings(t, server)
	s.RetryMin, s.RetryMax = time.Hour, time.Hour
	var log lockedBuffer
	r := startRoute(t, s, channel.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	r.Send(within(t, patience), message(1), always, nil)
	err := r.State()
	if err == nil || !errors.Is(err, channel.ErrRouteDown) || !strings.Contains(err.Error(), "4.3.2") {
		t.Errorf("state %v", err)
	}
	eventually(t, "the failure is logged", func() bool { return strings.Contains(log.String(), "4.3.2") })
	if strings.Contains(err.Error()+log.String(), "person1") {
		t.Error("the server's text is in the state or in the log")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestFailover(t *testing.T) {
	first, second := smtptest.Start(t, smtptest.Options{}), smtptest.Start(t, smtptest.Options{})
	s := settings(t, second, first)
	s.Hosts[0].Priority = 20 // the first is listed last and used first
	s.Hosts[1].Priority = 10
	r := startRoute(t, s, channel.Options{})
	eventually(t, "both are up", func() bool { return smtp.HostsUp(r) == 2 })
	send := func(n int, want notification.Fate) {
		t.Helper()
		if got := fate(r.Send(within(t, patience), message(n), always, nil)); got.Fate != want {
			t.Errorf("message %d: %+v", n, got)
		}
	}
	counts := func(want1, want2 int) {
		t.Helper()
		if got1, got2 := len(first.Messages()), len(second.Messages()); got1 != want1 || got2 != want2 {
			t.Errorf("%d and %d messages arrived; want %d and %d", got1, got2, want1, want2)
		}
	}
	send(1, notification.UnitAccepted)
	counts(1, 0)

	first.Behave(smtptest.Behaviour{Mail: hostUnavailable})
	send(2, notification.UnitAccepted)
	counts(1, 1)

	first.Behave(smtptest.Behaviour{})
	n := 10
	eventually(t, "the first is used again", func() bool {
		n++
		send(n, notification.UnitAccepted)
		return len(first.Messages()) == 2
	})

	// What the first refuses for the message's sake is not given to the second.
	before := len(second.Messages())
	first.Behave(smtptest.Behaviour{Rcpt: refusedForNow})
	send(3, notification.UnitRefused)
	counts(2, before)

	first.Stop()
	send(4, notification.UnitAccepted)
	counts(2, before+1)
}

// TestAHostThatHangs leaves the next one the time that a message needs, and is taken out of
// use: the message after it goes to the next one at once.
func TestAHostThatHangs(t *testing.T) {
	first, second := smtptest.Start(t, smtptest.Options{}), smtptest.Start(t, smtptest.Options{})
	set := settings(t, first, second)
	set.RetryMin, set.RetryMax = time.Hour, time.Hour
	r := startRoute(t, set, channel.Options{})
	eventually(t, "both are up", func() bool { return smtp.HostsUp(r) == 2 })
	first.Behave(smtptest.Behaviour{Hang: true})
	for i := range 2 {
		if got := fate(r.Send(within(t, 4*time.Second), message(i), always, nil)); got.Fate != notification.UnitAccepted {
			t.Errorf("%+v", got)
		}
	}
	if n := first.Hung(); n != 1 {
		t.Errorf("%d messages waited for the host that hangs", n)
	}
	if n := len(second.Messages()); n != 2 {
		t.Errorf("%d messages arrived", n)
	}
}

// The only host hangs: the route is down, until it is found to work again. A message that
// came with too little time shows nothing about a host.
func TestTheOnlyHostHangs(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	set := settings(t, server)
	set.RetryMin, set.RetryMax = time.Hour, time.Hour
	r := startRoute(t, set, channel.Options{})
	server.Behave(smtptest.Behaviour{Hang: true})
	if got := fate(r.Send(within(t, 50*time.Millisecond), message(1), always, nil)); got.Fate != notification.UnitNotSent {
		t.Errorf("%+v", got)
	}
	if err := r.State(); err != nil {
		t.Errorf("after a message with little time: %v", err)
	}
	if got := fate(r.Send(within(t, time.Second), message(2), always, nil)); got.Fate != notification.UnitNotSent {
		t.Errorf("%+v", got)
	}
	if err := r.State(); !errors.Is(err, channel.ErrRouteDown) {
		t.Errorf("after a hang: %v", err)
	}
}

// TestNoFailoverOnceBegun: a message whose content was begun on one host never reaches
// another.
func TestNoFailoverOnceBegun(t *testing.T) {
	for name, c := range map[string]struct {
		b    smtptest.Behaviour
		cut  bool
		want notification.UnitOutcome
	}{
		"cut before the dot": {smtptest.Behaviour{CutBeforeDot: 100_000}, false, notification.UnitOutcome{Fate: notification.UnitRefused, Code: smtp.CodeConnectionLost, Transient: true}},
		"cut after the dot":  {smtptest.Behaviour{Silent: true}, true, notification.UnitOutcome{Fate: notification.UnitLost}},
		"busy after the dot": {smtptest.Behaviour{Data: hostUnavailable}, false, notification.UnitOutcome{Fate: notification.UnitRefused, Code: "4.3.2", Transient: true, Busy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := smtptest.Start(t, smtptest.Options{}), smtptest.Start(t, smtptest.Options{})
			r := startRoute(t, settings(t, first, second), channel.Options{})
			eventually(t, "both are up", func() bool { return smtp.HostsUp(r) == 2 })
			m := message(1)
			// More than what the sockets hold.
			m.Content.Attachments = []content.Attachment{{Name: "a", MediaType: "application/pdf", Data: make([]byte, 6<<20)}}
			first.Behave(c.b)
			got := make(chan channel.Outcome, 1)
			go func() { got <- r.Send(within(t, patience), m, always, nil) }()
			if c.cut {
				first.Wait(1)
				first.Cut()
			}
			if diff := cmp.Diff(c.want, fate(<-got)); diff != "" {
				t.Error(diff)
			}
			if n := len(second.Messages()); n != 0 {
				t.Errorf("%d messages reached the second host", n)
			}
		})
	}
}

// TestFenceBeforeTheDot: a fence that shuts while the content is sent keeps the message
// from being accepted.
func TestFenceBeforeTheDot(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	r := startRoute(t, settings(t, server), channel.Options{})
	for _, open := range []int{0, 1} {
		asked := 0
		out := r.Send(within(t, patience), message(1), func() bool { asked++; return asked <= open }, nil)
		if fate(out) != (notification.UnitOutcome{}) || asked != open+1 {
			t.Errorf("open %d times: %+v, asked %d times", open, fate(out), asked)
		}
	}
	r.Send(within(t, patience), message(2), always, nil)
	if n := len(server.Messages()); n != 1 {
		t.Errorf("%d messages arrived", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	s := settings(t, server)
	s.MessagesPerConn = 3
	r := startRoute(t, s, channel.Options{})
	for n := range 7 {
		if got := fate(r.Send(within(t, patience), message(n), always, nil)); got.Fate != notification.UnitAccepted {
			t.Fatalf("message %d: %+v", n, got)
		}
	}
	var sessions []int
	for _, m := range server.Messages() {
		sessions = append(sessions, m.Session)
	}
	if diff := cmp.Diff([]int{1, 1, 1, 2, 2, 2, 3}, sessions); diff != "" {
		t.Error(diff)
	}
}

// TestStaleConnection: a connection that the host has closed costs no message.
func TestStaleConnection(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	r := startRoute(t, settings(t, server), channel.Options{})
	for n := range 3 {
		if got := fate(r.Send(within(t, patience), message(n), always, nil)); got.Fate != notification.UnitAccepted {
			t.Fatalf("message %d: %+v", n, got)
		}
		server.Cut()
	}
}

func TestSMTPUTF8(t *testing.T) {
	without, with := smtptest.Start(t, smtptest.Options{NoUTF8: true}), smtptest.Start(t, smtptest.Options{})
	m := message(1)
	m.Destination = "perché@example.net"
	alone := startRoute(t, settings(t, without), channel.Options{})
	want := notification.UnitOutcome{Fate: notification.UnitRefused, Code: smtp.CodeNoSMTPUTF8}
	if diff := cmp.Diff(want, fate(alone.Send(within(t, patience), m, always, nil))); diff != "" {
		t.Error(diff)
	}
	both := startRoute(t, settings(t, without, with), channel.Options{})
	eventually(t, "both are connected", func() bool { return with.Sessions() > 0 })
	eventually(t, "the second takes it", func() bool {
		return fate(both.Send(within(t, patience), m, always, nil)).Fate == notification.UnitAccepted
	})
	got := with.Messages()[0]
	if got.To != m.Destination || !got.Mail.UTF8 || len(without.Messages()) != 0 {
		t.Errorf("UTF8 %v, and %d messages at the host without it", got.Mail.UTF8, len(without.Messages()))
	}
	// A domain in its own script needs no SMTPUTF8.
	m.Destination = "person@bücher.example"
	if got := fate(alone.Send(within(t, patience), m, always, nil)); got.Fate != notification.UnitAccepted {
		t.Errorf("outcome %+v", got)
	}
	if to := without.Messages()[0].To; to != "person@xn--bcher-kva.example" {
		t.Error("the domain is not in A-labels")
	}
}

func TestTLS(t *testing.T) {
	certificate := smtptest.NewCertificate(t, t.TempDir())
	other := smtptest.NewCertificate(t, t.TempDir())
	plain := smtptest.Start(t, smtptest.Options{})
	starttls := smtptest.Start(t, smtptest.Options{TLS: certificate.Server})
	implicit := smtptest.Start(t, smtptest.Options{TLS: certificate.Server, Implicit: true})
	for name, c := range map[string]struct {
		server  *smtptest.Server
		policy  smtp.TLS
		ca      string
		name    string
		works   bool
		secured bool
	}{
		"none":                        {starttls, smtp.TLSNone, "", "", true, false},
		"opportunistic, not offered":  {plain, smtp.TLSOpportunistic, "", "", true, false},
		"opportunistic, not trusted":  {starttls, smtp.TLSOpportunistic, "", "", true, true},
		"required":                    {starttls, smtp.TLSRequired, certificate.CertFile, "", true, true},
		"required, by name":           {starttls, "", certificate.CertFile, smtptest.CertificateName, true, true},
		"required, another name":      {starttls, smtp.TLSRequired, certificate.CertFile, "mail.example", false, false},
		"required, another authority": {starttls, smtp.TLSRequired, other.CertFile, "", false, false},
		"required, not offered":       {plain, smtp.TLSRequired, certificate.CertFile, "", false, false},
		"implicit":                    {implicit, smtp.TLSImplicit, certificate.CertFile, "", true, true},
		"implicit, another authority": {implicit, smtp.TLSImplicit, other.CertFile, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			s.Hosts = []smtp.Host{{Addr: c.server.Addr(), TLS: c.policy, CAFile: c.ca, ServerName: c.name}}
			before := len(c.server.Messages())
			if !c.works {
				r := runRoute(t, s, channel.Options{})
				eventually(t, "the first connection failed", func() bool {
					err := r.State()
					return err != nil && !strings.Contains(err.Error(), "not connected yet") && !strings.Contains(err.Error(), "does not run")
				})
				if got := fate(r.Send(within(t, patience), message(1), always, nil)); got != (notification.UnitOutcome{}) || len(c.server.Messages()) != before {
					t.Errorf("outcome %+v", got)
				}
				return
			}
			r := startRoute(t, s, channel.Options{})
			if got := fate(r.Send(within(t, patience), message(1), always, nil)); got.Fate != notification.UnitAccepted {
				t.Fatalf("outcome %+v", got)
			}
			got := c.server.Messages()[before]
			if got.TLS != c.secured && !(c.server == implicit) || got.Hello != "recapito.example.org" {
				t.Errorf("TLS %v, name %q", got.TLS, got.Hello)
			}
		})
	}
}

func TestAuth(t *testing.T) {
	certificate := smtptest.NewCertificate(t, t.TempDir())
	server := smtptest.Start(t, smtptest.Options{TLS: certificate.Server, User: "us", Password: "a secret"})
	t.Setenv("RECAPITO_TEST_RIGHT", "a secret")
	t.Setenv("RECAPITO_TEST_WRONG", "another")
	host := smtp.Host{Addr: server.Addr(), CAFile: certificate.CertFile, Username: "us", Password: channel.Secret{Env: "RECAPITO_TEST_RIGHT"}}
	s := settings(t)
	s.Hosts = []smtp.Host{host}
	r := startRoute(t, s, channel.Options{})
	if got := fate(r.Send(within(t, patience), message(1), always, nil)); got.Fate != notification.UnitAccepted {
		t.Fatalf("outcome %+v", got)
	}
	if got := server.Messages()[0]; got.User != "us" {
		t.Errorf("sent by %q", got.User)
	}
	for name, change := range map[string]func(h *smtp.Host){
		"5.7.8":                                  func(h *smtp.Host) { h.Password.Env = "RECAPITO_TEST_WRONG" },
		"does not offer the authentication mech": func(h *smtp.Host) { h.Auth = "login" },
	} {
		wrong := host
		change(&wrong)
		s := settings(t)
		s.Hosts = []smtp.Host{wrong}
		r := runRoute(t, s, channel.Options{})
		eventually(t, "the state says why", func() bool { err := r.State(); return err != nil && strings.Contains(err.Error(), name) })
		if err := r.State(); strings.Contains(err.Error(), "another") {
			t.Error("the state holds the password")
		}
	}
}

// TestHostThatNeverGreets: every wait for a host has an end.
func TestHostThatNeverGreets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	working := smtptest.Start(t, smtptest.Options{})
	s := settings(t, working)
	s.Hosts = append([]smtp.Host{{Addr: l.Addr().String(), TLS: smtp.TLSRequired}}, s.Hosts...)
	s.ConnectTimeout = 500 * time.Millisecond
	r := startRoute(t, s, channel.Options{})
	if got := fate(r.Send(within(t, patience), message(1), always, nil)); got.Fate != notification.UnitAccepted {
		t.Errorf("outcome %+v", got)
	}
}

// TestDrain: what was sent when the route is stopped gets its answer.
func TestDrain(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	server.Behave(smtptest.Behaviour{Latency: 100 * time.Millisecond})
	s := settings(t, server)
	s.DrainTimeout = patience
	r, err := s.Open(channel.Options{Name: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.State(); !errors.Is(err, channel.ErrRouteDown) {
		t.Errorf("before Run: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	eventually(t, "the route is up", func() bool { return r.State() == nil })
	got := make(chan channel.Outcome, 1)
	go func() { got <- r.Send(within(t, patience), message(1), always, nil) }()
	server.Wait(1)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if o := fate(<-got); o.Fate != notification.UnitAccepted {
		t.Errorf("outcome %+v", o)
	}
	if _, err := r.Acquire(within(t, patience), 1); !errors.Is(err, channel.ErrRouteDown) {
		t.Errorf("after the end: %v", err)
	}
	if o := fate(r.Send(within(t, patience), message(2), always, nil)); o != (notification.UnitOutcome{}) || len(server.Messages()) != 1 {
		t.Errorf("after the end: %+v", o)
	}
	if err := r.Run(context.Background()); err == nil {
		t.Error("a route runs twice")
	}
}

func TestDSNIsAskedFor(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	r := startRoute(t, settings(t, server), channel.Options{})
	m := message(1)
	r.Send(within(t, patience), m, always, nil)
	token, err := smtp.Token([]byte(bounceSecret), m.Reference)
	if err != nil {
		t.Fatal(err)
	}
	got := server.Messages()[0]
	if got.From != smtp.BounceMailbox(bounceBox, token) || got.Mail.EnvelopeID != token || got.Mail.Return != "HDRS" ||
		cmp.Diff([]string{"SUCCESS", "FAILURE", "DELAY"}, strs(got.Rcpt.Notify)) != "" || got.Rcpt.OriginalRecipient != m.Destination || got.Rcpt.OriginalRecipientType != "RFC822" {
		t.Errorf("ENVID %q, RET %q, NOTIFY %v", got.Mail.EnvelopeID, got.Mail.Return, got.Rcpt.Notify)
	}
	// Without a mailbox for bounces there is nobody to notify.
	s := settings(t, server)
	s.Bounce = smtp.Bounce{}
	startRoute(t, s, channel.Options{}).Send(within(t, patience), message(2), always, nil)
	if got := server.Messages()[1]; got.From != "clinic@example.org" || got.Mail.EnvelopeID != "" || got.Rcpt.Notify != nil {
		t.Errorf("ENVID %q, NOTIFY %v", got.Mail.EnvelopeID, got.Rcpt.Notify)
	}
}

func strs[T ~string](all []T) (out []string) {
	for _, s := range all {
		out = append(out, string(s))
	}
	return out
}
