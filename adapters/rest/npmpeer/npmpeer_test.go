package npmpeer_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"recapito/adapters/rest/npmpeer"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

type sinks struct {
	receipts chan channel.ProviderReceipt
	replies  chan channel.ProviderReply
}

func (s *sinks) Receive(_ context.Context, r channel.ProviderReceipt) error {
	s.receipts <- r
	return nil
}

func (s *sinks) Reply(_ context.Context, r channel.ProviderReply) error {
	s.replies <- r
	return nil
}

// TestNpmService: an independent service verifies our signature, and its callbacks are
// understood.
func TestNpmService(t *testing.T) {
	service := npmpeer.Start(t)
	taken := &sinks{make(chan channel.ProviderReceipt, 10), make(chan channel.ProviderReply, 10)}
	var mu sync.Mutex
	var handler http.Handler
	callbacks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		handler.ServeHTTP(w, req)
	}))
	defer callbacks.Close()
	s := service.Settings(callbacks.URL)
	r, err := s.OpenRoute(channel.Options{Name: "npm", Receipts: taken, Replies: taken})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	handler = r.Callback()
	mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	m := channel.Message{
		Notification: "00000000-0000-7000-8000-000000000001", Attempt: 1, Reference: "00000000-0000-7000-8000-000000000001/1",
		Destination: `user "1"`, Content: content.Document{Type: "rest", Version: 1, Members: map[string]string{"body": "È \"pronto\"?\nSì o no?"}},
	}
	within, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	out := r.Send(within, m, func() bool { return true }, nil)
	if got := out.Units[0]; got.Fate != notification.UnitAccepted || got.ProviderID != "npm-1" {
		t.Fatalf("outcome %+v", got)
	}
	if got := service.Next(t, "message"); got["signature"] != "verified" || got["id"] != m.Reference || got["to"] != m.Destination || got["text"] != m.Content.Member("body") {
		t.Errorf("it received %v", got)
	}
	for range 2 {
		if got := service.Next(t, "callback"); got["status"] != float64(http.StatusNoContent) {
			t.Errorf("callback %v", got)
		}
	}
	if got := <-taken.receipts; got.Status != receipt.Delivered || got.ProviderID != "npm-1" || got.Reference != m.Reference || got.Destination != m.Destination || got.OccurredAt.IsZero() {
		t.Errorf("receipt of %q", got.ProviderID)
	}
	if got := <-taken.replies; got.ReplyID != "reply-npm-1" || got.ProviderID != "npm-1" || got.Text != "Sì, grazie" {
		t.Errorf("reply %q of %q", got.ReplyID, got.ProviderID)
	}
}

// TestNpmServiceRefusesAnotherSecret: it does not take what another secret signed.
func TestNpmServiceRefusesAnotherSecret(t *testing.T) {
	service := npmpeer.Start(t)
	s := service.Settings("http://127.0.0.1:1/")
	s.Signature.Secrets = []channel.Secret{{Value: npmpeer.CallbackSecret}}
	taken := &sinks{}
	r, err := s.OpenRoute(channel.Options{Name: "npm", Receipts: taken, Replies: taken})
	if err != nil {
		t.Fatal(err)
	}
	within, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	out := r.Send(within, channel.Message{
		Reference: "00000000-0000-7000-8000-000000000001/1", Destination: "u",
		Content: content.Document{Type: "rest", Version: 1, Members: map[string]string{"body": "x"}},
	}, func() bool { return true }, nil)
	if got := out.Units[0]; got.Fate != notification.UnitRefused || got.Code != "signature" || got.Transient {
		t.Errorf("outcome %+v", got)
	}
}
