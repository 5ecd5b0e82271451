package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
)

const consentPrefix = "consent-"

// consents is a claim guard that reads a person's stream to its end: any event there is a
// withdrawal.
type consents struct{ store commands.Store }

func (c consents) Check(ctx context.Context, s *notification.State, _ *notification.Attempt) (notification.Guard, error) {
	stream := consentPrefix + s.Requested.Person.Person
	var g notification.Guard
	err := c.store.ReadStream(ctx, event.StreamRead{Stream: stream}, func(r event.Recorded) error {
		g = notification.Guard{
			Verdict: notification.Forbid, Code: "opted_out", Detail: "the person opted out",
			Read: []notification.Revision{{Stream: stream, Revision: uint64(r.Revision)}},
		}
		return nil
	})
	if errors.Is(err, event.ErrStreamNotFound) {
		err = nil
	}
	return g, err
}

// withdrawal is the event of a person's stream that consents reads.
func withdrawal(id string) event.New {
	return event.New{ID: id, Type: "ConsentWithdrawn", Data: []byte("{}")}
}

// guardFunc is a claim guard.
type guardFunc func(ctx context.Context) (notification.Guard, error)

func (f guardFunc) Check(ctx context.Context, _ *notification.State, _ *notification.Attempt) (notification.Guard, error) {
	return f(ctx)
}

func finds(g notification.Guard) delivery.Guard {
	return guardFunc(func(context.Context) (notification.Guard, error) { return g, nil })
}

func read(stream string, revision uint64) []notification.Revision {
	return []notification.Revision{{Stream: stream, Revision: revision}}
}

// guarded runs a test of a worker with claim guards, on fake time.
func guarded(t *testing.T, test func(t *testing.T, b *commandstest.Bench, handle func(id string) error), guards func(*commandstest.Bench) []delivery.Guard) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := commandstest.New(t)
		w := delivery.NewWorker(b.N.Delivery(b.Deadlines, nil, guards(b)...))
		test(t, b, func(id string) error {
			err := w.Handle(t.Context(), dispatch(id))
			synctest.Wait()
			return err
		})
		drained(t, w)
		if b.Wire.Acquired != b.Wire.Released {
			t.Errorf("capacity was taken %d times and given back %d times", b.Wire.Acquired, b.Wire.Released)
		}
	})
}

func TestGuardAllows(t *testing.T) {
	guarded(t, func(t *testing.T, b *commandstest.Bench, handle func(string) error) {
		id := b.Submitted("a")
		if err := handle(id); err != nil {
			t.Fatal(err)
		}
		if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled Dispatched Sent") {
			t.Errorf("events %s", got)
		}
		var e notification.NotificationDispatched
		if err := json.Unmarshal(b.Store.Stream(notification.Stream(id))[3].Data, &e); err != nil {
			t.Fatal(err)
		}
		want := []notification.Revision{{Stream: "recipient-1", Revision: 7}, {Stream: "tenant-acme", Revision: 3}}
		if diff := cmp.Diff(want, e.Read); diff != "" {
			t.Error(diff)
		}
	}, func(*commandstest.Bench) []delivery.Guard {
		return []delivery.Guard{
			finds(notification.Guard{Read: read("recipient-1", 7)}), finds(notification.Guard{Read: read("tenant-acme", 3)}),
		}
	})
}

// TestGuardReschedules: of two closed windows the later counts; the attempt is sent when
// it opens, as its first try.
func TestGuardReschedules(t *testing.T) {
	const opens = time.Hour
	var begin time.Time
	window := func(after time.Duration) delivery.Guard {
		return guardFunc(func(context.Context) (notification.Guard, error) {
			if until := begin.Add(after); time.Now().Before(until) {
				return notification.Guard{Verdict: notification.Reschedule, Until: until, Code: "quiet_hours"}, nil
			}
			return notification.Guard{}, nil
		})
	}
	guarded(t, func(t *testing.T, b *commandstest.Bench, handle func(string) error) {
		begin = time.Now()
		id := b.Submitted("a")
		for range 2 { // the message comes twice
			if err := handle(id); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled Postponed") || len(b.Wire.Sent) > 0 {
			t.Fatalf("events %s, %d sent", got, len(b.Wire.Sent))
		}
		if b.Wire.Acquired != b.Wire.Released {
			t.Error("it waits with capacity in hand")
		}
		m := delivery.NewManager(b.N.Delivery(b.Deadlines, nil))
		defer m.Close()
		postponed := b.Store.Stream(notification.Stream(id))[3]
		if err := m.OnEvent(t.Context(), postponed); err != nil {
			t.Fatal(err)
		}
		if set := b.Deadlines.SetDeadlines; len(set) != 1 || !set[0].At.Equal(begin.Add(opens)) || set[0].GivenBack {
			t.Fatalf("deadlines %+v", set)
		}
		time.Sleep(opens)
		if err := handle(id); err != nil {
			t.Fatal(err)
		}
		if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled Postponed Dispatched Sent") {
			t.Errorf("events %s", got)
		}
		if a := b.State(id).Attempts; len(a) != 1 || a[0].Try != 1 {
			t.Errorf("%d attempts, the last is try %d", len(a), a[len(a)-1].Try)
		}
	}, func(*commandstest.Bench) []delivery.Guard {
		return []delivery.Guard{window(time.Minute), window(opens), window(time.Second)}
	})
}

