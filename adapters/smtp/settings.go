package smtp

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"recapito/commands/channel"
	"recapito/domain/address"
)

// Limits of a route's settings.
const (
	maxHosts       = 16
	maxConcurrency = 1000
	maxSignatures  = 4
	minSecretBytes = 16
	// maxBounceLocal leaves room for + and a token in a local part (RFC 5321 section
	// 4.5.3.1.1).
	maxBounceLocal = 64 - 1 - MaxTokenBytes
)

// TLS is a host's policy on TLS. The least version is 1.2.
type TLS string

// The policies. Only required and implicit check the server's certificate.
const (
	TLSNone          TLS = "none"
	TLSOpportunistic TLS = "opportunistic" // STARTTLS where the host offers it
	TLSRequired      TLS = "required"      // STARTTLS, or the host is not used
	TLSImplicit      TLS = "implicit"      // TLS from the first byte (RFC 8314)
)

// Settings are the settings of a route.
type Settings struct {
	Hosts       []Host `yaml:"hosts" doc:"the smart hosts: the first that works, by priority and then in this order, takes a message"`
	Sender      string `yaml:"sender" doc:"the sender of a message that names none: a mailbox, or Name <mailbox>"`
	Hello       string `yaml:"hello" doc:"the name given with EHLO; this machine's if left out"`
	Concurrency int    `yaml:"concurrency" doc:"how many messages are sent at once"`
	Bounce      Bounce `yaml:"bounce" doc:"the envelope sender; if left out it is the sender's mailbox and no DSN is asked for"`
	DKIM        []DKIM `yaml:"dkim" doc:"the DKIM signatures of every message; none if left out"`

	ConnectTimeout    time.Duration `yaml:"connect_timeout" doc:"to connect, with TLS and AUTH"`
	CommandTimeout    time.Duration `yaml:"command_timeout" doc:"to write, and for the answer to each command"`
	SubmissionTimeout time.Duration `yaml:"submission_timeout" doc:"for the answer to the final dot"`
	IdleTimeout       time.Duration `yaml:"idle_timeout" doc:"how long an unused connection is kept"`
	MessagesPerConn   int           `yaml:"messages_per_connection" doc:"after how many messages a connection is closed"`
	CheckInterval     time.Duration `yaml:"check_interval" doc:"how often a host without traffic is checked"`
	RetryMin          time.Duration `yaml:"retry_min" doc:"the first wait before a failed host is tried again"`
	RetryMax          time.Duration `yaml:"retry_max" doc:"the longest wait before a failed host is tried again"`
	DrainTimeout      time.Duration `yaml:"drain_timeout" doc:"how long a stop waits for answers"`
	LateLimit         int           `yaml:"late_limit" doc:"how many messages may wait for an answer that is late"`
}

// Host is one smart host.
type Host struct {
	Addr               string         `yaml:"addr" doc:"host:port"`
	Priority           int            `yaml:"priority" doc:"the least is used first"`
	TLS                TLS            `yaml:"tls" doc:"none, opportunistic, required or implicit; required if left out"`
	CAFile             string         `yaml:"ca_file" doc:"PEM certificates to trust instead of the system's"`
	ServerName         string         `yaml:"server_name" doc:"the name in the host's certificate; that of addr if left out"`
	Username           string         `yaml:"username" doc:"for AUTH; none if left out"`
	Password           channel.Secret `yaml:"password" doc:"for AUTH"`
	Auth               string         `yaml:"auth" doc:"plain or login; what the host offers if left out, plain first"`
	AllowPlaintextAuth bool           `yaml:"allow_plaintext_auth" doc:"whether the password may go over a connection whose certificate is not checked"`
}

// Bounce is the envelope sender: a sub-address of the mailbox that names the attempt.
type Bounce struct {
	Mailbox string         `yaml:"mailbox" doc:"takes bounces and DSNs, for its sub-addresses too: bounce+<token>@domain"`
	Secret  channel.Secret `yaml:"secret" doc:"signs the token; at least 16 bytes"`
}

func defaults() *Settings {
	return &Settings{
		Concurrency:    10,
		ConnectTimeout: 15 * time.Second, CommandTimeout: 30 * time.Second, SubmissionTimeout: 5 * time.Minute,
		IdleTimeout: 30 * time.Second, MessagesPerConn: 100, CheckInterval: time.Minute,
		RetryMin: time.Second, RetryMax: 2 * time.Minute, DrainTimeout: 5 * time.Second, LateLimit: 100,
	}
}

// NeedsSender implements channel.NeedsSender.
func (s *Settings) NeedsSender() bool { return s.Sender == "" }

