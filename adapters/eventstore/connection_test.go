package eventstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/adapters/eventstore"
	"recapito/domain/event"
)

func one() []event.New { return []event.New{{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`)}} }

// Writers go on over a restart of the server, and so does a subscription: it misses
// nothing and repeats nothing.
func TestServerComesBack(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir, "127.0.0.1:0")
	addr := first.server.Addr()
	store := dial(t, first.url())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()

	const writers, each = 16, 30
	var writing sync.WaitGroup
	half := make(chan struct{}, writers)
	for w := range writers {
		stream := "s-" + string(rune('a'+w))
		writing.Go(func() {
			expected := event.NoStream()
			for i := range each {
				if i == each/2 {
					half <- struct{}{}
				}
				events := one()
				for { // as a caller does it: the same events until the outcome is known
					a, err := store.Append(ctx, stream, expected, events)
					if err == nil {
						expected = event.Exact(a.Revision)
						break
					}
					if ctx.Err() != nil || !errors.Is(err, event.ErrUnavailable) && !errors.Is(err, event.ErrUnknownOutcome) {
						t.Errorf("append: %v", err)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	// An event may be seen before its writer is answered: the end of the subscription is
	// not the end of the writers.
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	var got []event.Position
	ended := make(chan error, 1)
	handler := event.Handler{Event: func(e event.Recorded) error {
		got = append(got, e.Position)
		if len(got) == writers*each {
			stopReading()
		}
		return nil
	}}
	go func() { ended <- store.Subscribe(reading, event.Subscription{}, handler) }()
	for range writers {
		<-half
	}
	first.close()
	serve(t, dir, addr)
	writing.Wait()
	if err := <-ended; err != nil {
		t.Errorf("the subscription ended with %v", err)
	}
	var want []event.Position
	for p := range event.Position(writers * each) {
		want = append(want, p+1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}

func TestNoServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	store := dial(t, "esdb://"+addr+"?tls=false&maxDiscoverAttempts=1")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := store.Append(ctx, "s", event.NoStream(), one()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("append: %v, want event.ErrUnavailable: nothing was sent", err)
	}
	if err := store.ReadAll(ctx, event.AllRead{}, func(event.Recorded) error { return nil }); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if _, err := store.State(ctx); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("state: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Calls that come while the node goes away hold no one, and not the store's end: the
// official client looks for a node for some of them, and another may never come.
func TestNoNodeComesBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 5 {
		link := newLink(t, serve(t, t.TempDir(), "127.0.0.1:0").server.Addr())
		store, err := eventstore.Open(eventstore.Options{URL: "esdb://" + link.addr() + "?tls=false&maxDiscoverAttempts=1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		var calling sync.WaitGroup
		cut := make(chan struct{})
		for range 200 {
			calling.Go(func() {
				for range 20 {
					_, _ = store.State(ctx)
					select {
					case <-cut:
						return
					default:
					}
				}
				<-cut
			})
		}
		link.cut()
		close(cut)
		calling.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if ctx.Err() != nil {
		t.Error("calls and closing took too long")
	}
}

// link forwards connections until it is cut.
type link struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	closed   bool
	copying  sync.WaitGroup
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener}
	t.Cleanup(l.cut)
	l.copying.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			l.mu.Lock()
			if l.open = append(l.open, from, there); l.closed {
				_, _ = from.Close(), there.Close()
			}
			l.mu.Unlock()
			l.copying.Go(func() { _, _ = io.Copy(from, there) })
			l.copying.Go(func() { _, _ = io.Copy(there, from) })
		}
	})
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) cut() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for _, c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.copying.Wait()
}

// A server that takes connections and never responds holds no one longer than its ctx.
func TestServerThatDoesNotAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	store := dial(t, "esdb://"+listener.Addr().String()+"?tls=false&maxDiscoverAttempts=1&gossipTimeout=1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := store.Append(ctx, "s", event.NoStream(), one()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestBinaryEventsStayBinary(t *testing.T) {
	s := serve(t, t.TempDir(), "127.0.0.1:0")
	store := dial(t, s.url())
	events := append(one(), event.New{ID: uuid.NewString(), Type: "B", Data: []byte{0xff}, Binary: true})
	if _, err := store.Append(t.Context(), "s", event.NoStream(), events); err != nil {
		t.Fatal(err)
	}
	var got []bool
	if err := store.ReadStream(t.Context(), event.StreamRead{Stream: "s"}, func(e event.Recorded) error {
		got = append(got, e.Binary)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bool{false, true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestState(t *testing.T) {
	s := serve(t, t.TempDir(), "127.0.0.1:0")
	store := dial(t, s.url())
	for want := range event.Position(3) {
		if got, err := store.State(t.Context()); err != nil || got != want {
			t.Errorf("last is %d, %v, want %d", got, err, want)
		}
		if _, err := store.Append(t.Context(), "s", event.Any(), one()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectionStringsThatAreRefused(t *testing.T) {
	for _, url := range []string{"", "http://localhost", "esdb://", "esdb://admin:hidden@local host:1", "esdb://admin:hidden@h:1:2:3?tls=maybe", "esdb://h?tls=maybe"} {
		_, err := eventstore.Open(eventstore.Options{URL: url})
		if err == nil {
			t.Errorf("%s is taken", url)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Error("the error shows the password")
		}
	}
}
