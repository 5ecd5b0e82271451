package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"recapito/domain/event"
)

// subscriber runs a subscription and hands its deliveries to the test.
type subscriber struct {
	events   chan event.Recorded
	caughtUp chan event.Position
	done     chan error
	cancel   context.CancelFunc
}

func (s suite) subscribe(t *testing.T, sub event.Subscription) *subscriber {
	t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	r := &subscriber{events: make(chan event.Recorded), caughtUp: make(chan event.Position, 1), done: make(chan error, 1), cancel: cancel}
	go func() {
		r.done <- s.store.Subscribe(ctx, sub, event.Handler{
			Event: func(e event.Recorded) error {
				select {
				case r.events <- e:
					return nil
				case <-ctx.Done():
					return nil
				}
			},
			CaughtUp: func(p event.Position) error {
				select {
				case r.caughtUp <- p:
				default:
				}
				return nil
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.done:
		case <-time.After(patience):
			t.Error("the subscription did not end with its context")
		}
	})
	return r
}

// take waits for n events.
func (r *subscriber) take(t *testing.T, n int) []event.Recorded {
	t.Helper()
	var got []event.Recorded
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case e := <-r.events:
			got = append(got, e)
		case err := <-r.done:
			r.done <- err
			t.Fatalf("the subscription ended after %d of %d events: %v", len(got), n, err)
		case <-deadline:
			t.Fatalf("%d of %d events within %v", len(got), n, patience)
		}
	}
	return got
}

func (r *subscriber) waitCaughtUp(t *testing.T) event.Position {
	t.Helper()
	select {
	case p := <-r.caughtUp:
		return p
	case e := <-r.events:
		t.Fatalf("event %s before CaughtUp", e.ID)
	case err := <-r.done:
		r.done <- err
		t.Fatalf("the subscription ended before CaughtUp: %v", err)
	case <-time.After(patience):
		t.Fatalf("no CaughtUp within %v", patience)
	}
	return 0
}