func TestGuardForbids(t *testing.T) {
	guarded(t, func(t *testing.T, b *commandstest.Bench, handle func(string) error) {
		id := b.Submitted("a")
		for range 2 {
			if err := handle(id); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled Suppressed AttemptWithdrawn") || len(b.Wire.Sent) > 0 {
			t.Errorf("events %s, %d sent", got, len(b.Wire.Sent))
		}
		if s := b.State(id); s.Lifecycle() != notification.LifecycleSuppressed || !s.Final() {
			t.Errorf("the notification is %s, final: %v", s.Lifecycle(), s.Final())
		}
	}, func(*commandstest.Bench) []delivery.Guard {
		return []delivery.Guard{
			finds(notification.Guard{Verdict: notification.Reschedule, Until: time.Now().Add(time.Hour), Code: "quiet_hours"}),
			finds(notification.Guard{Verdict: notification.Forbid, Code: "opted_out", Detail: "the person opted out"}),
			finds(notification.Guard{}),
		}
	})
}

// TestGuardReadsBeforeTheClaim: a withdrawal that is durable before the claim begins is
// never sent. One that comes while capacity is waited for is such a one.
func TestGuardReadsBeforeTheClaim(t *testing.T) {
	guarded(t, func(t *testing.T, b *commandstest.Bench, handle func(string) error) {
		id := b.Submitted("a")
		stream := consentPrefix + b.State(id).Requested.Person.Person
		b.Wire.Waited = func() {
			if _, err := b.Store.Append(t.Context(), stream, event.NoStream(), []event.New{withdrawal(uuid.NewString())}); err != nil {
				t.Error(err)
			}
		}
		if err := handle(id); err != nil {
			t.Fatal(err)
		}
		if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled Suppressed AttemptWithdrawn") || len(b.Wire.Sent) > 0 {
			t.Errorf("events %s, %d sent", got, len(b.Wire.Sent))
		}
	}, func(b *commandstest.Bench) []delivery.Guard { return []delivery.Guard{consents{b.Store}} })
}

// TestGuardDoesNotKnow: nothing is claimed, and the message comes again.
func TestGuardDoesNotKnow(t *testing.T) {
	for _, test := range []struct {
		name  string
		guard guardFunc
		want  error
	}{
		{"an error", func(context.Context) (notification.Guard, error) { return notification.Guard{}, commandstest.ErrAway }, commandstest.ErrAway},
		{"no result in time", func(ctx context.Context) (notification.Guard, error) {
			<-ctx.Done()
			return notification.Guard{}, ctx.Err()
		}, context.DeadlineExceeded},
		{"a window that is open already", func(context.Context) (notification.Guard, error) {
			return notification.Guard{Verdict: notification.Reschedule, Until: time.Now()}, nil
		}, notification.ErrBadGuard},
	} {
		t.Run(test.name, func(t *testing.T) {
			guarded(t, func(t *testing.T, b *commandstest.Bench, handle func(string) error) {
				id := b.Submitted("a")
				if err := handle(id); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if got := b.Types(notification.Stream(id)); !strings.HasSuffix(got, "Scheduled") || len(b.Wire.Sent) > 0 {
					t.Errorf("events %s, %d sent", got, len(b.Wire.Sent))
				}
			}, func(*commandstest.Bench) []delivery.Guard { return []delivery.Guard{test.guard} })
		})
	}
}
