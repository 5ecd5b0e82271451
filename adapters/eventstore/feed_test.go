package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"recapito/adapters/eventstore"
	"recapito/commands"
	"recapito/commands/delivery"
	"recapito/domain/event"
)

var _ delivery.SharedFeed = (*eventstore.Feed)(nil)

// crew notes what instances have handled.
type crew struct {
	t       *testing.T
	mu      sync.Mutex
	handled map[string][]string // by event id: the instances
	fail    func(id string) error
}

const patience = 60 * time.Second

var notes = event.Filter{StreamPrefixes: []string{"note-"}, Types: []string{"Noted"}}

func newCrew(t *testing.T) *crew { return &crew{t: t, handled: map[string][]string{}} }

// join starts an instance with a client of its own; the function returned stops it.
func (c *crew) join(name, url string, sub event.Subscription) (stop func()) {
	c.t.Helper()
	store := dial(c.t, url)
	feed := store.Feed()
	feed.Hurry(time.Millisecond, 200*time.Millisecond)
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- feed.Consume(ctx, "crew", sub, func(_ context.Context, e event.Recorded) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fail != nil {
				if err := c.fail(e.ID); err != nil {
					return err
				}
			}
			if !notes.Passes(e.Stream, e.Type) {
				c.t.Errorf("%s on %s was handed over", e.Type, e.Stream)
			}
			c.handled[e.ID] = append(c.handled[e.ID], name)
			return nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	})
	c.t.Cleanup(stop)
	return stop
}

// await waits until all are handled.
func (c *crew) await(ids []string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		missing := 0
		c.mu.Lock()
		for _, id := range ids {
			if len(c.handled[id]) == 0 {
				missing++
			}
		}
		c.mu.Unlock()
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d events were never handled", missing, len(ids))
		}
	}
}

func (c *crew) by(name string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, names := range c.handled {
		for _, by := range names {
			if by == name {
				n++
			}
		}
	}
	return n
}

// write appends notes on many streams, among others' events, and returns their ids.
func write(t *testing.T, store commands.Store, n int) (ids []string) {
	t.Helper()
	for i := range n {
		for stream, typ := range map[string]string{"note-": "Noted", "other-": "Noted"} {
			id := uuid.NewString()
			events := []event.New{{ID: id, Type: typ, Data: []byte(`{}`)}, {ID: uuid.NewString(), Type: "Else", Data: []byte(`{}`)}}
			for {
				_, err := store.Append(t.Context(), fmt.Sprint(stream, i%40), event.Any(), events)
				if err == nil {
					break
				}
				if t.Context().Err() != nil || !errors.Is(err, event.ErrUnavailable) && !errors.Is(err, event.ErrUnknownOutcome) {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if stream == "note-" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Two instances share what there is and what comes; when one leaves, the other does all.
func TestFeedIsShared(t *testing.T) {
	url := serve(t, t.TempDir(), "127.0.0.1:0").url()
	writer := dial(t, url)
	c := newCrew(t)
	ids := write(t, writer, 100)
	leave := c.join("a", url, event.Subscription{Filter: notes})
	c.join("b", url, event.Subscription{Filter: notes})
	c.await(ids)
	for deadline := time.Now().Add(patience); c.by("a") == 0 || c.by("b") == 0; {
		c.await(write(t, writer, 40))
		if time.Now().After(deadline) {
			t.Fatalf("a did %d, b %d", c.by("a"), c.by("b"))
		}
	}
	leave()
	c.await(write(t, writer, 100))
}

// A restart of the server holds nothing up for good and loses nothing.
func TestFeedOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir, "127.0.0.1:0")
	addr := first.server.Addr()
	writer := dial(t, first.url())
	c := newCrew(t)
	c.join("a", first.url(), event.Subscription{Filter: notes})
	c.join("b", first.url(), event.Subscription{Filter: notes})
	ids := write(t, writer, 50)
	c.await(ids[:10])
	first.close()
	serve(t, dir, addr)
	c.await(append(ids, write(t, writer, 50)...))
}

// What fails comes again, is parked, and comes again all the same.
func TestFeedRepeatsWhatFails(t *testing.T) {
	url := serve(t, t.TempDir(), "127.0.0.1:0").url()
	c := newCrew(t)
	tries := map[string]int{}
	c.fail = func(id string) error {
		if tries[id]++; tries[id] < 15 { // more than the group takes before it parks one
			return errors.New("not now")
		}
		return nil
	}
	c.join("a", url, event.Subscription{Filter: notes})
	c.await(write(t, dial(t, url), 5))
}

// A new group begins where it is told to; one that is there goes on where it was, with
// the settings of this program.
func TestFeedBegins(t *testing.T) {
	url := serve(t, t.TempDir(), "127.0.0.1:0").url()
	writer := dial(t, url)
	old := write(t, writer, 10)
	after, err := writer.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := newCrew(t)
	leave := c.join("a", url, event.Subscription{Filter: notes, After: &after})
	c.await(write(t, writer, 10))
	leave()
	more := write(t, writer, 10)

	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	settings := func() esdb.PersistentSubscriptionSettings {
		t.Helper()
		info, err := client.GetPersistentSubscriptionInfoToAll(t.Context(), "crew", esdb.GetPersistentSubscriptionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := *info.Settings
		s.StartFrom = nil
		return s
	}
	ours, others := settings(), esdb.SubscriptionSettingsDefault()
	if err := client.UpdatePersistentSubscriptionToAll(t.Context(), "crew", esdb.PersistentAllSubscriptionOptions{Settings: &others, StartFrom: esdb.Start{}}); err != nil {
		t.Fatal(err)
	}
	if settings() == ours {
		t.Fatal("the settings cannot be told apart")
	}
	c.join("b", url, event.Subscription{Filter: notes})
	c.await(more)
	if got := settings(); got != ours {
		t.Errorf("the group's settings are %+v, want %+v", got, ours)
	}
	for _, id := range old {
		if names := c.handled[id]; len(names) > 0 {
			t.Errorf("one from before the beginning was handed over to %v", names)
		}
	}
}
