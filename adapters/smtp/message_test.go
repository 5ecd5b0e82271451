package smtp_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/smtp"
	"recapito/adapters/smtp/smtptest"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// parsed is a message as a mail program shows it.
type parsed struct {
	subject, from, replyTo string
	text, html             string
	order                  []string // media types of the parts, in order
	files                  map[string][]byte
}

// parse reads a message with the standard library, which did not write it.
func parse(t *testing.T, data []byte) parsed {
	t.Helper()
	for i, line := range bytes.Split(data, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
			t.Errorf("line %d has %d bytes or a bare line break", i+1, len(line))
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p := parsed{files: map[string][]byte{}}
	var decoder mime.WordDecoder
	p.subject, err = decoder.DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Error(err)
	}
	for to, name := range map[*string]string{&p.from: "From", &p.replyTo: "Reply-To"} {
		if m.Header.Get(name) == "" {
			continue
		}
		a, err := mail.ParseAddress(m.Header.Get(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if *to = a.Address; a.Name != "" {
			*to = a.Name + " <" + a.Address + ">"
		}
	}
	p.read(t, m.Header.Get, m.Body)
	return p
}

func (p *parsed) read(t *testing.T, header func(string) string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	p.order = append(p.order, kind)
	if strings.HasPrefix(kind, "multipart/") {
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p.read(t, part.Header.Get, part)
		}
	}
	switch header("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if disposition, params, err := mime.ParseMediaType(header("Content-Disposition")); err == nil && disposition == "attachment" {
		name, err := new(mime.WordDecoder).DecodeHeader(params["filename"])
		if err != nil {
			t.Fatal(err)
		}
		p.files[name] = b
		return
	}
	switch kind {
	case "text/plain":
		p.text = string(b)
	case "text/html":
		p.html = string(b)
	}
}

// sent sends a message over a route and returns what arrived.
func sent(t *testing.T, change func(*smtp.Settings), m channel.Message) smtptest.Message {
	t.Helper()
	server := smtptest.Start(t, smtptest.Options{})
	s := settings(t, server)
	if change != nil {
		change(s)
	}
	o := channel.Options{Now: func() time.Time { return time.Date(2026, 12, 1, 8, 30, 0, 0, time.UTC) }}
	if got := fate(startRoute(t, s, o).Send(within(t, patience), m, always, nil)); got.Fate != notification.UnitAccepted {
		t.Fatalf("outcome %+v", got)
	}
	return server.Messages()[0]
}

func TestMessage(t *testing.T) {
	m := message(7)
	m.Sender = `"Müller, Söhne" <post@bücher.example>`
	m.Content = document(map[string]string{
		"subject": strings.Repeat("Größe ", 60), "html": "<p>ciao &amp; addio</p>", "text": "ciao & addio",
		"reply_to": "Front desk <desk@example.org>", "unsubscribe": "https://example.org/u/" + strings.Repeat("x", 800),
	})
	m.Content.Attachments = []content.Attachment{
		{Name: "größe.pdf", MediaType: "application/pdf; name=other.pdf", Data: []byte{0, 1, 2, 255}}, {Name: "a.txt", MediaType: "text/plain; charset=utf-8", Data: []byte("à\n.\n")},
	}
	got := sent(t, nil, m)
	p := parse(t, got.Data)
	if diff := cmp.Diff([]string{"multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf", "text/plain"}, p.order); diff != "" {
		t.Error(diff)
	}
	if p.subject != strings.TrimSpace(m.Content.Member("subject")) || p.from != "Müller, Söhne <post@xn--bcher-kva.example>" || p.replyTo != "Front desk <desk@example.org>" {
		t.Errorf("subject, from or reply-to differ: %q", p.from)
	}
	if p.text != "ciao & addio" || p.html != "<p>ciao &amp; addio</p>" || !bytes.Equal(p.files["größe.pdf"], []byte{0, 1, 2, 255}) || string(p.files["a.txt"]) != "à\n.\n" {
		t.Error("a part differs")
	}
	for name, want := range map[string]string{
		"Message-ID": "<" + m.Notification + ".1@xn--bcher-kva.example>", "Date": "Tue, 01 Dec 2026 08:30:00 +0000", "To": "<" + m.Destination + ">",
		"Auto-Submitted": "auto-generated", "MIME-Version": "1.0", "List-Unsubscribe": "<" + m.Content.Member("unsubscribe") + ">",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "User-Agent": "", "X-Mailer": "",
	} {
		if value := got.Header(name); value != want {
			t.Errorf("%s: %q", name, value)
		}
	}

	// One alternative makes no multipart; a mailto URL has no one-click.
	m.Content = document(map[string]string{"unsubscribe": "mailto:leave@example.org?subject=leave"})
	m.Sender = ""
	got = sent(t, nil, m)
	if p := parse(t, got.Data); cmp.Diff([]string{"text/plain"}, p.order) != "" || p.from != "Clinic <clinic@example.org>" {
		t.Errorf("parts %v, from %q", p.order, p.from)
	}
	if got.Header("List-Unsubscribe") != "<mailto:leave@example.org?subject=leave>" || got.Header("List-Unsubscribe-Post") != "" {
		t.Error("List-Unsubscribe differs")
	}
}

// TestBadMessages: nothing reaches a host, and the rule names the member and no value.
func TestBadMessages(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	s := settings(t, server)
	s.Sender = ""
	r := startRoute(t, s, channel.Options{})
	const secret = "hidden"
	for name, c := range map[string]struct {
		code   string
		change func(m *channel.Message)
	}{
		"subject with a line break":  {smtp.CodeInvalidContent, member("subject", secret+"\r\nBcc: x@example.org")},
		"subject with a control":     {smtp.CodeInvalidContent, member("subject", secret+"\x00")},
		"subject of blanks":          {smtp.CodeInvalidContent, member("subject", "  ")},
		"reply_to with a line break": {smtp.CodeInvalidContent, member("reply_to", secret+"@example.org\nBcc: x@example.org")},
		"reply_to no mailbox":        {smtp.CodeInvalidContent, member("reply_to", secret)},
		"unsubscribe by http":        {smtp.CodeInvalidContent, member("unsubscribe", "http://example.org/"+secret)},
		"unsubscribe with a bracket": {smtp.CodeInvalidContent, member("unsubscribe", "https://example.org/>,<"+secret)},
		"unsubscribe too long":       {smtp.CodeInvalidContent, member("unsubscribe", "https://example.org/"+strings.Repeat(secret, 200))},
		"no body":                    {smtp.CodeInvalidContent, member("text", "")},
		"composite attachment":       {smtp.CodeInvalidContent, attach("a.eml", "message/rfc822")},
		"attachment's type":          {smtp.CodeInvalidContent, attach("a", "text/plain\r\nBcc: "+secret)},
		"attachment's name":          {smtp.CodeInvalidContent, attach("a\r\nBcc: "+secret, "text/plain")},
		"no sender":                  {smtp.CodeInvalidSender, func(m *channel.Message) { m.Sender = "" }},
		"sender with a line break":   {smtp.CodeInvalidSender, func(m *channel.Message) { m.Sender = secret + "\r\nBcc: x <a@example.org>" }},
		"destination":                {smtp.CodeInvalidDestination, func(m *channel.Message) { m.Destination = secret + "@example.org>\r\nRCPT TO:<x@example.org" }},
		"reference":                  {smtp.CodeInvalidReference, func(m *channel.Message) { m.Reference = secret + ">\r\nX: 1/1" }},
		"reference without a UUID":   {smtp.CodeInvalidReference, func(m *channel.Message) { m.Reference = secret + "/1" }},
		"another kind of content":    {smtp.CodeInvalidContent, func(m *channel.Message) { m.Content = content.Document{Type: "sms", Version: 1} }},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(1)
			m.Sender = "clinic@example.org"
			c.change(&m)
			want := notification.UnitOutcome{Fate: notification.UnitRefused, Code: c.code}
			if diff := cmp.Diff(want, fate(r.Send(within(t, patience), m, always, nil))); diff != "" {
				t.Error(diff)
			}
			_, err := r.Units(m.Content)
			var rule *event.Rule
			if c.code == smtp.CodeInvalidContent && (!errors.As(err, &rule) || rule.Code != c.code) {
				t.Errorf("Units: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the rule holds the value")
			}
		})
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

func member(name, value string) func(*channel.Message) {
	return func(m *channel.Message) { m.Content = document(map[string]string{name: value}) }
}

func attach(name, mediaType string) func(*channel.Message) {
	return func(m *channel.Message) {
		m.Content = document(nil)
		m.Content.Attachments = []content.Attachment{{Name: name, MediaType: mediaType, Data: []byte("x")}}
	}
}

// dkimKey is a key in a file, and its record in the DNS.
type dkimKey struct{ file, record string }

func newDKIMKeys(t *testing.T) (rsaKey, edKey dkimKey) {
	t.Helper()
	write := func(name string, key crypto.Signer, kind string, public []byte) dkimKey {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return dkimKey{file, "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)}
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&r.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return write("rsa.pem", r, "rsa", public), write("ed25519.pem", e, "ed25519", edPublic)
}

// signedMessage returns a message signed with both keys, as it arrived, and their records.
func signedMessage(t *testing.T) (data []byte, records map[string]string) {
	t.Helper()
	rsaKey, edKey := newDKIMKeys(t)
	m := message(3)
	m.Content = document(map[string]string{
		"subject": "Perché no?", "html": "<p>.</p>\n.\n<p>trailing  </p>", "unsubscribe": "https://example.org/u/1", "text": ".\n..\n trailing  \n\n\n",
	})
	got := sent(t, func(s *smtp.Settings) {
		s.DKIM = []smtp.DKIM{{Domain: "example.org", Selector: "r1", KeyFile: rsaKey.file}, {Domain: "example.org", Selector: "e1", KeyFile: edKey.file}}
	}, m)
	return got.Data, map[string]string{"r1._domainkey.example.org": rsaKey.record, "e1._domainkey.example.org": edKey.record}
}

func TestDKIM(t *testing.T) {
	data, records := signedMessage(t)
	verify := func(data []byte) (passed int) {
		t.Helper()
		all, err := dkim.VerifyWithOptions(bytes.NewReader(data), &dkim.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) { return []string{records[name]}, nil },
		})
		if err != nil || len(all) != 2 {
			t.Fatalf("%d signatures, %v", len(all), err)
		}
		for _, v := range all {
			if v.Err == nil {
				passed++
			}
			if !strings.Contains(strings.Join(v.HeaderKeys, ","), "List-Unsubscribe-Post") {
				t.Errorf("signed fields: %v", v.HeaderKeys)
			}
		}
		return passed
	}
	if n := verify(data); n != 2 {
		t.Errorf("%d of 2 signatures hold", n)
	}
	for name, change := range map[string][]byte{
		"a changed subject": bytes.Replace(data, []byte("Subject: "), []byte("Subject: Re: "), 1),
		"a changed body":    bytes.Replace(data, []byte("trailing"), []byte("Trailing"), 1),
		"another URL":       bytes.Replace(data, []byte("/u/1"), []byte("/u/2"), 1),
		"one more From":     append([]byte("From: someone@example.org\r\n"), data...),
	} {
		if bytes.Equal(change, data) {
			t.Fatalf("%s: nothing changed", name)
		}
		if n := verify(change); n != 0 {
			t.Errorf("%s: %d signatures hold", name, n)
		}
	}
}
