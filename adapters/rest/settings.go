package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"recapito/commands/channel"
	"recapito/commands/channel/netguard"
	"recapito/domain/receipt"
)

// Limits of a route's settings.
const (
	maxConnections   = 1000
	maxHeaders       = 50
	maxSecrets       = 4
	maxResponseBytes = 1 << 20
	maxCallbackBytes = 8 << 20
	maxDuration      = time.Hour
)

// Settings are the settings of a route. Templates are Liquid over address, sender,
// reference, notification, attempt, content.body, content.media_type and callback_url.
type Settings struct {
	Method    string            `yaml:"method" doc:"GET, POST, PUT, PATCH or DELETE; GET and DELETE have no body"`
	URL       string            `yaml:"url" doc:"a template; scheme, host and port are fixed, values are percent-encoded"`
	Headers   map[string]string `yaml:"headers" doc:"templates by header; a value with a line break is refused"`
	Body      string            `yaml:"body" doc:"a template, escaped for media_type; if left out, the content's body as it is"`
	MediaType string            `yaml:"media_type" doc:"of the body template; a content without its own is sent with it too"`
	Sender    string            `yaml:"sender" doc:"the sender of a message that names none"`
	Auth      Auth              `yaml:"auth" doc:"the route's credentials; none if left out"`
	Signature Signature         `yaml:"signature" doc:"signs each request; none if left out"`
	TLS       TLS               `yaml:"tls" doc:"of https"`

	AllowNetworks    []string      `yaml:"allow_networks" doc:"private networks that may be connected to, such as 10.1.0.0/16"`
	Connections      int           `yaml:"connections" doc:"how many messages are sent at once"`
	Rate             float64       `yaml:"rate" doc:"messages a second; 0: no limit"`
	ConnectTimeout   time.Duration `yaml:"connect_timeout" doc:"to connect, with TLS"`
	Timeout          time.Duration `yaml:"timeout" doc:"for one call, from its connection to the end of the response"`
	IdleTimeout      time.Duration `yaml:"idle_timeout" doc:"how long an unused connection is kept: less than the service keeps it"`
	DrainTimeout     time.Duration `yaml:"drain_timeout" doc:"how long a stop waits for responses"`
	MaxResponseBytes int64         `yaml:"max_response_bytes" doc:"how much of a response is read"`

	Response Response                  `yaml:"response" doc:"how a response is read"`
	Statuses map[string]receipt.Status `yaml:"statuses" doc:"the service's words: delivered, undelivered, read or intermediate; a word that is not listed is intermediate"`
	Callback Callback                  `yaml:"callback" doc:"how the service reports; none if left out"`
}

// Auth are the credentials of requests.
type Auth struct {
	Type     string         `yaml:"type" doc:"basic or bearer"`
	Username string         `yaml:"username" doc:"of basic"`
	Secret   channel.Secret `yaml:"secret" doc:"the password or the token"`
}

// Signature is an HMAC-SHA256 over a body.
type Signature struct {
	Scheme          string           `yaml:"scheme" doc:"standard-webhooks, or hmac-sha256 with the keys below"`
	Secrets         []channel.Secret `yaml:"secrets" doc:"the first signs; any of them verifies, and standard-webhooks signs with all"`
	Header          string           `yaml:"header" doc:"of hmac-sha256; X-Signature if left out"`
	TimestampHeader string           `yaml:"timestamp_header" doc:"of hmac-sha256 over timestamp.body: Unix seconds; X-Timestamp if left out"`
	Over            string           `yaml:"over" doc:"body, or timestamp.body (the default), which an old request does not satisfy"`
	Encoding        string           `yaml:"encoding" doc:"hex (the default) or base64"`
	Prefix          string           `yaml:"prefix" doc:"before the encoded signature, such as sha256="`
	Tolerance       time.Duration    `yaml:"tolerance" doc:"how far a timestamp may be from now"`
}

