package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"recapito/cmd/instance"
	"recapito/domain/tenant"
)

// client speaks to a running instance with its local admin key.
type client struct {
	base   string
	key    string
	tenant string
	http   http.Client

	idempotencyKey string // of the next calls
}

const (
	clientTimeout    = 30 * time.Second
	maxResponseBytes = 32 << 20
)

func (f instanceFlag) client() (*client, error) {
	i, err := instance.Find(f.Data)
	if err != nil {
		return nil, err
	}
	return newClient(i, f.Tenant), nil
}

func newClient(i instance.RunFile, tenant string) *client {
	return &client{base: "http://" + i.HTTP, key: i.APIKey, tenant: tenant, http: http.Client{Timeout: clientTimeout}}
}

// problem is an answer that is not a success, in the form of problem+json.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
	Persons []namedPerson `json:"persons"`
}

// namedPerson is one of several persons that a destination names.
type namedPerson struct {
	Person    string     `json:"person"`
	Link      string     `json:"link"`
	Recipient bool       `json:"recipient"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to"`
}

func (p *problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d %s)", firstText(p.Detail, p.Title), p.Status, p.Code)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", e.Field, e.Message)
	}
	for _, n := range p.Persons {
		to, by := "", "without a recipient id"
		if n.To != nil {
			to = " to " + n.To.Format(time.RFC3339)
		}
		if n.Recipient {
			by = "with a recipient id"
		}
		if n.Link == "mentioned" {
			by = "named next to another address"
		}
		fmt.Fprintf(&b, "\n  %s  %s, %s, from %s%s", n.Person, n.Link, by, n.From.Format(time.RFC3339), to)
	}
	return b.String()
}

// problemOf reads an answer that is not a success.
func problemOf(status int, raw []byte) error {
	p := &problem{Status: status, Code: "?"}
	if json.Unmarshal(raw, p) != nil {
		p.Title = "the instance returned an error"
	}
	return p
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// call sends body as JSON (none if nil) and reads the answer into answer (if not nil).
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Recapito-Tenant", c.tenant)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.idempotencyKey != "" {
		r.Header.Set("Idempotency-Key", c.idempotencyKey)
	}
	got, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("calling the instance: %w", err)
	}
	defer func() { _ = got.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(got.Body, maxResponseBytes))
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	if got.StatusCode >= http.StatusBadRequest {
		return problemOf(got.StatusCode, raw)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	return nil
}

// refuseRunning errs if an instance runs on a folder. Its key distinguishes it from a
// program that got the port of an instance that died.
func refuseRunning(ctx context.Context, dir string) error {
	i, err := instance.Find(dir)
	if err != nil {
		return nil //nolint:nilerr // none is alive; the folder's locks refuse the rest
	}
	c := newClient(i, tenant.Default)
	c.http.Timeout = 5 * time.Second
	if err := c.call(ctx, http.MethodGet, "/v1/scenarios", nil, nil); err != nil {
		return nil //nolint:nilerr // as above
	}
	return fmt.Errorf("an instance already runs on %s (http://%s, process %d): stop it, or name another folder with --data and free ports with --http 127.0.0.1:0", dir, i.HTTP, i.PID)
}
