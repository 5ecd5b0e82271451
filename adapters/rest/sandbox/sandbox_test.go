package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/adapters/rest"
	"recapito/adapters/rest/sandbox"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

const patience = 10 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// sinks refuse the first of everything, so that callbacks come again.
type sinks struct {
	mu       sync.Mutex
	asked    map[string]int
	receipts []channel.ProviderReceipt
	replies  []channel.ProviderReply
}

func (s *sinks) first(key string) bool {
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[key]++
	return s.asked[key] == 1
}

func (s *sinks) Receive(_ context.Context, r channel.ProviderReceipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first(r.ProviderID) {
		return errors.New("not now")
	}
	s.receipts = append(s.receipts, r)
	return nil
}

func (s *sinks) Reply(_ context.Context, r channel.ProviderReply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first(r.ReplyID) {
		return errors.New("not now")
	}
	s.replies = append(s.replies, r)
	return nil
}

func runUntilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func start(t *testing.T, o sandbox.Options, taken *sinks) (*sandbox.Service, *rest.Route) {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s.Run)
	var r *rest.Route
	ready := make(chan struct{})
	callbacks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		<-ready
		r.Callback().ServeHTTP(w, req)
	}))
	t.Cleanup(callbacks.Close)
	if r, err = s.Settings(callbacks.URL + "/v1/callbacks/sandbox").OpenRoute(channel.Options{Name: "sandbox", Receipts: taken, Replies: taken}); err != nil {
		t.Fatal(err)
	}
	close(ready)
	runUntilEnd(t, r.Run)
	eventually(t, "the route is up", func() bool { return r.State() == nil })
	return s, r
}

func send(t *testing.T, r *rest.Route, n int) notification.UnitOutcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := fmt.Sprintf("00000000-0000-7000-8000-%012d", n)
	out := r.Send(ctx, channel.Message{
		Notification: id, Attempt: 1, Reference: id + "/1", Destination: fmt.Sprintf("user-%d", n),
		Content: content.Document{Type: "rest", Version: 1, Members: map[string]string{"body": `{"day":"2026-12-01"}`}},
	}, func() bool { return true }, nil)
	return out.Units[0]
}

func TestDeliveredAndReplied(t *testing.T) {
	taken := &sinks{}
	s, r := start(t, sandbox.Options{Reply: 1, Delay: 10 * time.Millisecond}, taken)
	ids := map[string]bool{}
	for n := range 10 {
		got := send(t, r, n)
		if got.Fate != notification.UnitAccepted || ids[got.ProviderID] {
			t.Fatalf("outcome %+v", got)
		}
		ids[got.ProviderID] = true
	}
	eventually(t, "all are delivered and replied to", func() bool {
		return s.Stats() == sandbox.Stats{Taken: 10, Delivered: 10, Replied: 10}
	})
	taken.mu.Lock()
	defer taken.mu.Unlock()
	for _, got := range taken.receipts {
		if got.Status != receipt.Delivered || !ids[got.ProviderID] || !strings.HasPrefix(got.Destination, "user-") || got.OccurredAt.IsZero() {
			t.Errorf("receipt %q, status %v", got.ProviderID, got.Status)
		}
	}
	for _, got := range taken.replies {
		if !ids[got.ProviderID] || got.Text != "OK" {
			t.Errorf("reply to %q", got.ProviderID)
		}
	}
	if len(taken.receipts) != 10 || len(taken.replies) != 10 {
		t.Errorf("%d receipts, %d replies", len(taken.receipts), len(taken.replies))
	}
}

func TestUndelivered(t *testing.T) {
	taken := &sinks{}
	s, r := start(t, sandbox.Options{Undelivered: 1, Reply: 1}, taken)
	send(t, r, 1)
	eventually(t, "it is reported", func() bool { return s.Stats().Undelivered == 1 })
	taken.mu.Lock()
	defer taken.mu.Unlock()
	if got := taken.receipts; len(got) != 1 || got[0].Status != receipt.Undelivered || got[0].Code != "no_device" || len(taken.replies) != 0 {
		t.Errorf("receipts %d, replies %d", len(got), len(taken.replies))
	}
}

func TestAnUnsignedRequestIsRefused(t *testing.T) {
	s, _ := start(t, sandbox.Options{}, &sinks{})
	res, err := http.Post("http://"+s.Addr()+"/messages", "application/json", strings.NewReader(`{"to":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized || s.Stats().Taken != 0 {
		t.Errorf("status %d", res.StatusCode)
	}
}
