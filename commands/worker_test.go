package commands_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
)

func (b *bench) worker() *commands.Worker { return commands.NewWorker(b.n, b.deadlines, quiet) }

func dispatch(id string) commands.DispatchMessage {
	return commands.DispatchMessage{Tenant: simTenant, Notification: id, Attempt: 1}
}

// drained ends a worker within a second of the test's time.
func drained(t *testing.T, w *commands.Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	w.Drain(ctx)
}

// drive runs a test of a worker on fake time. The caches' goroutines end with it.
func drive(t *testing.T, test func(*testing.T, *bench, *commands.Worker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		w := b.worker()
		test(t, b, w)
		drained(t, w)
		if b.wire.acquired != b.wire.released {
			t.Errorf("capacity was taken %d times and given back %d times", b.wire.acquired, b.wire.released)
		}
	})
}

func TestWorkerSends(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		id := b.submitted("a")
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := b.types(notification.Stream(id)); got != "Requested Enriched Scheduled Dispatched Sent" {
			t.Errorf("events %s", got)
		}
		m := b.wire.sent[0]
		if m.Destination != number || !strings.HasPrefix(m.Content.Member("text"), "Dear Ada") || m.Sender != "Studio" || m.Reference != id+"/1" {
			t.Error("the message is not the one asked for")
		}
		if err := w.Handle(t.Context(), dispatch(id)); err != nil { // the message comes twice
			t.Fatal(err)
		}
		synctest.Wait()
		if len(b.wire.sent) != 1 {
			t.Errorf("sent %d times", len(b.wire.sent))
		}
	})
}

// TestWorkerHandsBack: what cannot be sent now is no error; what cannot be known is.
func TestWorkerHandsBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    func(*bench)
		err   error
		again time.Duration // given back as a deadline, after so long
	}{
		{"the route is full", func(b *bench) { b.wire.acquire = channel.ErrRouteFull }, nil, time.Second},
		{"the route is down", func(b *bench) { b.wire.acquire = channel.ErrRouteDown }, nil, 5 * time.Second},
		{"deadlines away", func(b *bench) { b.wire.acquire, b.deadlines.err = channel.ErrRouteDown, errAway }, errAway, 5 * time.Second},
		{"capacity fails otherwise", func(b *bench) { b.wire.acquire = errAway }, errAway, 0},
		{"no token", func(b *bench) { b.persons.tokens = errAway }, errAway, 0},
		{"the claim cannot be appended", func(b *bench) {
			b.store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnavailable, false }
		}, event.ErrUnavailable, 0},
		{"the claim's outcome stays unknown", func(b *bench) {
			b.store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnknownOutcome, true }
		}, event.ErrUnknownOutcome, 0},
		{"the route is not configured any more", func(b *bench) { b.routes[0].Name = "renamed" }, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
				id := b.submitted("a")
				test.do(b)
				if err := w.Handle(t.Context(), dispatch(id)); !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				synctest.Wait()
				if len(b.wire.sent) > 0 {
					t.Error("and yet it is on the wire")
				}
				var again time.Duration
				for _, d := range b.deadlines.set {
					again = time.Until(d.At)
					if !d.GivenBack || d.Attempt != 1 || d.Notification != id {
						t.Errorf("given back as %+v", d)
					}
				}
				if again != test.again {
					t.Errorf("comes again in %v, want %v", again, test.again)
				}
			})
		})
	}
}

// TestWorkerPanic: a panic on the way (the bus's router turns it into an error) keeps no
// capacity and holds up no shutdown; drive sees both.
func TestWorkerPanic(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		id := b.submitted("a")
		b.store.AppendFault = func(string, []event.New) (error, bool) { panic("a fault of the program") }
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			b.store.AppendFault = nil
		}()
		_ = w.Handle(t.Context(), dispatch(id)) // does not return
	})
}

// TestWorkerGivesBackAtTicks: copies that are given back meet at one moment.
func TestWorkerGivesBackAtTicks(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		id := b.submitted("a")
		b.wire.acquire = channel.ErrRouteDown
		for range 3 {
			time.Sleep(1300 * time.Millisecond)
			if err := w.Handle(t.Context(), dispatch(id)); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range b.deadlines.set {
			if !d.At.Equal(b.deadlines.set[0].At) {
				t.Errorf("copies come again %v apart", d.At.Sub(b.deadlines.set[0].At))
			}
		}
	})
}

func TestWorkerRefusedClaims(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		id := b.submitted("a")
		for name, d := range map[string]commands.DispatchMessage{
			"no such notification": dispatch("0190163d-8694-739b-aea5-966c26f8ad91"),
			"no such attempt":      {Tenant: simTenant, Notification: id, Attempt: 9},
		} {
			if err := w.Handle(t.Context(), d); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := appointment()
		r.SendAt = time.Now().Add(time.Hour)
		r.ExpiresAt = time.Now().Add(2 * time.Hour)
		a, err := b.n.Submit(t.Context(), origin, "later", r)
		if err != nil {
			t.Fatal(err)
		}
		b.tell(a.ID, b.plan(a.ID))
		for _, wait := range []time.Duration{0, 59 * time.Minute, 2 * time.Hour} { // not due, not due, expired
			time.Sleep(wait)
			if err := w.Handle(t.Context(), dispatch(a.ID)); err != nil {
				t.Error(err)
			}
		}
		b.tell(id, notification.Cancel{At: time.Now()})
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(b.wire.sent) > 0 {
			t.Errorf("%d messages are on the wire", len(b.wire.sent))
		}
	})
}

