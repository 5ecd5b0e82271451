package rest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/domain/receipt"
)

func TestSettingsFromYAML(t *testing.T) {
	t.Setenv("RECAPITO_TEST_TOKEN", secret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := rest.Kind.Settings()
	decoder := yaml.NewDecoder(strings.NewReader(`
method: PUT
url: https://api.example.com/v1/{{ address }}
headers: {X-Reference: "{{ reference }}"}
body: '{"text": "{{ content.body }}"}'
auth: {type: bearer, secret: {env: RECAPITO_TEST_TOKEN}}
signature: {scheme: standard-webhooks, secrets: [{file: ` + file + `}]}
timeout: 5s
response: {provider_id: {pointer: /id}, statuses: {"409": accepted}}
statuses: {DELIVRD: delivered}
callback: {url: https://recapito.example.com/v1/callbacks/r, auth: {type: bearer, secrets: [{env: RECAPITO_TEST_TOKEN}]}, provider_id: /id, status: /status}
`))
	decoder.KnownFields(true)
	if err := decoder.Decode(s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(channel.Options{Name: "r", Receipts: &sinks{}}); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, secret) {
		t.Error("the settings print a secret")
	}
}

// TestSettingsThatAreRefused: every problem begins with its key.
func TestSettingsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		want string
		set  func(*rest.Settings)
	}{
		{"method: must be one of", func(s *rest.Settings) { s.Method = "TRACE" }},
		{"url: must be an http or https URL", func(s *rest.Settings) { s.URL = "ftp://a/" }},
		{"url: must have a fixed scheme, host and port", func(s *rest.Settings) { s.URL = "https://{{ address }}.example.com/" }},
		{"url: must have a fixed scheme, host and port", func(s *rest.Settings) { s.URL = "https://a.example.com{{ address }}" }},
		{"url: must have no user information", func(s *rest.Settings) { s.URL = "https://a:b@example.com/" }},
		{"url: must have no fragment", func(s *rest.Settings) { s.URL = "https://example.com/#a" }},
		{"url: line 1: the variable \"to\" is not defined", func(s *rest.Settings) { s.URL = "https://example.com/{{ to }}" }},
		{"headers.Host: is no header that may be set here", func(s *rest.Settings) { s.Headers = map[string]string{"Host": "a"} }},
		{"headers.a b: is no header", func(s *rest.Settings) { s.Headers = map[string]string{"a b": "a"} }},
		{"headers.authorization: is set by auth", func(s *rest.Settings) {
			s.Headers = map[string]string{"authorization": "a"}
			s.Auth = rest.Auth{Type: "bearer", Secret: channel.Secret{Value: secret}}
		}},
		{"url: must have a port from 1 to 65535", func(s *rest.Settings) { s.URL = "https://example.com:99999/" }},
		{"url: must have a port from 1 to 65535", func(s *rest.Settings) { s.URL = "https://example.com:0/" }},
		{"url: must have a port from 1 to 65535", func(s *rest.Settings) { s.URL = "https://example.com:/" }},
		{"url: a path segment would be a step up", func(s *rest.Settings) { s.URL = "https://example.com/a/%2e%2e/{{ address }}" }},
		{"headers.X-A: must be one line", func(s *rest.Settings) { s.Headers = map[string]string{"X-A": "{{ address }}\nX-B: c"} }},
		{"headers.x-a: is given twice, in other letter case", func(s *rest.Settings) { s.Headers = map[string]string{"X-A": "a", "x-a": "b"} }},
		{"body: must be JSON", func(s *rest.Settings) { s.Body = `{"text": "{{ content.body }}"` }},
		{"statuses: must have each word once", func(s *rest.Settings) {
			s.Statuses = map[string]receipt.Status{"OK": receipt.Delivered, "ok": receipt.Undelivered}
		}},
		{"max_response_bytes: must not be 0", func(s *rest.Settings) {
			s.MaxResponseBytes, s.Response.AcceptedWhen = 0, rest.Condition{Pointer: "/ok", Is: []string{"true"}}
		}},
		{"callback.auth.username: must not be empty or hold a colon", func(s *rest.Settings) {
			s.Callback.Auth = rest.CallbackAuth{Type: "basic", Username: "a:b", Secrets: []channel.Secret{{Value: secret}}}
		}},
		{"callback.auth.header: must be the name", func(s *rest.Settings) {
			s.Callback.Auth = rest.CallbackAuth{Type: "header", Header: "host", Secrets: []channel.Secret{{Value: secret}}}
		}},
		{"body: is not sent with GET", func(s *rest.Settings) { s.Method, s.Body = "GET", "{}" }},
		{"body: line 2: the tag \"for\" is not allowed", func(s *rest.Settings) { s.Body = "\n{% for a in content %}{% endfor %}" }},
		{"sender: must be one line", func(s *rest.Settings) { s.Sender = "a\nb" }},
		{"auth.type: must be basic or bearer", func(s *rest.Settings) { s.Auth.Type = "digest" }},
		{"auth.secret: must have one of file, env and value", func(s *rest.Settings) { s.Auth.Type = "bearer" }},
		{"auth.secret: is empty", func(s *rest.Settings) {
			s.Auth = rest.Auth{Type: "bearer", Secret: channel.Secret{Env: "RECAPITO_TEST_UNSET"}}
		}},
		{"signature.scheme: is required", func(s *rest.Settings) { s.Signature.Secrets = []channel.Secret{{Value: secret}} }},
		{"signature.secrets: 1: must be 24 to 64 bytes", func(s *rest.Settings) {
			s.Signature.Scheme, s.Signature.Secrets = "standard-webhooks", []channel.Secret{{Value: "whsec_AAAA"}}
		}},
		{"signature.secrets: 1: must have at least 16 bytes", func(s *rest.Settings) {
			s.Signature.Scheme, s.Signature.Secrets = "hmac-sha256", []channel.Secret{{Value: "short"}}
		}},
		{"tls: ca_file: ", func(s *rest.Settings) { s.TLS.CAFile = "/absent" }},
		{"tls: certificate_file and key_file must be given together", func(s *rest.Settings) { s.TLS.KeyFile = "/absent" }},
		{"allow_networks: network 1 must be in CIDR form", func(s *rest.Settings) { s.AllowNetworks = []string{"10.0.0.1"} }},
		{"connections: must be 1 to 1000", func(s *rest.Settings) { s.Connections = 0 }},
		{"rate: must not be negative", func(s *rest.Settings) { s.Rate = -1 }},
		{"timeout: must be above 0", func(s *rest.Settings) { s.Timeout = 0 }},
		{"response.statuses: must be HTTP statuses", func(s *rest.Settings) { s.Response.Statuses = map[string]string{"1xx": "busy"} }},
		{"response.code: is required with codes", func(s *rest.Settings) { s.Response.Codes = map[string]string{"E": "busy"} }},
		{"response.provider_id: must have a pointer or a header", func(s *rest.Settings) { s.Response.ProviderID.Header = "X-Id" }},
		{"response.accepted_when: must have a pointer and a list", func(s *rest.Settings) { s.Response.AcceptedWhen.Pointer = "/a" }},
		{"statuses: must be words", func(s *rest.Settings) { s.Statuses = map[string]receipt.Status{"x": "gone"} }},
		{"callback.auth.type: is required", func(s *rest.Settings) { s.Callback.Status = "/status" }},
		{"callback.auth.secrets: 1: must have at least 16 bytes", func(s *rest.Settings) {
			withCallbacks(s)
			s.Callback.Auth.Secrets[0].Value = "short"
		}},
		{"callback.provider_id: or reference is required", func(s *rest.Settings) { withCallbacks(s); s.Callback.ProviderID, s.Callback.Reference = "", "" }},
		{"callback.status: must be a JSON pointer", func(s *rest.Settings) { withCallbacks(s); s.Callback.Status = "status" }},
		{"callback.time_format: must be rfc3339", func(s *rest.Settings) { withCallbacks(s); s.Callback.TimeFormat = "" }},
	} {
		s := settings("https://example.com/")
		c.set(s)
		err := s.Validate()
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Error("an error holds a secret")
		}
	}
	if err := settings("https://example.com/").Validate(); err != nil {
		t.Error(err)
	}
	var joined interface{ Unwrap() []error }
	if err := rest.Defaults().Validate(); !errors.As(err, &joined) {
		t.Errorf("%v", err)
	}
}
