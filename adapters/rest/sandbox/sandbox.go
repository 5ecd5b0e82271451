// Package sandbox is a local HTTP service for the channel rest, so that a route can be
// tried without a provider: it takes messages, calls back that they were delivered (or
// not), and sometimes replies. It is started by `recapito sandbox`, never by `serve`.
//
// It verifies the signature of each request and signs its callbacks (Standard Webhooks).
// A callback whose response is not 2xx is sent again for a bounded time. What waits to be
// called back is in memory and lost when it stops: a sandbox keeps no promises.
package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/commands/retry"
)

// Limits of a sandbox.
const (
	maxPending      = 10_000
	maxBodyBytes    = 2 << 20
	workers         = 4
	callbackTries   = 10
	callbackTimeout = 10 * time.Second
	stopTimeout     = 5 * time.Second
	secretBytes     = 32
)

// path of the service.
const path = "/messages"

// Options are how a sandbox behaves.
type Options struct {
	Addr  string        // host:port; port 0 takes a free one
	Delay time.Duration // before a callback
	// Undelivered and Reply are the shares of messages (0 to 1) that are reported
	// undelivered, and that are replied to when they were delivered.
	Undelivered, Reply float64
	Log                *slog.Logger
}

// Service is a running sandbox.
type Service struct {
	o        Options
	listener net.Listener
	verifier *standardwebhooks.Webhook
	signer   *standardwebhooks.Webhook
	secrets  [2]string // of requests, of callbacks
	client   *http.Client
	pending  chan pending
	next     atomic.Uint64
	prefix   string // of ids, so that those of an earlier start do not come again
	counts   struct{ taken, delivered, undelivered, replied, failed atomic.Uint64 }
}

// pending is a message that is to be reported.
type pending struct {
	due     time.Time
	id      string
	message message
}

// message is what the route's body template makes.
type message struct {
	To        string `json:"to"`
	Text      string `json:"text"`
	Reference string `json:"reference"`
	Callback  string `json:"callback"`
}

// report is a callback's body.
type report struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	To        string    `json:"to"`
	At        time.Time `json:"at"`
	Status    string    `json:"status,omitempty"`
	Code      string    `json:"code,omitempty"`
	Reply     *reply    `json:"reply,omitempty"`
}

type reply struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// New listens. Its secrets are made anew at each start.
func New(o Options) (*Service, error) {
	if o.Undelivered < 0 || o.Undelivered > 1 || o.Reply < 0 || o.Reply > 1 || o.Delay < 0 {
		return nil, errors.New("rest sandbox: a share is not within 0 to 1, or the delay is negative")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, pending: make(chan pending, maxPending), prefix: rand.Text()[:6],
		client: &http.Client{Timeout: callbackTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	}
	for i, to := range []**standardwebhooks.Webhook{&s.verifier, &s.signer} {
		secret := make([]byte, secretBytes)
		_, _ = rand.Read(secret) // never fails
		s.secrets[i] = "whsec_" + base64.StdEncoding.EncodeToString(secret)
		var err error
		if *to, err = standardwebhooks.NewWebhookRaw(secret); err != nil {
			return nil, fmt.Errorf("rest sandbox: %w", err)
		}
	}
	var err error
	if s.listener, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, fmt.Errorf("rest sandbox: %w", err)
	}
	return s, nil
}

// Addr is the address that the sandbox listens on.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// Settings returns the settings of a route to the sandbox. callbackURL is the URL of the
// route's callbacks.
func (s *Service) Settings(callbackURL string) *rest.Settings {
	set := rest.Defaults()
	set.URL = "http://" + s.Addr() + path
	set.AllowNetworks = []string{"127.0.0.0/8", "::1/128"}
	set.Body = `{"to": "{{ address }}", "text": "{{ content.body }}", "reference": "{{ reference }}", "callback": "{{ callback_url }}"}`
	set.Signature = rest.Signature{Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: s.secrets[0]}}, Tolerance: 5 * time.Minute}
	set.Response.ProviderID.Pointer = "/id"
	c := &set.Callback
	c.URL = callbackURL
	c.Auth = rest.CallbackAuth{Type: "signature", Signature: rest.Signature{
		Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: s.secrets[1]}}, Tolerance: 5 * time.Minute,
	}}
	c.ProviderID, c.Reference, c.Status, c.Code, c.Destination, c.OccurredAt = "/id", "/reference", "/status", "/code", "/to", "/at"
	c.Reply = rest.Reply{ID: "/reply/id", Text: "/reply/text"}
	return set
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, s.take)
	server := &http.Server{
		Handler: mux, ReadTimeout: callbackTimeout, WriteTimeout: callbackTimeout, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error { s.work(ctx); return nil })
	}
	g.Go(func() error {
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("rest sandbox: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if server.Shutdown(stop) != nil {
			return server.Close()
		}
		return nil
	})
	err := g.Wait()
	s.client.CloseIdleConnections()
	return err
}

