package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/template"
)

// Limits of templates and of what they render.
const (
	maxURLBytes    = 8000 // of RFC 9110, section 4.1, what every recipient should take
	maxHeaderBytes = 8000
	maxBodyBytes   = 2 * content.MaxRESTBodyBytes
)

// variables are the names that templates may use.
var variables = map[string]bool{
	"address": true, "sender": true, "reference": true, "notification": true, "attempt": true, "callback_url": true,
	"content.body": true, "content.media_type": true,
}

// requests makes requests from messages.
type requests struct {
	s         *Settings
	authority string // scheme and host, fixed
	url       *template.Template
	headers   map[string]*template.Template
	body      *template.Template // nil: the content's body
	auth      string             // the header Authorization
	signer    *signer
}

// refused is a message of which no request can be made.
type refused struct {
	code string
	err  error
}

func (e *refused) Error() string { return e.err.Error() }
func (e *refused) Unwrap() error { return e.err }

// compileRequest compiles the templates of valid settings, or returns what is wrong.
func compileRequest(s *Settings) (*requests, problems) {
	var p problems
	compile := func(key, text string, format content.Format, escape template.Escape, rendered int) *template.Template {
		t, wrong := template.Compile(text, template.Options{
			Names: variables, Noun: "variable", Format: format, Escape: escape, MaxBytes: rendered, MaxRendered: rendered,
		})
		for _, w := range wrong {
			if w.Line > 0 {
				p.check(false, key, "line %d: %s", w.Line, w.Rule)
				continue
			}
			p.check(false, key, "%s", w.Rule)
		}
		return t
	}
	r := &requests{s: s, headers: map[string]*template.Template{}}
	var err error
	r.authority, err = authorityOf(s.URL)
	p.add("url", err)
	r.url = compile("url", s.URL, "", template.URLPart, maxURLBytes)
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		text := s.Headers[name]
		canonical := http.CanonicalHeaderKey(name)
		key := "headers." + name
		p.check(httpguts.ValidHeaderFieldName(name) && !slices.Contains(ours, canonical), key, "is no header that may be set here")
		p.check(canonical != "Authorization" || s.Auth.Type == "", key, "is set by auth")
		p.check(r.headers[canonical] == nil, key, "is given twice, in other letter case")
		r.headers[canonical] = compile(key, text, content.Line, nil, maxHeaderBytes)
	}
	p.check(s.MediaType != "" && httpguts.ValidHeaderFieldValue(s.MediaType), "media_type", "must be a media type")
	if s.Body != "" {
		p.check(s.hasBody(), "body", "is not sent with %s", s.Method)
		r.body = compile("body", s.Body, r.format(), nil, maxBodyBytes)
	}
	if len(p) == 0 {
		r.try(&p)
	}
	return r, p
}

// try renders the templates with sample values, which are a text, a line and JSON: what is
// wrong then is wrong with every message. A template with conditions may meet none of them.
func (r *requests) try(p *problems) {
	const sample = "1"
	values := map[string]any{
		"address": sample, "sender": sample, "reference": sample, "notification": sample, "attempt": 1, "callback_url": sample,
		"content": map[string]any{"body": sample, "media_type": "text/plain"},
	}
	if _, err := r.target(values); err != nil {
		p.add("url", err)
	}
	for name, t := range r.headers {
		value, err := t.Render(values)
		if err == nil && !httpguts.ValidHeaderFieldValue(value) {
			err = errors.New("must be one line, without control characters")
		}
		p.add("headers."+name, err)
	}
	if r.body == nil || r.format() != content.JSON || strings.Contains(r.s.Body, "{%") {
		return
	}
	body, err := r.body.Render(values)
	p.add("body", err)
	p.check(err != nil || json.Valid([]byte(body)), "body", "must be JSON, because of media_type")
}

// format is the format of the body template.
func (r *requests) format() content.Format {
	m, _ := content.REST.Member("body")
	return content.REST.Format(m, map[string]string{"media_type": r.s.MediaType})
}

func (s *Settings) hasBody() bool { return s.Method != http.MethodGet && s.Method != http.MethodDelete }

