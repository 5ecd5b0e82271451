package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/commands/channel/channeltest"
	"recapito/domain/content"
	"recapito/domain/event"
)

const (
	patience = 10 * time.Second
	secret   = "a secret of the tests, long enough"
	// personal stands in what must never be logged or returned in an error.
	personal = "personal-7f3a"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func always() bool { return true }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func message(n int, body string) channel.Message {
	id := fmt.Sprintf("00000000-0000-7000-8000-%012d", n)
	return channel.Message{
		Notification: id, Attempt: 1, Reference: id + "/1", Sender: "Recapito", Destination: fmt.Sprintf("user-%d", n),
		Content: content.Document{Type: "rest", Version: 1, Members: map[string]string{"body": body}},
	}
}

// settings returns settings for a service on loopback.
func settings(url string) *rest.Settings {
	s := rest.Defaults()
	s.URL = url
	s.AllowNetworks = []string{"127.0.0.0/8"}
	s.Headers = map[string]string{"X-Reference": "{{ reference }}", "X-Address": "{{ address }}"}
	s.Response.ProviderID.Pointer = "/id"
	return s
}

// withCallbacks lets a service report to the route with a bearer secret.
func withCallbacks(s *rest.Settings) *rest.Settings {
	c := &s.Callback
	c.URL = "https://recapito.example/v1/callbacks/r"
	c.Auth = rest.CallbackAuth{Type: "bearer", Secrets: []channel.Secret{{Value: secret}}}
	c.ProviderID, c.Reference, c.Status, c.Code, c.Destination, c.OccurredAt = "/id", "/reference", "/status", "/code", "/to", "/at"
	c.Reply = rest.Reply{ID: "/reply/id", Text: "/reply/text"}
	return s
}

// sinks take receipts and replies.
type sinks struct {
	mu       sync.Mutex
	receipts []channel.ProviderReceipt
	replies  []channel.ProviderReply
	fail     bool
	refuse   string // the id of a message that is not there
}

func (s *sinks) Receive(_ context.Context, r channel.ProviderReceipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("not now")
	}
	s.receipts = append(s.receipts, r)
	return nil
}

func (s *sinks) Reply(_ context.Context, r channel.ProviderReply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("not now")
	}
	if s.refuse != "" && r.ProviderID == s.refuse {
		return &event.Rule{Code: "no_such_message", Message: "there is no such message"}
	}
	s.replies = append(s.replies, r)
	return nil
}

func (s *sinks) taken() ([]channel.ProviderReceipt, []channel.ProviderReply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receipts, s.replies
}

func open(t *testing.T, s *rest.Settings, o channel.Options) *rest.Route {
	t.Helper()
	if o.Name == "" {
		o.Name = "r"
	}
	if o.Receipts == nil {
		o.Receipts = &sinks{}
	}
	if o.Replies == nil {
		o.Replies = &sinks{}
	}
	r, err := s.OpenRoute(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a route until the test ends, and waits until it is up.
func run(t *testing.T, r *rest.Route) *rest.Route {
	t.Helper()
	runUntilEnd(t, r)
	eventually(t, "the route is up", func() bool { return r.State() == nil })
	return r
}

func runUntilEnd(t *testing.T, r *rest.Route) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// service is an HTTP service that the test has in its hands.
type service struct {
	*httptest.Server
	client    *http.Client // calls back
	callbacks *httptest.Server
	token     string

	mu      sync.Mutex
	behave  channeltest.Behaviour
	arrived []channeltest.Arrival
	next    int
	release chan struct{} // closed when the test ends
	calls   sync.WaitGroup
}

func newService(t *testing.T) *service {
	s := &service{release: make(chan struct{}), client: &http.Client{Transport: &http.Transport{}}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.release)
		s.Server.CloseClientConnections()
		s.Server.Close()
		if s.callbacks != nil {
			s.callbacks.Close()
		}
		s.calls.Wait()
		s.client.CloseIdleConnections()
	})
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.ReadAll(req.Body)
	s.mu.Lock()
	s.next++
	id, b := fmt.Sprintf("id-%d", s.next), s.behave
	s.arrived = append(s.arrived, channeltest.Arrival{Reference: req.Header.Get("X-Reference"), Unit: 1})
	s.mu.Unlock()
	switch {
	case b.Silent:
		select {
		case <-s.release:
		case <-req.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case b.Refuse:
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case b.Busy:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case b.RefuseForNow:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if b.Latency > 0 {
		select {
		case <-time.After(b.Latency):
		case <-s.release:
		}
	}
	if s.callbacks != nil {
		report := map[string]string{"id": id, "to": req.Header.Get("X-Address"), "status": "delivered"}
		if b.Undelivered {
			report["status"], report["code"] = "failed", "E17"
		}
		times := 1
		if b.Duplicate {
			times = 2
		}
		for range times {
			s.calls.Go(func() { s.call(report) })
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%q}`, id)
}

// call calls back until the route has taken it.
func (s *service) call(report map[string]string) {
	body, _ := json.Marshal(report)
	for {
		req, _ := http.NewRequest(http.MethodPost, s.callbacks.URL, strings.NewReader(string(body)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+s.token)
		if res, err := s.client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode < 300 {
				return
			}
		}
		select {
		case <-s.release:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *service) arrivals() []channeltest.Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]channeltest.Arrival(nil), s.arrived...)
}

// unread gives back a byte that was read.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.first) > 0 {
		n := copy(p, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// gated is a sink that waits.
type gated struct{ asked, open chan struct{} }

func (g *gated) Receive(ctx context.Context, _ channel.ProviderReceipt) error {
	close(g.asked)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
