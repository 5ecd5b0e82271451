package eventstore_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// measured is a disk of which a test says how much is free.
type measured struct {
	vfs.FS
	free atomic.Uint64
}

func (m *measured) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: m.free.Load()}, nil
}

// TestServerWithAFullDisk: the client says why, at once, goes on reading and following
// over the same connection, and notices by itself that there is space again.
func TestServerWithAFullDisk(t *testing.T) {
	disk := &measured{FS: vfs.Default}
	disk.free.Store(1 << 40)
	server := serveOn(t, eventlog.Options{Dir: t.TempDir(), FS: disk}, "127.0.0.1:0")
	store := dial(t, server.url())
	first, err := store.Append(t.Context(), "a", event.NoStream(), one())
	if err != nil {
		t.Fatal(err)
	}
	followed, caughtUp := make(chan event.Position, 8), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- store.Subscribe(t.Context(), event.Subscription{}, event.Handler{
			Event:    func(e event.Recorded) error { followed <- e.Position; return nil },
			CaughtUp: func(event.Position) error { close(caughtUp); return nil },
		})
	}()
	<-caughtUp

	disk.free.Store(3 << 20)
	until(t, func() bool { return server.log.Healthy() != nil })
	began := time.Now()
	var refusal *event.Refusal
	if _, err := store.Append(t.Context(), "a", event.Any(), one()); !errors.Is(err, event.ErrUnavailable) || !errors.As(err, &refusal) ||
		!strings.HasPrefix(refusal.Reason, "disk full: free 3 MiB") {
		t.Errorf("append: %v", err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("refused after %v", d)
	}
	for range 2 {
		if last, err := store.State(t.Context()); last != first.Position || !errors.As(err, &refusal) {
			t.Errorf("state: position %d, %v", last, err)
		}
	}

	disk.free.Store(1 << 40)
	until(t, func() bool { _, err := store.State(t.Context()); return err == nil })
	second, err := store.Append(t.Context(), "a", event.Any(), one())
	if err != nil {
		t.Fatal(err)
	}
	if second.Position != first.Position+1 {
		t.Errorf("asking left something: position %d after %d", second.Position, first.Position)
	}
	for _, want := range []event.Position{first.Position, second.Position} {
		select {
		case got := <-followed:
			if got != want {
				t.Errorf("followed %d, want %d", got, want)
			}
		case err := <-ended:
			t.Fatalf("the subscription ended: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatal("the subscription is silent")
		}
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}