// TLS are the settings of https.
type TLS struct {
	CAFile          string `yaml:"ca_file" doc:"PEM certificates to trust instead of the system's"`
	CertificateFile string `yaml:"certificate_file" doc:"the client's certificate, PEM"`
	KeyFile         string `yaml:"key_file" doc:"the key of the client's certificate, PEM"`
	ServerName      string `yaml:"server_name" doc:"the name in the service's certificate; the URL's host if left out"`
	MinVersion      string `yaml:"min_version" doc:"1.2 or 1.3"`
}

// Place is where a value stands in a response.
type Place struct {
	Pointer string `yaml:"pointer" doc:"a JSON pointer (RFC 6901) into the body"`
	Header  string `yaml:"header" doc:"a header"`
}

// Condition holds if the value at a pointer is one of a list.
type Condition struct {
	Pointer string   `yaml:"pointer" doc:"a JSON pointer (RFC 6901)"`
	Is      []string `yaml:"is" doc:"the values"`
}

// Response is how a response is read.
type Response struct {
	Statuses     map[string]string `yaml:"statuses" doc:"by HTTP status (409 or 5xx): accepted, permanent, transient, busy or unknown"`
	AcceptedWhen Condition         `yaml:"accepted_when" doc:"what a response of an accepted message must hold besides its status"`
	ProviderID   Place             `yaml:"provider_id" doc:"the service's id of the message; our reference if left out"`
	Code         Place             `yaml:"code" doc:"the service's own code of a refusal"`
	Codes        map[string]string `yaml:"codes" doc:"classes by the service's code; they precede the HTTP status"`
	Status       Place             `yaml:"status" doc:"a status that is known at once, in the words of statuses"`
}

// Callback is how a service reports.
type Callback struct {
	URL  string       `yaml:"url" doc:"the public URL of /v1/callbacks/<route>, for templates"`
	Auth CallbackAuth `yaml:"auth" doc:"how the caller is known; required"`

	Items       string    `yaml:"items" doc:"a JSON pointer to the item, or the array of items; the document if left out"`
	ProviderID  string    `yaml:"provider_id" doc:"a JSON pointer within an item, as all that follow: the service's id of the message"`
	Reference   string    `yaml:"reference" doc:"our reference"`
	Status      string    `yaml:"status" doc:"a word of statuses"`
	Code        string    `yaml:"code" doc:"the service's code of what was not delivered"`
	Destination string    `yaml:"destination" doc:"the address"`
	OccurredAt  string    `yaml:"occurred_at" doc:"when it happened"`
	TimeFormat  string    `yaml:"time_format" doc:"of occurred_at: rfc3339, unix or unix_ms"`
	Reply       Reply     `yaml:"reply" doc:"replies of persons; none if left out"`
	Ignore      Condition `yaml:"ignore" doc:"items that are neither statuses nor replies"`

	MaxBytes    int64         `yaml:"max_bytes" doc:"of a callback's body"`
	MaxItems    int           `yaml:"max_items" doc:"in one callback"`
	Concurrency int           `yaml:"concurrency" doc:"callbacks at once; the response to more is 503"`
	Timeout     time.Duration `yaml:"timeout" doc:"to read and store one callback"`
}

// CallbackAuth is how the caller of a callback is known.
type CallbackAuth struct {
	Type      string           `yaml:"type" doc:"signature, bearer, basic or header"`
	Header    string           `yaml:"header" doc:"of header: the one that holds the secret"`
	Username  string           `yaml:"username" doc:"of basic"`
	Secrets   []channel.Secret `yaml:"secrets" doc:"of bearer, basic and header: any of them"`
	Signature Signature        `yaml:"signature" doc:"of signature"`
}

// Reply is how an item is read that is a person's reply.
type Reply struct {
	When Condition `yaml:"when" doc:"which items are replies; those that have a text if left out"`
	ID   string    `yaml:"id" doc:"the service's id of the reply"`
	Text string    `yaml:"text" doc:"what the person wrote"`
}

