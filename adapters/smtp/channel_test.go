package smtp_test

import (
	"fmt"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"recapito/adapters/smtp"
	"recapito/adapters/smtp/smtptest"
	"recapito/commands/channel"
	"recapito/commands/channel/channeltest"
	"recapito/domain/content"
)

var (
	refusedForGood   = &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user someone@example.org"}
	refusedForNow    = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 7, 1}, Message: "greylisted someone@example.org"}
	refusedAsBusy    = &gosmtp.SMTPError{Code: 450, EnhancedCode: gosmtp.EnhancedCode{4, 7, 28}, Message: "too many messages"}
	hostUnavailable  = &gosmtp.SMTPError{Code: 421, EnhancedCode: gosmtp.EnhancedCode{4, 3, 2}, Message: "shutting down"}
	withoutEnhanced  = &gosmtp.SMTPError{Code: 552, EnhancedCode: gosmtp.NoEnhancedCode, Message: "too much"}
	unknownTransient = &gosmtp.SMTPError{Code: 459, EnhancedCode: gosmtp.EnhancedCode{4, 99, 99}, Message: "odd"}
)

// TestChannel: a route against a server of go-smtp, over TCP, is a channel.
func TestChannel(t *testing.T) {
	channeltest.Run(t, func(t *testing.T, sink channel.ReceiptSink) channeltest.Peer {
		server := smtptest.Start(t, smtptest.Options{})
		s := settings(t, server)
		s.Concurrency = 5
		s.CheckInterval = 50 * time.Millisecond
		r := startRoute(t, s, channel.Options{Receipts: sink})
		over := document(nil)
		for range content.MaxAttachments + 1 {
			over.Attachments = append(over.Attachments, content.Attachment{Name: "a", MediaType: "text/plain"})
		}
		return channeltest.Peer{
			Channel:     r,
			MaxUnits:    1,
			TooLong:     over,
			TooLongCode: smtp.CodeInvalidContent,
			Capacity:    s.Concurrency,
			Late:        true,
			Cut:         server.Cut,
			Down:        server.Stop,
			Message:     func(n, _ int) channel.Message { return message(n) },
			Behave: func(b channeltest.Behaviour) {
				to := smtptest.Behaviour{Silent: b.Silent, Latency: b.Latency}
				switch {
				case b.Refuse:
					to.Data = refusedForGood
				case b.Busy:
					to.Data = refusedAsBusy
				case b.RefuseForNow:
					to.Data = refusedForNow
				}
				server.Behave(to)
			},
			Arrived: func() (all []channeltest.Arrival) {
				for _, m := range server.Messages() {
					reference, err := smtp.ParseToken(m.Mail.EnvelopeID, []byte(bounceSecret))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, channeltest.Arrival{Reference: reference, Unit: 1})
				}
				return all
			},
		}
	})
}

const (
	patience     = 10 * time.Second
	bounceSecret = "a secret of the tests"
	bounceBox    = "bounce@mail.example.org"
)

// settings are those of a route to servers without TLS, in order.
func settings(t *testing.T, servers ...*smtptest.Server) *smtp.Settings {
	t.Helper()
	t.Setenv("RECAPITO_TEST_BOUNCE_SECRET", bounceSecret)
	s, ok := smtp.Kind.Settings().(*smtp.Settings)
	if !ok {
		t.Fatal("the kind's settings are of another type")
	}
	for _, server := range servers {
		s.Hosts = append(s.Hosts, smtp.Host{Addr: server.Addr(), TLS: smtp.TLSNone})
	}
	s.Sender = "Clinic <clinic@example.org>"
	s.Hello = "recapito.example.org"
	s.Bounce = smtp.Bounce{Mailbox: bounceBox, Secret: channel.Secret{Env: "RECAPITO_TEST_BOUNCE_SECRET"}}
	s.RetryMin, s.RetryMax, s.DrainTimeout = 10*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	s.CommandTimeout, s.ConnectTimeout = 5*time.Second, 5*time.Second
	return s
}

// startRoute runs a route until the test ends, and waits until it is up.
func startRoute(t *testing.T, s *smtp.Settings, o channel.Options) channel.Route {
	t.Helper()
	r := runRoute(t, s, o)
	eventually(t, "the route is up", func() bool { return r.State() == nil })
	return r
}

func document(members map[string]string) content.Document {
	d := content.Document{Type: content.Email.Name, Version: content.Email.Version, Members: map[string]string{
		"subject": "Your appointment", "text": "See you on 1 December.",
	}}
	for name, value := range members {
		d.Members[name] = value
	}
	return d
}

func message(n int) channel.Message {
	notification := fmt.Sprintf("019a0000-0000-7000-8000-%012d", n)
	return channel.Message{
		Notification: notification, Attempt: 1, Reference: notification + "/1",
		Destination: fmt.Sprintf("person%d@example.net", n), Content: document(nil),
	}
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

func always() bool { return true }
