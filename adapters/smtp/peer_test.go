package smtp_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/adapters/smtp"
	"recapito/adapters/smtp/smtptest"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
)

// TestPostfix: a real smart host takes a message over STARTTLS, the sink behind it reads
// it back, and Postfix's own notification of the delivery names the attempt.
func TestPostfix(t *testing.T) {
	postfix := smtptest.StartPostfix(t)
	s := settings(t)
	s.Hosts = []smtp.Host{{Addr: postfix.Addr(), TLS: smtp.TLSRequired, CAFile: postfix.Certificate.CertFile, ServerName: smtptest.CertificateName}}
	r := startRoute(t, s, channel.Options{})
	m := message(1)
	m.Sender = "Città di Roma <avvisi@roma.example>"
	m.Content = document(map[string]string{
		"subject": "Perché no? – appuntamento", "html": "<p>Ci vediamo il 1° dicembre</p>",
		"text": ".\nCi vediamo il 1° dicembre.\n..\n", "unsubscribe": "https://roma.example/u/1",
	})
	m.Content.Attachments = []content.Attachment{{Name: "mappa.bin", MediaType: "application/octet-stream", Data: bytes.Repeat([]byte{0, 1, 255, '\n', '.'}, 5000)}}
	out := r.Send(within(t, patience), m, always, nil)
	if out.Units[0].Fate != notification.UnitAccepted || out.Units[0].ProviderID != m.Notification+".1" {
		t.Fatalf("outcome %+v", out)
	}
	var message, notice *smtptest.Message
	for _, got := range postfix.Sink.Wait(2) {
		if got.From == "" {
			notice = &got
		} else {
			message = &got
		}
	}
	if message == nil || notice == nil {
		t.Fatal("the sink has not got the message and its notification")
	}
	parsed := parse(t, message.Data)
	if message.To != m.Destination || parsed.subject != "Perché no? – appuntamento" || parsed.from != "Città di Roma <avvisi@roma.example>" {
		t.Errorf("the message's headers differ")
	}
	if parsed.text != ".\r\nCi vediamo il 1° dicembre.\r\n..\r\n" || parsed.html != m.Content.Member("html") || !bytes.Equal(parsed.files["mappa.bin"], m.Content.Attachments[0].Data) {
		t.Errorf("the message's parts differ: text %q", parsed.text)
	}
	if received := message.Header("Received"); !strings.Contains(received, "ESMTPS") || !strings.Contains(received, "recapito.example.org") {
		t.Errorf("it came otherwise than over TLS: %s", received)
	}
	for what, recipient := range map[string]string{"the envelope sender": message.From, "the recipient of the notification": notice.To} {
		if reference, err := smtp.ParseBounce(bounceBox, recipient, []byte(bounceSecret)); err != nil || reference != m.Reference {
			t.Errorf("%s names %q, %v", what, reference, err)
		}
	}
	token, err := smtp.Token([]byte(bounceSecret), m.Reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(notice.Data, []byte("Original-Envelope-Id: "+token)) || !bytes.Contains(notice.Data, []byte("Action: relayed")) {
		t.Errorf("the notification:\n%s", notice.Data)
	}
	for destination, want := range map[string]notification.UnitOutcome{
		smtptest.RefusedMailbox:  {Fate: notification.UnitRefused, Code: "5.1.1"},
		smtptest.DeferredMailbox: {Fate: notification.UnitRefused, Code: "4.2.1", Transient: true},
	} {
		m.Destination = destination
		if diff := cmp.Diff(want, fate(r.Send(within(t, patience), m, always, nil))); diff != "" {
			t.Error(diff)
		}
	}
}