// Classes of a response.
const (
	classAccepted  = "accepted"
	classPermanent = "permanent"
	classTransient = "transient"
	classBusy      = "busy"
	classUnknown   = "unknown"
)

var (
	methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	classes = []string{classAccepted, classPermanent, classTransient, classBusy, classUnknown}
	// ours are headers that the route or HTTP itself sets.
	ours = []string{"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Te", "Expect"}
)

// Validate implements channel.Settings.
func (s *Settings) Validate() error {
	var p problems
	p.check(slices.Contains(methods, s.Method), "method", "must be one of %s", strings.Join(methods, ", "))
	_, wrong := compileRequest(s)
	p = append(p, wrong...)
	p.check(len(s.Headers) <= maxHeaders, "headers", "must be at most %d", maxHeaders)
	if s.Sender != "" {
		p.add("sender", checkSender(s.Sender))
	}
	s.Auth.validate(&p)
	s.Signature.validate(&p, "signature.", false)
	_, err := s.TLS.config()
	p.add("tls", err)
	_, err = netguard.New(s.AllowNetworks)
	p.add("allow_networks", err)
	p.check(s.Connections >= 1 && s.Connections <= maxConnections, "connections", "must be 1 to %d", maxConnections)
	p.check(s.Rate >= 0, "rate", "must not be negative")
	p.check(s.MaxResponseBytes >= 0 && s.MaxResponseBytes <= maxResponseBytes, "max_response_bytes", "must be 0 to %d", maxResponseBytes)
	for key, d := range map[string]time.Duration{
		"connect_timeout": s.ConnectTimeout, "timeout": s.Timeout, "idle_timeout": s.IdleTimeout, "drain_timeout": s.DrainTimeout,
	} {
		p.check(d > 0 && d <= maxDuration, key, "must be above 0 and at most %v", maxDuration)
	}
	s.Response.validate(&p)
	words := map[string]bool{}
	for word, status := range s.Statuses {
		p.check(status.Known() && word != "", "statuses", "must be words with delivered, undelivered, read or intermediate")
		p.check(!words[strings.ToLower(word)], "statuses", "must have each word once: letter case does not matter")
		words[strings.ToLower(word)] = true
	}
	p.check(s.MaxResponseBytes > 0 || s.Response.AcceptedWhen.Pointer == "", "max_response_bytes", "must not be 0 with response.accepted_when")
	s.Callback.validate(&p)
	return p.err()
}

func (a Auth) validate(p *problems) {
	switch a.Type {
	case "":
		p.check(a.Username == "" && !a.Secret.Given(), "auth.type", "is required with a secret")
		return
	case "basic":
		p.check(a.Username != "" && !strings.Contains(a.Username, ":"), "auth.username", "must not be empty or hold a colon")
	case "bearer":
	default:
		p.check(false, "auth.type", "must be basic or bearer")
	}
	secret, err := a.Secret.Read()
	p.add("auth.secret", err)
	p.check(httpguts.ValidHeaderFieldValue(secret), "auth.secret", "must be one line")
}

func (t TLS) validateFiles() error {
	if (t.CertificateFile == "") != (t.KeyFile == "") {
		return fmt.Errorf("certificate_file and key_file must be given together")
	}
	return nil
}

func (r Response) validate(p *problems) {
	for status, class := range r.Statuses {
		p.check(validStatusKey(status) && slices.Contains(classes, class), "response.statuses", "must be HTTP statuses, such as 409 or 5xx, with one of %s", strings.Join(classes, ", "))
	}
	for _, class := range r.Codes {
		p.check(slices.Contains(classes, class), "response.codes", "must be codes with one of %s", strings.Join(classes, ", "))
	}
	p.check(len(r.Codes) == 0 || r.Code != (Place{}), "response.code", "is required with codes")
	r.AcceptedWhen.validate(p, "response.accepted_when")
	r.ProviderID.validate(p, "response.provider_id")
	r.Code.validate(p, "response.code")
	r.Status.validate(p, "response.status")
}

