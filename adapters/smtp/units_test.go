package smtp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"recapito/adapters/smtp"
	"recapito/commands/channel"
	"recapito/domain/address"
)

func TestToken(t *testing.T) {
	const reference = "019a0000-0000-7000-8000-000000000001/3"
	token, err := smtp.Token([]byte("the first secret"), reference)
	if err != nil || token != strings.ToLower(token) || len(token) > smtp.MaxTokenBytes {
		t.Fatalf("token of %d characters, %v", len(token), err)
	}
	for _, secrets := range [][][]byte{{[]byte("the first secret")}, {[]byte("the second secret"), []byte("the first secret")}} {
		if got, err := smtp.ParseToken(strings.ToUpper(token), secrets...); err != nil || got != reference {
			t.Errorf("%q, %v", got, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "cut": token[1:], "longer": token + "a", "changed": flip(token, 0), "changed attempt": flip(token, 27),
		"changed MAC": flip(token, len(token)-1), "no base32": "!" + token[1:], "too long": strings.Repeat("a", 1000),
	} {
		if got, err := smtp.ParseToken(bad, []byte("the first secret")); !errors.Is(err, smtp.ErrToken) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := smtp.ParseToken(token, []byte("another secret")); !errors.Is(err, smtp.ErrToken) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := smtp.ParseToken(token); !errors.Is(err, smtp.ErrToken) {
		t.Errorf("no secret: %v", err)
	}
	for _, bad := range []string{"", "x/1", "019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000001/0", "019A0000-0000-7000-8000-00000000000A/1", "019a0000-0000-7000-8000-000000000001/99999999"} {
		if _, err := smtp.Token([]byte("the first secret"), bad); err == nil {
			t.Errorf("a token for %q", bad)
		}
	}
}

// flip changes one character of a token to another of its alphabet.
func flip(token string, at int) string {
	by := "a"
	if token[at] == 'a' {
		by = "q"
	}
	return token[:at] + by + token[at+1:]
}

func TestBounce(t *testing.T) {
	const reference = "019a0000-0000-7000-8000-000000000001/200"
	secret := []byte("the first secret")
	token, err := smtp.Token(secret, reference)
	if err != nil {
		t.Fatal(err)
	}
	sender := smtp.BounceMailbox("bounce@example.org", token)
	if _, err := address.Email.Normalise(sender); err != nil || sender != "bounce+"+token+"@example.org" {
		t.Errorf("%q: %v", sender, err)
	}
	for _, recipient := range []string{sender, strings.ToUpper(sender)} {
		if got, err := smtp.ParseBounce("bounce@example.org", recipient, secret); err != nil || got != reference {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, recipient := range []string{"", "bounce@example.org", "bounce+@example.org", "other+" + token + "@example.org", "bounce+" + token + "@example.com", "bounce+" + flip(token, 3) + "@example.org"} {
		if _, err := smtp.ParseBounce("bounce@example.org", recipient, secret); !errors.Is(err, smtp.ErrToken) {
			t.Errorf("%q: %v", recipient, err)
		}
	}
}

func FuzzParseBounce(f *testing.F) {
	secret := []byte("the first secret")
	token, err := smtp.Token(secret, "019a0000-0000-7000-8000-000000000001/3")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("bounce+" + token + "@example.org")
	f.Add("BOUNCE+" + token + "@EXAMPLE.ORG")
	f.Add("bounce+@example.org")
	f.Add("@")
	f.Fuzz(func(t *testing.T, recipient string) {
		reference, err := smtp.ParseBounce("bounce@example.org", recipient, secret)
		if err != nil {
			if !errors.Is(err, smtp.ErrToken) || reference != "" {
				t.Fatalf("%q, %v", reference, err)
			}
			return
		}
		again, err := smtp.Token(secret, reference)
		if err != nil || !strings.EqualFold(smtp.BounceMailbox("bounce@example.org", again), recipient) {
			t.Fatal("what was parsed is not what a token says")
		}
	})
}

func TestParseSender(t *testing.T) {
	for sender, want := range map[string]struct{ name, mailbox string }{
		"a@example.org":                        {"", "a@example.org"},
		" <a@example.org> ":                    {"", "a@example.org"},
		"A <a@example.org>":                    {"A", "a@example.org"},
		`"B, C" <a@example.org>`:               {"B, C", "a@example.org"},
		`"say \"hi\"" <a@example.org>`:         {`say "hi"`, "a@example.org"},
		"Città   di Roma <a@bücher.example>":   {"Città di Roma", "a@xn--bcher-kva.example"},
		"Ω <perché@example.org>":               {"Ω", "perché@example.org"},
		"support@example.org <a@example.org>":  {"support@example.org", "a@example.org"},
		`"quoted local"@example.org`:           {"", `"quoted local"@example.org`},
		`Name <"quoted local"@EXAMPLE.org>   `: {"Name", `"quoted local"@example.org`},
	} {
		got, err := smtp.ParseSender(sender)
		if err != nil || got.Name != want.name || got.Address != want.mailbox {
			t.Errorf("%q: %q, %q, %v", sender, got.Name, got.Address, err)
		}
		if smtp.Kind.Sender(sender) != nil {
			t.Errorf("%q is refused", sender)
		}
	}
	for _, bad := range []string{
		"", "hidden", "hidden@", "Hidden <>", "hidden@example.org>", "A <hidden@example.org> B", "A <hidden@example.org>, b@example.org", "<hidden@example.org> <b@example.org>",
		"A\r\nBcc: hidden@example.org <a@example.org>", "A\n <hidden@example.org>", "hidden@example.org\r\n", `"A <hidden@example.org>`, "A\x00 <hidden@example.org>", "\xff <hidden@example.org>",
		strings.Repeat("hidden", 100) + " <a@example.org>",
	} {
		if err := smtp.Kind.Sender(bad); err == nil || strings.Contains(strings.ToLower(err.Error()), "hidden") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseSender(f *testing.F) {
	for _, seed := range []string{"a@example.org", `"B, C" <a@example.org>`, "Ω <perché@example.org>", "A\r\nBcc: x <a@example.org>", "<<>>", `"\"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sender string) {
		got, err := smtp.ParseSender(sender)
		if err != nil {
			return
		}
		if strings.ContainsAny(got.Name+got.Address, "\r\n\x00") {
			t.Fatal("a control character passed")
		}
		again, err := smtp.ParseSender(got.Address)
		if err != nil || again.Address != got.Address {
			t.Fatal("a mailbox that was normalised is refused or changed")
		}
	})
}

func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range smtp.Kind.Codes.List() {
		got, ok := smtp.Kind.Codes.Lookup(c.Code)
		if !ok || got != c || c.Meaning == "" || seen[c.Code] {
			t.Errorf("%+v: found %+v, %v, twice %v", c, got, ok, seen[c.Code])
		}
		seen[c.Code] = true
	}
	for code, want := range map[string]channel.Class{
		"5.1.1": channel.Permanent, "4.2.2": channel.Transient, "4.3.2": channel.Busy, "421": channel.Busy, "452": channel.Busy, "450": channel.Transient,
		"550": channel.Permanent, "4.7.1": channel.Transient, "4.7.28": channel.Busy, "5.7.1": channel.Permanent, smtp.CodeConnectionLost: channel.Transient,
	} {
		if got, ok := smtp.Kind.Codes.Lookup(code); !ok || got.Class != want {
			t.Errorf("%s: %+v, %v", code, got, ok)
		}
	}
	for code, want := range map[string]channel.Class{"5.99.1": channel.Permanent, "4.99.1": channel.Transient, "599": channel.Permanent, "499": channel.Transient, "odd": channel.Transient} {
		if got, ok := smtp.Kind.Codes.Lookup(code); ok || got.Class != want {
			t.Errorf("%s: %+v, %v", code, got, ok)
		}
	}
	if smtp.Kind.Codes.Version == "" {
		t.Error("the table has no version")
	}
}

const goodSettings = `
hosts:
  - {addr: "mx1.example.org:587", priority: 10, tls: required, server_name: mx1.example.org, username: us, password: {file: %q}}
  - {addr: "127.0.0.1:25", priority: 20, tls: opportunistic}
sender: Clinic <clinic@example.org>
hello: recapito.example.org
concurrency: 20
bounce: {mailbox: bounce@mail.example.org, secret: {file: %q}}
dkim:
  - {domain: example.org, selector: s1, key_file: %q}
idle_timeout: 20s
`

func TestSettings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rsaKey, edKey := newDKIMKeys(t)
	decode := func(text string) *smtp.Settings {
		t.Helper()
		s, _ := smtp.Kind.Settings().(*smtp.Settings)
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, key := range []dkimKey{rsaKey, edKey} {
		s := decode(fmt.Sprintf(goodSettings, secret, secret, key.file))
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		if s.IdleTimeout != 20*time.Second || s.MessagesPerConn != 100 || s.Hosts[1].TLS != smtp.TLSOpportunistic {
			t.Errorf("settings %+v", s)
		}
	}
	for want, text := range map[string]string{
		"hosts: ":                         "sender: a@example.org",
		"hosts[0].addr: ":                 "hosts: [{addr: example.org}]",
		"hosts[0].tls: ":                  "hosts: [{addr: 'a:25', tls: maybe}]",
		"hosts[0].ca_file: ":              "hosts: [{addr: 'a:25', ca_file: /nowhere}]",
		"hosts[0].username: needs":        "hosts: [{addr: 'a:25', tls: opportunistic, username: us, password: {file: " + secret + "}}]",
		"hosts[0].username: is req":       "hosts: [{addr: 'a:25', password: {file: " + secret + "}}]",
		"hosts[0].password: ":             "hosts: [{addr: 'a:25', username: us}]",
		"hosts[0].auth: ":                 "hosts: [{addr: 'a:25', username: us, auth: cram-md5}]",
		"sender: ":                        "sender: hidden",
		"hello: ":                         `hello: "a\r\nMAIL"`,
		"concurrency: ":                   "concurrency: 0",
		"bounce.mailbox: must have":       "bounce: {mailbox: a-very-long-local-part@example.org, secret: {file: " + secret + "}}",
		"bounce.mailbox: must be":         "bounce: {mailbox: hidden, secret: {file: " + secret + "}}",
		"bounce.mailbox: is req":          "bounce: {secret: {file: " + secret + "}}",
		"bounce.secret: must have one of": "bounce: {mailbox: bounce@example.org}",
		"bounce.secret: is empty":         "bounce: {mailbox: bounce@example.org, secret: {env: RECAPITO_TEST_ABSENT}}",
		"bounce.secret: must have one of file, env and value": "bounce: {mailbox: bounce@example.org, secret: {env: A, file: /nowhere}}",
		"dkim[0].domain: ":           "dkim: [{selector: s, key_file: " + rsaKey.file + "}]",
		"dkim[0].selector: ":         "dkim: [{domain: example.org, selector: 's; x', key_file: " + rsaKey.file + "}]",
		"dkim[0].key_file: is req":   "dkim: [{domain: example.org, selector: s}]",
		"dkim[0].key_file: is no":    "dkim: [{domain: example.org, selector: s, key_file: " + secret + "}]",
		"dkim[0].headers: must hold": "dkim: [{domain: example.org, selector: s, headers: [Subject], key_file: " + rsaKey.file + "}]",
		"dkim[0].headers: must be":   "dkim: [{domain: example.org, selector: s, headers: [From, 'a:b'], key_file: " + rsaKey.file + "}]",
		"idle_timeout: ":             "idle_timeout: 0s",
		"retry_max: ":                "{retry_min: 10s, retry_max: 1s}",
		"messages_per_connection: ":  "messages_per_connection: 0",
		"late_limit: ":               "late_limit: -1",
	} {
		err := decode(text).Validate()
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", want, err)
			continue
		}
		found := false
		for _, line := range strings.Split(err.Error(), "\n") {
			found = found || strings.HasPrefix(line, want)
		}
		if !found {
			t.Errorf("no problem begins with %q:\n%v", want, err)
		}
	}
	if _, err := decode("concurrency: 0").Open(channel.Options{Name: "mail"}); err == nil {
		t.Error("settings that are not valid are opened")
	}
}
