package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
)

func newWorker(b *commandstest.Bench) *delivery.Worker {
	return delivery.NewWorker(b.N.Delivery(b.Deadlines, nil))
}

func dispatch(id string) delivery.DispatchMessage {
	return delivery.DispatchMessage{Tenant: commandstest.Tenant, Notification: id, Attempt: 1}
}

// drained ends a worker within a second of the test's time.
func drained(t *testing.T, w *delivery.Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	w.Drain(ctx)
}

// drive runs a test of a worker on fake time. The caches' goroutines end with it.
func drive(t *testing.T, test func(*testing.T, *commandstest.Bench, *delivery.Worker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := commandstest.New(t)
		w := newWorker(b)
		test(t, b, w)
		drained(t, w)
		if b.Wire.Acquired != b.Wire.Released {
			t.Errorf("capacity was taken %d times and given back %d times", b.Wire.Acquired, b.Wire.Released)
		}
	})
}

func TestWorkerSends(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := b.Types(notification.Stream(id)); got != "Requested Enriched Scheduled Dispatched Sent" {
			t.Errorf("events %s", got)
		}
		m := b.Wire.Sent[0]
		if m.Destination != commandstest.Number || !strings.HasPrefix(m.Content.Member("text"), "Dear Ada") || m.Sender != "Studio" || m.Reference != id+"/1" {
			t.Error("the message is not the one asked for")
		}
		if err := w.Handle(t.Context(), dispatch(id)); err != nil { // the message comes twice
			t.Fatal(err)
		}
		synctest.Wait()
		if len(b.Wire.Sent) != 1 {
			t.Errorf("sent %d times", len(b.Wire.Sent))
		}
	})
}

// Some providers build their ids, and codes, from the number: no event holds it.
func TestWorkerStoresNoNumber(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		b.Wire.Answer = func(context.Context, channel.Message, func() bool, func(channel.Outcome)) channel.Outcome {
			return commandstest.Took(commandstest.Number[1:] + "-77")
		}
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		refused := b.Submitted("b")
		b.Wire.Answer = func(context.Context, channel.Message, func() bool, func(channel.Outcome)) channel.Outcome {
			return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitRefused, Code: "MSISDN-" + commandstest.Number[1:] + "-absent"}}}
		}
		if err := w.Handle(t.Context(), dispatch(refused)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, id := range []string{id, refused} {
			for _, e := range b.Store.Stream(notification.Stream(id))[3:] { // from Dispatched on
				if strings.Contains(string(e.Data), commandstest.Number[3:]) {
					t.Errorf("%s holds the destination", e.Type)
				}
			}
		}
		built, err := b.Persons.DestinationToken(t.Context(), "main", commands.IDForm(commandstest.Number[1:]+"-77"), b.Ledger.Now())
		if err != nil {
			t.Fatal(err)
		}
		if a := b.State(id).Attempts[0]; len(a.Accepted) != 1 || a.Accepted[0].ProviderID != commands.HashedID(built) {
			t.Error("an id that holds the number is not stored as its token")
		}
		other := b.Submitted("c")
		b.Wire.Answer = func(context.Context, channel.Message, func() bool, func(channel.Outcome)) channel.Outcome {
			return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitAccepted, ProviderID: "mario.rossi@example.org"}}}
		}
		if err := w.Handle(t.Context(), dispatch(other)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		token, err := b.Persons.DestinationToken(t.Context(), "main", commands.IDForm("mario.rossi@example.org"), b.Ledger.Now())
		if err != nil {
			t.Fatal(err)
		}
		if a := b.State(other).Attempts[0]; len(a.Accepted) != 1 || a.Accepted[0].ProviderID != commands.HashedID(token) {
			t.Error("an id that is another's mailbox is not stored as its token")
		}
	})
}