// Validate implements channel.Settings.
func (s *Settings) Validate() error {
	var p problems
	p.check(len(s.Hosts) > 0 && len(s.Hosts) <= maxHosts, "hosts", "must be 1 to %d", maxHosts)
	for i, h := range s.Hosts {
		h.validate(&p, fmt.Sprintf("hosts[%d].", i))
	}
	if s.Sender != "" {
		p.add("sender", checkSender(s.Sender))
	}
	p.check(s.Hello == "" || isName(s.Hello), "hello", "must be a domain name or an address literal")
	p.check(s.Concurrency >= 1 && s.Concurrency <= maxConcurrency, "concurrency", "must be 1 to %d", maxConcurrency)
	s.Bounce.validate(&p)
	p.check(len(s.DKIM) <= maxSignatures, "dkim", "must be at most %d", maxSignatures)
	for i, d := range s.DKIM {
		d.validate(&p, fmt.Sprintf("dkim[%d].", i))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"connect_timeout", s.ConnectTimeout}, {"command_timeout", s.CommandTimeout}, {"submission_timeout", s.SubmissionTimeout},
		{"idle_timeout", s.IdleTimeout}, {"check_interval", s.CheckInterval}, {"retry_min", s.RetryMin},
		{"retry_max", s.RetryMax}, {"drain_timeout", s.DrainTimeout},
	} {
		p.check(d.value > 0, d.key, "must be above 0")
	}
	p.check(s.RetryMax >= s.RetryMin, "retry_max", "must be at least retry_min")
	p.check(s.MessagesPerConn >= 1, "messages_per_connection", "must be at least 1")
	p.check(s.LateLimit >= 0, "late_limit", "must not be negative")
	return errors.Join(p...)
}

func (h Host) validate(p *problems, at string) {
	host, port, err := net.SplitHostPort(h.Addr)
	number, wrong := strconv.ParseUint(port, 10, 16)
	p.check(err == nil && host != "" && wrong == nil && number > 0, at+"addr", "must be host:port, with a port from 1 to 65535")
	p.check(slices.Contains([]TLS{"", TLSNone, TLSOpportunistic, TLSRequired, TLSImplicit}, h.TLS), at+"tls", "must be none, opportunistic, required or implicit")
	verified := h.tls() == TLSRequired || h.tls() == TLSImplicit
	p.check(verified || h.CAFile == "", at+"ca_file", "needs tls required or implicit: no other policy checks the certificate")
	if h.CAFile != "" {
		_, err := certificates(h.CAFile)
		p.add(at+"ca_file", err)
	}
	p.check(slices.Contains([]string{"", authPlain, authLogin}, h.Auth), at+"auth", "must be plain or login")
	switch {
	case h.Username == "":
		p.check(!h.Password.Given() && h.Auth == "", at+"username", "is required with password or auth")
	case !verified && !h.AllowPlaintextAuth:
		p.check(false, at+"username", "needs tls required or implicit, or allow_plaintext_auth")
	default:
		_, err := h.Password.Read()
		p.add(at+"password", err)
	}
}

func (h Host) tls() TLS {
	if h.TLS == "" {
		return TLSRequired
	}
	return h.TLS
}

func (b Bounce) validate(p *problems) {
	if b.Mailbox == "" {
		p.check(!b.Secret.Given(), "bounce.mailbox", "is required with a secret")
		return
	}
	normal, err := address.Email.Normalise(b.Mailbox)
	p.add("bounce.mailbox", err)
	local := strings.LastIndexByte(normal, '@')
	p.check(err != nil || ascii(normal) && local <= maxBounceLocal && !strings.HasPrefix(normal, `"`), "bounce.mailbox",
		"must have a local part of at most %d ASCII characters without quotes", maxBounceLocal)
	secret, err := b.Secret.Read()
	p.add("bounce.secret", err)
	p.check(err != nil || len(secret) >= minSecretBytes, "bounce.secret", "must have at least %d bytes", minSecretBytes)
}

func (d DKIM) validate(p *problems, at string) {
	for key, name := range map[string]string{"domain": d.Domain, "selector": d.Selector} {
		p.check(isName(name) && !strings.ContainsAny(name, ":[]"), at+key, "must be a name of the DNS")
	}
	p.check(len(d.Headers) == 0 || slices.ContainsFunc(d.Headers, func(h string) bool { return strings.EqualFold(h, "From") }), at+"headers", "must hold From")
	for _, h := range d.Headers {
		p.check(isName(h) && !strings.ContainsAny(h, ":[]"), at+"headers", "must be names of header fields")
	}
	if d.KeyFile == "" {
		p.check(false, at+"key_file", "is required")
		return
	}
	_, err := d.signer()
	p.add(at+"key_file", err)
}

// isName reports whether a text is safe as a name in a command or a header: letters,
// digits, dots, hyphens, underscores, and the characters of an address literal.
func isName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-:[]", r)
	})
}

// problems are what is wrong with settings; each begins with its key.
type problems []error

func (p *problems) check(ok bool, key, rule string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(key+": "+rule, args...))
	}
}

func (p *problems) add(key string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", key, err))
	}
}

var _ channel.Settings = (*Settings)(nil)