func testSubscribeCatchUpThenLive(t *testing.T, s suite) {
	first := s.fill(t, s.stream("a"), 7)
	r := s.subscribe(t, event.Subscription{Filter: s.filter()})
	sameRecorded(t, "catching up", first, r.take(t, len(first)))
	if p := r.waitCaughtUp(t); p < first[len(first)-1].Position {
		t.Errorf("caught up at %d, before the last event at %d", p, first[len(first)-1].Position)
	}
	// Live, by many writers at once: in the order of $all, each once.
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.store.Append(s.ctx, s.stream(fmt.Sprintf("live-%d", w)), event.Any(), newEvents(2)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	got := r.take(t, writers*each*2)
	wg.Wait()
	want := s.readAll(t, event.AllRead{From: first[len(first)-1].Position + 1, Filter: s.filter()})
	sameRecorded(t, "live", want, got)
}

func testSubscribeAfter(t *testing.T, s suite) {
	all := s.fill(t, s.stream("after"), 6)
	for i, e := range all {
		r := s.subscribe(t, event.Subscription{After: &e.Position, Filter: s.filter()})
		sameRecorded(t, fmt.Sprintf("after event %d", i), cut(all[i+1:], 0), r.take(t, len(all)-i-1))
		r.waitCaughtUp(t)
		r.cancel()
	}
	// A reader that stops and goes on where it was misses nothing.
	r := s.subscribe(t, event.Subscription{After: &all[1].Position, Filter: s.filter()})
	got := r.take(t, 2)
	r.cancel()
	more := s.fill(t, s.stream("more"), 3)
	r = s.subscribe(t, event.Subscription{After: &got[1].Position, Filter: s.filter()})
	sameRecorded(t, "taken up again", append(append([]event.Recorded{}, all[4:]...), more...), r.take(t, 5))
}

func testSubscribeFilters(t *testing.T, s suite) {
	a := s.mustAppend(t, s.stream("x-1"), event.Any(), newEvent("A"))
	s.mustAppend(t, s.stream("y-1"), event.Any(), newEvent("A"))
	s.mustAppend(t, s.stream("x-2"), event.Any(), newEvent("B"))
	filter := event.Filter{StreamPrefixes: []string{s.stream("x-")}, Types: []string{"A"}}
	r := s.subscribe(t, event.Subscription{Filter: filter})
	if got := r.take(t, 1); got[0].Position != a.Position {
		t.Errorf("got the event at %d, want that at %d", got[0].Position, a.Position)
	}
	r.waitCaughtUp(t)
	s.mustAppend(t, s.stream("y-1"), event.Any(), newEvent("A"))
	s.mustAppend(t, s.stream("x-1"), event.Any(), newEvent("B"))
	s.mustAppend(t, s.stream("x-3"), event.Any(), newEvent("A"))
	if got := r.take(t, 1); got[0].Stream != s.stream("x-3") {
		t.Errorf("got an event of %s type %s", got[0].Stream, got[0].Type)
	}
}

func testSubscribeHandlerErrors(t *testing.T, s suite) {
	s.fill(t, s.stream("refused"), 4)
	refused := errors.New("refused")
	handled := 0
	err := s.store.Subscribe(s.ctx, event.Subscription{Filter: s.filter()}, event.Handler{
		Event: func(event.Recorded) error {
			if handled++; handled == 2 {
				return refused
			}
			return nil
		},
	})
	if !errors.Is(err, refused) || handled != 2 {
		t.Errorf("Event: %v after %d events", err, handled)
	}
	err = s.store.Subscribe(s.ctx, event.Subscription{Filter: s.filter()}, event.Handler{
		CaughtUp: func(event.Position) error { return refused },
	})
	wantErr(t, "CaughtUp", err, refused)
}

func testSubscribeEnds(t *testing.T, s suite) {
	r := s.subscribe(t, event.Subscription{Filter: s.filter()})
	r.waitCaughtUp(t)
	r.cancel()
	select {
	case err := <-r.done:
		r.done <- err
		if err != nil {
			t.Errorf("ended with %v, want nil", err)
		}
	case <-time.After(patience):
		t.Error("does not end with its context")
	}
}

// testSubscribeSlow appends much while a reader is held up: it gets everything later.
func testSubscribeSlow(t *testing.T, s suite) {
	first := s.fill(t, s.stream("slow"), 1)
	r := s.subscribe(t, event.Subscription{Filter: s.filter()})
	const appends, each = 60, 50
	for range appends {
		s.mustAppend(t, s.stream("slow"), event.Any(), newEvents(each)...)
	}
	got := r.take(t, 1+appends*each)
	want := s.readAll(t, event.AllRead{From: first[0].Position, Filter: s.filter()})
	sameRecorded(t, "all", want, got)
}

func testSubscribeCheckpoints(t *testing.T, s suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	start := s.mustAppend(t, s.stream("others"), event.NoStream(), newEvent("Tested"))
	received, done := make(chan event.Position, 1), make(chan error, 1)
	caughtUp := make(chan struct{})
	var once sync.Once
	go func() {
		done <- s.store.Subscribe(ctx, event.Subscription{After: &start.Position, Filter: s.filter("Never")}, event.Handler{
			CaughtUp: func(event.Position) error {
				once.Do(func() { close(caughtUp) })
				return nil
			},
			Checkpoint: func(p event.Position) error {
				select {
				case received <- p:
				default:
				}
				return nil
			},
		})
	}()
	await(t, "CaughtUp", caughtUp)
	var last event.Appended
	for range 60 {
		last = s.mustAppend(t, s.stream("others"), event.Any(), newEvents(50)...)
	}
	p := await(t, "Checkpoint", received)
	if p <= start.Position {
		t.Errorf("checkpoint at %d, not after %d", p, start.Position)
	}
	if others := s.readAll(t, event.AllRead{From: last.Position + 1, Limit: 1}); len(others) == 0 && p > last.Position {
		t.Errorf("checkpoint at %d, beyond the last event at %d", p, last.Position)
	}
	cancel()
	if err := await(t, "the end", done); err != nil {
		t.Errorf("ended with %v, want nil", err)
	}
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}