// TestWorkerHandsBack: what cannot be sent now is no error; what cannot be known is.
func TestWorkerHandsBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    func(*commandstest.Bench)
		err   error
		again time.Duration // given back as a deadline, after so long
	}{
		{"the route is full", func(b *commandstest.Bench) { b.Wire.AcquireErr = channel.ErrRouteFull }, nil, time.Second},
		{"the route is down", func(b *commandstest.Bench) { b.Wire.AcquireErr = channel.ErrRouteDown }, nil, 5 * time.Second},
		{"deadlines away", func(b *commandstest.Bench) {
			b.Wire.AcquireErr, b.Deadlines.Err = channel.ErrRouteDown, commandstest.ErrAway
		}, commandstest.ErrAway, 5 * time.Second},
		{"capacity fails otherwise", func(b *commandstest.Bench) { b.Wire.AcquireErr = commandstest.ErrAway }, commandstest.ErrAway, 0},
		{"no token", func(b *commandstest.Bench) { b.Persons.Tokens = commandstest.ErrAway }, commandstest.ErrAway, 0},
		{"the claim cannot be appended", func(b *commandstest.Bench) {
			b.Store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnavailable, false }
		}, event.ErrUnavailable, 0},
		{"the claim's outcome stays unknown", func(b *commandstest.Bench) {
			b.Store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnknownOutcome, true }
		}, event.ErrUnknownOutcome, 0},
		{"the route is not configured any more", func(b *commandstest.Bench) { b.Routes[0].Name = "renamed" }, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
				id := b.Submitted("a")
				test.do(b)
				if err := w.Handle(t.Context(), dispatch(id)); !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				synctest.Wait()
				if len(b.Wire.Sent) > 0 {
					t.Error("and yet it is on the wire")
				}
				var again time.Duration
				for _, d := range b.Deadlines.SetDeadlines {
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
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		b.Store.AppendFault = func(string, []event.New) (error, bool) { panic("a fault of the program") }
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			b.Store.AppendFault = nil
		}()
		_ = w.Handle(t.Context(), dispatch(id)) // does not return
	})
}

// TestWorkerGivesBackAtTicks: copies that are given back meet at one moment.
func TestWorkerGivesBackAtTicks(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		b.Wire.AcquireErr = channel.ErrRouteDown
		for range 3 {
			time.Sleep(1300 * time.Millisecond)
			if err := w.Handle(t.Context(), dispatch(id)); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range b.Deadlines.SetDeadlines {
			if !d.At.Equal(b.Deadlines.SetDeadlines[0].At) {
				t.Errorf("copies come again %v apart", d.At.Sub(b.Deadlines.SetDeadlines[0].At))
			}
		}
	})
}

func TestWorkerRefusedClaims(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		for name, d := range map[string]delivery.DispatchMessage{
			"no such notification": dispatch("0190163d-8694-739b-aea5-966c26f8ad91"),
			"no such attempt":      {Tenant: commandstest.Tenant, Notification: id, Attempt: 9},
		} {
			if err := w.Handle(t.Context(), d); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := commandstest.Appointment()
		r.SendAt = time.Now().Add(time.Hour)
		r.ExpiresAt = time.Now().Add(2 * time.Hour)
		a, err := b.N.Submit(t.Context(), commandstest.Origin, "later", r)
		if err != nil {
			t.Fatal(err)
		}
		b.Tell(a.ID, b.Plan(a.ID))
		for _, wait := range []time.Duration{0, 59 * time.Minute, 2 * time.Hour} { // not due, not due, expired
			time.Sleep(wait)
			if err := w.Handle(t.Context(), dispatch(a.ID)); err != nil {
				t.Error(err)
			}
		}
		b.Tell(id, notification.Cancel{At: time.Now()})
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(b.Wire.Sent) > 0 {
			t.Errorf("%d messages are on the wire", len(b.Wire.Sent))
		}
	})
}

