package aside_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/aside"
	"recapito/commands/commandstest"
	"recapito/commands/storetest/memory"
	"recapito/domain/event"
)

// refusing is a store that takes no appends while down is set.
type refusing struct {
	commands.Store
	down bool
}

func (s *refusing) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if s.down {
		return event.Appended{}, event.ErrUnavailable
	}
	return s.Store.Append(ctx, stream, expected, events)
}

func stored(t *testing.T, s commands.Store, stream, typ, data string) event.Recorded {
	t.Helper()
	appended, err := s.Append(t.Context(), stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: typ, Data: []byte(data)}})
	if err != nil {
		t.Fatal(err)
	}
	return event.Recorded{Stream: stream, Revision: appended.Revision, Position: appended.Position, Type: typ, Data: []byte(data)}
}

// What cannot be taken is set aside once, durably, whoever meets it again, and taken up when
// the consumer can; other errors and other consumers are as before.
func TestList(t *testing.T) {
	store := &refusing{Store: &memory.Store{}}
	list := aside.New(store, commandstest.Quiet, time.Now)
	can := false
	take := func(_ context.Context, r event.Recorded) error {
		if can {
			return nil
		}
		return event.NotRead(r, "its data cannot be decoded")
	}
	one, two := list.Of("one", take), list.Of("two", nil)
	r := stored(t, store, "notification-1", "NotificationSent", `"+39333"`)
	entries := func(l *aside.List) (all []string) {
		t.Helper()
		found, err := l.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			all = append(all, e.ID()+" "+e.Stream+" "+e.Type+": "+e.Why)
		}
		return all
	}

	store.down = true
	if err := one.Take(t.Context(), r, func() error { return take(t.Context(), r) }); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("while the store is down: %v", err)
	}
	store.down = false
	for range 3 {
		if err := one.Take(t.Context(), r, func() error { return take(t.Context(), r) }); err != nil {
			t.Fatal(err)
		}
	}
	away := errors.New("the key store is away")
	if err := one.Take(t.Context(), r, func() error { return away }); !errors.Is(err, away) {
		t.Errorf("what may succeed later: %v", err)
	}
	if err := two.Take(t.Context(), r, func() error { return &event.UnknownType{Name: r.Type} }); err != nil {
		t.Error(err)
	}
	panics := stored(t, store, "notification-1", "NotificationSent", `{}`)
	if err := two.Take(t.Context(), panics, func() error { return []error{nil}[panics.Revision] }); err != nil {
		t.Error(err)
	}
	want := []string{
		"one@0 notification-1 NotificationSent: its data cannot be decoded",
		"two@0 notification-1 NotificationSent: its type is not known",
		"two@3 notification-1 NotificationSent: handling it fails: runtime error: index out of range [1] with length 1",
	}
	if diff := cmp.Diff(want, entries(list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Another process finds the same, and sets nothing aside again.
	other := aside.New(store, commandstest.Quiet, time.Now)
	again := other.Of("one", take)
	other.Of("two", nil)
	if err := again.Set(t.Context(), event.NotRead(r, "again")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, entries(other)); diff != "" {
		t.Errorf("another process (-want +got):\n%s", diff)
	}

	for id, wrong := range map[string]error{"one@0": aside.ErrStillNot, "one@9": aside.ErrNoEntry, "x@0": aside.ErrNoEntry, "": aside.ErrNoEntry, "two@0": aside.ErrNoRetry} {
		if err := list.Retry(t.Context(), id); !errors.Is(err, wrong) {
			t.Errorf("retry %q: %v, want %v", id, err, wrong)
		}
	}
	can = true
	if err := list.Retry(t.Context(), "one@0"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], entries(list)); diff != "" {
		t.Errorf("taken up (-want +got):\n%s", diff)
	}
	if err := list.Retry(t.Context(), "one@0"); !errors.Is(err, aside.ErrNoEntry) {
		t.Errorf("retry again: %v", err)
	}
	if err := one.Set(t.Context(), event.NotRead(r, "it cannot again")); err != nil {
		t.Fatal(err)
	}
	if n := len(entries(list)); n != 3 {
		t.Errorf("%d entries once it could not again", n)
	}
}