// take takes a message.
func (s *Service) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBodyBytes))
	var m message
	switch {
	case err != nil:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case s.verifier.Verify(body, req.Header) != nil:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case json.Unmarshal(body, &m) != nil || m.To == "":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	p := pending{due: time.Now().Add(s.o.Delay), id: fmt.Sprintf("%s-%d", s.prefix, s.next.Add(1)), message: m}
	select {
	case s.pending <- p:
	default:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	s.counts.taken.Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": p.id})
}

// work reports messages as they are due, in the order in which they came.
func (s *Service) work(ctx context.Context) {
	for {
		select {
		case p := <-s.pending:
			if retry.Wait(ctx, time.Until(p.due)) != nil {
				return
			}
			s.report(ctx, p)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) report(ctx context.Context, p pending) {
	if p.message.Callback == "" {
		return
	}
	r := report{ID: p.id, Reference: p.message.Reference, To: p.message.To, At: time.Now().UTC(), Status: "delivered"}
	failed := mathrand.Float64() < s.o.Undelivered
	if failed {
		r.Status, r.Code = "undelivered", "no_device"
	}
	if !s.call(ctx, p.message.Callback, r) {
		return
	}
	if failed {
		s.counts.undelivered.Add(1)
		return
	}
	s.counts.delivered.Add(1)
	if mathrand.Float64() >= s.o.Reply {
		return
	}
	answering := report{ID: r.ID, Reference: r.Reference, To: r.To, At: time.Now().UTC(), Reply: &reply{ID: p.id + "-reply", Text: "OK"}}
	if s.call(ctx, p.message.Callback, answering) {
		s.counts.replied.Add(1)
	}
}

// call calls back until the response is 2xx or refuses it for good, or it was tried often enough.
func (s *Service) call(ctx context.Context, url string, r report) bool {
	body, err := json.Marshal(r)
	if err != nil {
		return false
	}
	kind := "status"
	if r.Reply != nil {
		kind = "reply"
	}
	id := strings.ReplaceAll(r.ID+"-"+kind, ".", "-")
	err = retry.Policy{First: 100 * time.Millisecond, Most: 5 * time.Second, Tries: callbackTries}.Do(ctx, nil, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return retry.Permanent(err)
		}
		now := time.Now()
		signature, err := s.signer.Sign(id, now, body)
		if err != nil {
			return retry.Permanent(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(standardwebhooks.HeaderWebhookID, id)
		req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, fmt.Sprint(now.Unix()))
		req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
		res, err := s.client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBodyBytes))
		res.Body.Close()
		switch {
		case res.StatusCode < 300:
			return nil
		case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests:
			return retry.Permanent(fmt.Errorf("the response to a callback was %d", res.StatusCode))
		}
		return fmt.Errorf("the response to a callback was %d", res.StatusCode)
	})
	if err != nil && ctx.Err() == nil {
		s.counts.failed.Add(1)
		s.o.Log.Warn("rest sandbox: a callback was given up", "id", r.ID, "error", err)
	}
	return err == nil
}

// Stats are what the sandbox counted since it was started.
type Stats struct{ Taken, Delivered, Undelivered, Replied, Failed uint64 }

// Stats returns the counts.
func (s *Service) Stats() Stats {
	return Stats{
		Taken: s.counts.taken.Load(), Delivered: s.counts.delivered.Load(), Undelivered: s.counts.undelivered.Load(),
		Replied: s.counts.replied.Load(), Failed: s.counts.failed.Load(),
	}
}