// TestWorkerFence: by half the wire limit the fence is shut and waiting ends.
func TestWorkerFence(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		id := b.Submitted("a")
		half := time.Duration(channel.DefaultPolicy().WireLimit) / 2
		var open, shut bool
		b.Wire.Answer = func(ctx context.Context, _ channel.Message, fence func() bool, _ func(channel.Outcome)) channel.Outcome {
			time.Sleep(half - time.Millisecond)
			open = fence()
			<-ctx.Done() // its deadline is the fence's
			shut = fence()
			return channel.Outcome{Units: []notification.UnitOutcome{{Fate: notification.UnitNotSent}}}
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
		if got := b.Types(notification.Stream(id)); got != "Requested Enriched Scheduled Dispatched Undelivered Retried Scheduled" {
			t.Errorf("events %s", got)
		}
		if s := b.State(id); s.Attempts[1].Try != 1 {
			t.Error("what was not sent counts as a try")
		}
	})
}

// TestWorkerLateAnswer: an answer after OutcomeUnknown is recorded, until the drain.
func TestWorkerLateAnswer(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
		var lates []func(channel.Outcome)
		b.Wire.Answer = func(_ context.Context, _ channel.Message, _ func() bool, late func(channel.Outcome)) channel.Outcome {
			lates = append(lates, late)
			return commandstest.Unanswered()
		}
		first, second := b.Submitted("a"), b.Submitted("b")
		for _, id := range []string{first, second} {
			if err := w.Handle(t.Context(), dispatch(id)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		lates[0](commandstest.Took("1"))
		if got := b.Types(notification.Stream(first)); !strings.HasSuffix(got, "Dispatched OutcomeUnknown Sent") {
			t.Errorf("events %s", got)
		}
		drained(t, w)
		lates[1](commandstest.Took("2"))
		if got := b.Types(notification.Stream(second)); !strings.HasSuffix(got, "Dispatched OutcomeUnknown") {
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
			drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
				id := b.Submitted("a")
				back := time.Now().Add(test.away)
				tries := 0
				b.Store.AppendFault = func(_ string, events []event.New) (error, bool) {
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
				if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, test.ended) {
					t.Errorf("events %s", got)
				}
				if tries == 0 || tries > delivery.ResultTries {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

// TestWorkerErasedDestination: what was erased after it was planned goes nowhere.
func TestWorkerErasedDestination(t *testing.T) {
	drive(t, func(t *testing.T, b *commandstest.Bench, _ *delivery.Worker) {
		id := b.Submitted("a")
		b.Ledger.Sealer = personaltest.Sealer{Erased: map[string]bool{b.State(id).Requested.Person.Key: true}}
		b.N = b.Another()
		w := newWorker(b)
		if err := w.Handle(t.Context(), dispatch(id)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := b.State(id)
		if len(b.Wire.Sent) > 0 || s.Attempts[0].Status != notification.Undelivered || !s.Final() {
			t.Errorf("%d sent, attempt %s, final %v", len(b.Wire.Sent), s.Attempts[0].Status, s.Final())
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
			drive(t, func(t *testing.T, b *commandstest.Bench, w *delivery.Worker) {
				b.Wire.Answer = func(ctx context.Context, _ channel.Message, _ func() bool, _ func(channel.Outcome)) channel.Outcome {
					select {
					case <-time.After(test.takes):
						return commandstest.Took("1")
					case <-ctx.Done():
						return commandstest.Unanswered()
					}
				}
				id, other := b.Submitted("a"), b.Submitted("b")
				if err := w.Handle(t.Context(), dispatch(id)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				go func() {
					time.Sleep(time.Second)
					if err := w.Handle(context.Background(), dispatch(other)); !errors.Is(err, delivery.ErrDraining) {
						t.Errorf("taken while draining: %v", err)
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), test.given)
				defer cancel()
				w.Drain(ctx)
				if took := time.Since(start); took != test.after {
					t.Errorf("drained in %v, want %v", took, test.after)
				}
				if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, test.ended) {
					t.Errorf("events %s", got)
				}
				if got := b.Types(notification.Stream(other)); strings.Contains(got, "Dispatched") {
					t.Errorf("the other one's events %s", got)
				}
			})
		})
	}
}