func validStatusKey(key string) bool {
	if len(key) != 3 || key[0] < '2' || key[0] > '5' {
		return false
	}
	if key[1:] == "xx" {
		return true
	}
	_, err := strconv.Atoi(key)
	return err == nil
}

func (c Condition) validate(p *problems, key string) {
	p.check((c.Pointer == "") == (len(c.Is) == 0), key, "must have a pointer and a list is")
	checkPointer(p, key+".pointer", c.Pointer)
}

func (l Place) validate(p *problems, key string) {
	p.check(l.Pointer == "" || l.Header == "", key, "must have a pointer or a header, not both")
	p.check(l.Header == "" || httpguts.ValidHeaderFieldName(l.Header), key+".header", "must be a header's name")
	checkPointer(p, key+".pointer", l.Pointer)
}

func checkPointer(p *problems, key, pointer string) {
	_, err := parsePointer(pointer)
	p.add(key, err)
}

func (c Callback) configured() bool { return c.Auth.Type != "" }

func (c Callback) validate(p *problems) {
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		p.check(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "", "callback.url", "must be an http or https URL")
	}
	for key, pointer := range map[string]string{
		"items": c.Items, "provider_id": c.ProviderID, "reference": c.Reference, "status": c.Status, "code": c.Code,
		"destination": c.Destination, "occurred_at": c.OccurredAt, "reply.id": c.Reply.ID, "reply.text": c.Reply.Text,
	} {
		checkPointer(p, "callback."+key, pointer)
	}
	if !c.configured() {
		p.check(c.Status == "" && c.Reply.Text == "" && c.URL == "", "callback.auth.type", "is required: signature, bearer, basic or header")
		return
	}
	p.check(c.Status != "" || c.Reply.Text != "", "callback.status", "or reply.text is required")
	p.check(c.ProviderID != "" || c.Reference != "", "callback.provider_id", "or reference is required")
	p.check((c.Reply.Text == "") == (c.Reply.ID == ""), "callback.reply", "must have an id and a text")
	c.Reply.When.validate(p, "callback.reply.when")
	c.Ignore.validate(p, "callback.ignore")
	p.check(slices.Contains([]string{timeRFC3339, timeUnix, timeUnixMS}, c.TimeFormat), "callback.time_format", "must be rfc3339, unix or unix_ms")
	p.check(c.MaxBytes > 0 && c.MaxBytes <= maxCallbackBytes, "callback.max_bytes", "must be 1 to %d", maxCallbackBytes)
	p.check(c.MaxItems > 0 && c.MaxItems <= 10_000, "callback.max_items", "must be 1 to 10000")
	p.check(c.Concurrency > 0 && c.Concurrency <= maxConnections, "callback.concurrency", "must be 1 to %d", maxConnections)
	p.check(c.Timeout > 0 && c.Timeout <= maxDuration, "callback.timeout", "must be above 0 and at most %v", maxDuration)
	c.Auth.validate(p)
}

func (a CallbackAuth) validate(p *problems) {
	switch a.Type {
	case authSignature:
		p.check(a.Signature.Scheme != "", "callback.auth.signature.scheme", "is required")
		a.Signature.validate(p, "callback.auth.signature.", true)
		return
	case authBearer:
	case authBasic:
		p.check(a.Username != "" && !strings.Contains(a.Username, ":"), "callback.auth.username", "must not be empty or hold a colon")
	case authHeader:
		p.check(httpguts.ValidHeaderFieldName(a.Header) && !slices.Contains(ours, http.CanonicalHeaderKey(a.Header)), "callback.auth.header",
			"must be the name of a header that HTTP itself does not use")
	default:
		p.check(false, "callback.auth.type", "must be signature, bearer, basic or header")
	}
	_, err := readSecrets(a.Secrets, minSecretBytes)
	p.add("callback.auth.secrets", err)
}