// authorityOf returns the scheme and the host of a URL template. They are no template.
func authorityOf(text string) (string, error) {
	text = strings.TrimSpace(text)
	i := strings.Index(text, "://")
	if i < 0 {
		return "", errors.New("must be an http or https URL")
	}
	end := len(text)
	if j := strings.IndexAny(text[i+3:], "/?#"); j >= 0 {
		end = i + 3 + j
	}
	authority := text[:end]
	u, err := url.Parse(authority)
	switch {
	case strings.Contains(authority, "{"):
		return "", errors.New("must have a fixed scheme, host and port")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "", errors.New("must be an http or https URL")
	case strings.HasSuffix(u.Host, ":") || !validPort(u.Port()):
		return "", errors.New("must have a port from 1 to 65535, or none")
	case u.User != nil:
		return "", errors.New("must have no user information; auth has it")
	case strings.Contains(text, "#"):
		return "", errors.New("must have no fragment")
	}
	return authority, nil
}

// validPort returns whether a port is none, or one of TCP.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// open reads the secrets.
func (r *requests) open() error {
	if r.s.Auth.Type != "" {
		secret, err := r.s.Auth.Secret.Read()
		if err != nil {
			return fmt.Errorf("auth.secret: %w", err)
		}
		r.auth = "Bearer " + secret
		if r.s.Auth.Type == "basic" {
			req := http.Request{Header: http.Header{}}
			req.SetBasicAuth(r.s.Auth.Username, secret)
			r.auth = req.Header.Get("Authorization")
		}
	}
	var err error
	if r.signer, err = newSigner(r.s.Signature); err != nil {
		return fmt.Errorf("signature.secrets: %w", err)
	}
	return nil
}

// request makes the request of a message. The error is a *refused and holds no value.
func (r *requests) request(ctx context.Context, m channel.Message, now time.Time) (*http.Request, error) {
	values := map[string]any{
		"address": m.Destination, "sender": cmp.Or(m.Sender, r.s.Sender), "reference": m.Reference, "notification": m.Notification,
		"attempt": m.Attempt, "callback_url": r.s.Callback.URL,
		"content": map[string]any{"body": m.Content.Member("body"), "media_type": m.Content.Member("media_type")},
	}
	target, err := r.target(values)
	if err != nil {
		return nil, &refused{CodeURL, err}
	}
	body, mediaType, err := r.render(values, m.Content)
	if err != nil {
		return nil, &refused{CodeBody, err}
	}
	// The body is no type that net/http could read twice: a request that may be sent again
	// unseen does not exist (http.Transport's retries need GetBody or http.NoBody).
	req, err := http.NewRequestWithContext(ctx, r.s.Method, target, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return nil, &refused{CodeURL, errors.New("the URL cannot be parsed")}
	}
	req.ContentLength = int64(len(body))
	for name, t := range r.headers {
		value, err := t.Render(values)
		if err == nil && !httpguts.ValidHeaderFieldValue(value) {
			err = errors.New("the value may not stand in a header")
		}
		if err != nil {
			return nil, &refused{CodeHeader, fmt.Errorf("header %s: %w", name, err)}
		}
		req.Header.Set(name, strings.TrimSpace(value))
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "recapito")
	}
	if r.s.hasBody() {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.auth != "" {
		req.Header.Set("Authorization", r.auth)
	}
	if err := r.signer.sign(req.Header, m.Reference, now, body); err != nil {
		return nil, &refused{CodeHeader, err}
	}
	return req, nil
}

// target renders the URL. A value cannot leave its place: it is percent-encoded, and a
// path segment that would be a step up is refused, however it is encoded.
func (r *requests) target(values map[string]any) (string, error) {
	rendered, err := r.url.Render(values)
	if err != nil {
		return "", err
	}
	rendered = strings.TrimSpace(rendered)
	u, err := url.Parse(rendered)
	if err != nil || u.User != nil || !strings.HasPrefix(rendered, r.authority) || !strings.HasSuffix(r.authority, "://"+u.Host) {
		return "", errors.New("the URL cannot be parsed")
	}
	for _, segment := range strings.Split(u.EscapedPath(), "/") {
		if decoded, err := url.PathUnescape(segment); err != nil || decoded == "." || decoded == ".." {
			return "", errors.New("a path segment would be a step up or down")
		}
	}
	return rendered, nil
}

func (r *requests) render(values map[string]any, d content.Document) (body []byte, mediaType string, err error) {
	switch {
	case !r.s.hasBody():
		return nil, "", nil
	case r.body == nil:
		return []byte(d.Member("body")), cmp.Or(d.Member("media_type"), r.s.MediaType), nil
	}
	rendered, err := r.body.Render(values)
	if err != nil {
		return nil, "", err
	}
	if r.format() == content.JSON && !json.Valid([]byte(rendered)) {
		return nil, "", errors.New("the body is no JSON")
	}
	return []byte(rendered), r.s.MediaType, nil
}