// TestWorkerFence: by half the wire limit the fence is shut and waiting ends.
func TestWorkerFence(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		id := b.submitted("a")
		half := time.Duration(commands.DefaultPolicy().WireLimit) / 2
		var open, shut bool
		b.wire.answer = func(ctx context.Context, _ channel.Message, fence func() bool, _ func(channel.Outcome)) channel.Outcome {
			time.Sleep(half - time.Millisecond)
			open = fence()
			<-ctx.Done() // its deadline is the fence's
			shut = fence()
			return channel.Outcome{Units: []channel.UnitOutcome{{Result: channel.UnitNotSent}}}
		}
		start := time.Now()
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(half)
		synctest.Wait()
		if !open || shut || time.Since(start) > half+time.Millisecond {
			t.Errorf("open before half the limit: %v; open at it: %v; after %v", open, shut, time.Since(start))
		}
		if got := b.types(notification.Stream(id)); got != "Requested Enriched Scheduled Dispatched Undelivered Retried Scheduled" {
			t.Errorf("events %s", got)
		}
		if s := b.state(id); s.Attempts[1].Try != 1 {
			t.Error("what was not sent counts as a try")
		}
	})
}

// TestWorkerLateAnswer: an answer after OutcomeUnknown is recorded, until the drain.
func TestWorkerLateAnswer(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
		var lates []func(channel.Outcome)
		b.wire.answer = func(_ context.Context, _ channel.Message, _ func() bool, late func(channel.Outcome)) channel.Outcome {
			lates = append(lates, late)
			return unanswered()
		}
		first, second := b.submitted("a"), b.submitted("b")
		for _, id := range []string{first, second} {
			if err := w.Handle(t.Context(), dispatch(id)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		lates[0](took("1"))
		if got := b.types(notification.Stream(first)); !strings.HasSuffix(got, "Dispatched OutcomeUnknown Sent") {
			t.Errorf("events %s", got)
		}
		drained(t, w)
		lates[1](took("2"))
		if got := b.types(notification.Stream(second)); !strings.HasSuffix(got, "Dispatched OutcomeUnknown") {
			t.Errorf("recorded after the drain: %s", got)
		}
	})
}

// TestWorkerStoreAway: the result is offered until the store takes it; if it never does,
// the worker gives up and says no more.
func TestWorkerStoreAway(t *testing.T) {
	for _, test := range []struct {
		name  string
		away  time.Duration
		ended string
	}{
		{"for a while", 3 * time.Second, "Dispatched Sent"},
		{"for ever", time.Hour, "Dispatched"},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
				id := b.submitted("a")
				back := time.Now().Add(test.away)
				tries := 0
				b.store.AppendFault = func(_ string, events []event.New) (error, bool) {
					if events[0].Type != "NotificationDispatched" && time.Now().Before(back) {
						tries++
						return event.ErrUnavailable, false
					}
					return nil, false
				}
				if err := w.Handle(t.Context(), dispatch(id)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := b.types(notification.Stream(id)); !strings.HasSuffix(got, test.ended) {
					t.Errorf("events %s", got)
				}
				if tries == 0 || tries > commands.ResultTries {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

// TestWorkerErasedDestination: what was erased after it was planned goes nowhere.
func TestWorkerErasedDestination(t *testing.T) {
	drive(t, func(t *testing.T, b *bench, _ *commands.Worker) {
		id := b.submitted("a")
		b.ledger.Sealer = personaltest.Sealer{Erased: map[string]bool{b.state(id).Requested.Person.Key: true}}
		b.n = b.another()
		w := b.worker()
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := b.state(id)
		if len(b.wire.sent) > 0 || s.Attempts[0].Status != notification.Undelivered || !s.Final() {
			t.Errorf("%d sent, attempt %s, final %v", len(b.wire.sent), s.Attempts[0].Status, s.Final())
		}
		drained(t, w)
	})
}

// TestWorkerDrain takes nothing more, waits for what is under way, and cuts it short
// when its own time is over: what was on the wire is unknown, and said so.
func TestWorkerDrain(t *testing.T) {
	for _, test := range []struct {
		name  string
		takes time.Duration
		given time.Duration
		ended string
		after time.Duration
	}{
		{"in time", 3 * time.Second, 10 * time.Second, "Dispatched Sent", 3 * time.Second},
		{"cut short", 14 * time.Second, 2 * time.Second, "Dispatched OutcomeUnknown", 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *bench, w *commands.Worker) {
				b.wire.answer = func(ctx context.Context, _ channel.Message, _ func() bool, _ func(channel.Outcome)) channel.Outcome {
					select {
					case <-time.After(test.takes):
						return took("1")
					case <-ctx.Done():
						return unanswered()
					}
				}
				id, other := b.submitted("a"), b.submitted("b")
				if err := w.Handle(t.Context(), dispatch(id)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				go func() {
					time.Sleep(time.Second)
					if err := w.Handle(context.Background(), dispatch(other)); !errors.Is(err, commands.ErrDraining) {
						t.Errorf("taken while draining: %v", err)
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), test.given)
				defer cancel()
				w.Drain(ctx)
				if took := time.Since(start); took != test.after {
					t.Errorf("drained in %v, want %v", took, test.after)
				}
				if got := b.types(notification.Stream(id)); !strings.HasSuffix(got, test.ended) {
					t.Errorf("events %s", got)
				}
				if got := b.types(notification.Stream(other)); strings.Contains(got, "Dispatched") {
					t.Errorf("the other one's events %s", got)
				}
			})
		})
	}
}
