package intake_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
)

func TestSubmitOnceAKey(t *testing.T) {
	b := commandstest.New(t)
	first, err := b.N.Submit(t.Context(), commandstest.Origin, "order-1", commandstest.Appointment())
	if err != nil || !first.Created {
		t.Fatalf("first: %+v, %v", first.Created, err)
	}
	for name, n := range map[string]*commandstest.Side{"same process": b.N, "another one": b.Another()} {
		again, err := n.Submit(t.Context(), commandstest.Origin, "order-1", commandstest.Appointment())
		if err != nil || again.ID != first.ID || again.Created {
			t.Errorf("%s: id equal %v, created %v, %v", name, again.ID == first.ID, again.Created, err)
		}
		other := commandstest.Appointment()
		other.Fields["day"] = "2026-12-02"
		if _, err := n.Submit(t.Context(), commandstest.Origin, "order-1", other); !errors.Is(err, notification.ErrKeyReused) {
			t.Errorf("%s, another body: %v, want ErrKeyReused", name, err)
		}
	}
	elsewhere := commandstest.Origin
	elsewhere.Tenant = "other"
	if _, err := b.N.Submit(t.Context(), elsewhere, "order-1", commandstest.Appointment()); err == nil {
		t.Error("another tenant has our scenario")
	}
	if got := b.Types(notification.Stream(first.ID)); got != "Requested" {
		t.Errorf("events %s", got)
	}
}

// TestSubmitAtOnce: one key, many at the same time, two bodies: one notification, and
// exactly the callers with the other body are refused.
func TestSubmitAtOnce(t *testing.T) {
	b := commandstest.New(t)
	var running sync.WaitGroup
	var mu sync.Mutex
	created, refused, accepted := 0, map[bool]int{}, map[bool]int{}
	sides := []*commandstest.Side{b.N, b.Another()}
	for i := range 20 {
		running.Go(func() {
			r, odd := commandstest.Appointment(), i%2 == 1
			if odd {
				r.Fields["name"] = "Grace"
			}
			a, err := sides[i/2%2].Submit(t.Context(), commandstest.Origin, "order-2", r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				accepted[odd]++
				if a.Created {
					created++
				}
			case errors.Is(err, notification.ErrKeyReused):
				refused[odd]++
			default:
				t.Errorf("Submit: %v", err)
			}
		})
	}
	running.Wait()
	if created != 1 || len(accepted) != 1 || len(refused) != 1 || accepted[true]+accepted[false] != 10 {
		t.Errorf("created %d, accepted %v, refused %v", created, accepted, refused)
	}
}

// TestSubmitAgainAfterItsTimes: a repeated request is answered with its notification
// even after its times have passed.
func TestSubmitAgainAfterItsTimes(t *testing.T) {
	b := commandstest.New(t)
	now := time.Now()
	b.Ledger.Now = func() time.Time { return now }
	r := commandstest.Appointment()
	r.ExpiresAt = now.Add(time.Minute)
	first, err := b.N.Submit(t.Context(), commandstest.Origin, "order-3", r)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if again, err := b.N.Submit(t.Context(), commandstest.Origin, "order-3", r); err != nil || again.ID != first.ID {
		t.Errorf("repeated after expires_at: %v", err)
	}
}

func TestSubmitErrors(t *testing.T) {
	b := commandstest.New(t)
	b.Persons.Err = commands.ErrKeyErased
	if _, err := b.N.Submit(t.Context(), commandstest.Origin, "", commandstest.Appointment()); !errors.Is(err, intake.ErrErased) {
		t.Errorf("an erased person: %v, want ErrErased", err)
	}
	b.Persons.Err = commandstest.ErrAway
	if _, err := b.N.Submit(t.Context(), commandstest.Origin, "", commandstest.Appointment()); !errors.Is(err, commandstest.ErrAway) || errors.Is(err, intake.ErrErased) {
		t.Errorf("a key store that does not answer: %v", err)
	}
	b.Persons.Err = nil
	a, err := b.N.Submit(t.Context(), commandstest.Origin, "order-4", commandstest.Appointment())
	if err != nil {
		t.Fatal(err)
	}
	b.Persons.Err = commands.ErrKeyErased
	if _, err := b.N.Submit(t.Context(), commandstest.Origin, "order-4", commandstest.Appointment()); !errors.Is(err, intake.ErrErased) {
		t.Errorf("the key of an erased person's request: %v, want ErrErased", err)
	}
	b.Persons.Err = nil
	b.Store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrUnavailable, false }
	if _, err := b.N.Submit(t.Context(), commandstest.Origin, "order-5", commandstest.Appointment()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a store that does not answer: %v", err)
	}
	if n := len(b.Store.All()); n != 1 || a.Position != b.Store.All()[0].Position {
		t.Errorf("%d events", n)
	}
}

// TestNothingInClear: what was asked for stands in no event, and opens again.
func TestNothingInClear(t *testing.T) {
	b := commandstest.New(t)
	id := b.Submitted("order-6")
	for _, e := range b.Store.All() {
		for _, value := range []string{commandstest.Number, "333123", "Ada", "Dear"} {
			if bytes.Contains(e.Data, []byte(value)) || bytes.Contains(e.Metadata, []byte(value)) {
				t.Errorf("%s holds a value in clear", e.Type)
			}
		}
	}
	s := b.State(id)
	if clear, ok := s.Plan.Steps[0].Targets[0].Content.Clear(); !ok || !strings.Contains(clear, `"text":"Dear Ada`) {
		t.Error("the content does not open")
	}
	entries, err := b.N.History(t.Context(), commandstest.Tenant, id, 0, 100)
	if err != nil || len(entries) != 3 {
		t.Fatalf("history of %d events, %v", len(entries), err)
	}
	requested, ok := entries[0].Event.(notification.NotificationRequested)
	if !ok || !requested.Fields["name"].IsSealed() || entries[0].Metadata.Actor != commandstest.Origin.Actor {
		t.Error("the history opens values, or does not say who")
	}
	if page, err := b.N.History(t.Context(), commandstest.Tenant, id, 1, 1); err != nil || len(page) != 1 || page[0].Recorded.Revision != 1 {
		t.Errorf("a page of the history: %d events, %v", len(page), err)
	}
}

// TestErasedIsSuppressed: what was erased before it was planned is not sent.
func TestErasedIsSuppressed(t *testing.T) {
	b := commandstest.New(t)
	a, err := b.N.Submit(t.Context(), commandstest.Origin, "order-7", commandstest.Appointment())
	if err != nil {
		t.Fatal(err)
	}
	b.Ledger.Sealer = personaltest.Sealer{Erased: map[string]bool{a.State.Requested.Person.Key: true}}
	b.N = b.Another()
	if c, ok := b.Plan(a.ID).(notification.Suppress); !ok || c.Code != "erased" {
		t.Errorf("planned as %T, want Suppress", b.Plan(a.ID))
	}
}

func TestAnothersIsAbsent(t *testing.T) {
	b := commandstest.New(t)
	id := b.Submitted("order-8")
	stranger := commandstest.Origin
	stranger.Tenant = "stranger"
	_, absent := b.N.Get(t.Context(), commandstest.Tenant, "0190163d-8694-739b-aea5-966c26f8ad91")
	for what, do := range map[string]func() error{
		"Get":     func() error { _, err := b.N.Get(t.Context(), "stranger", id); return err },
		"History": func() error { _, err := b.N.History(t.Context(), "stranger", id, 0, 10); return err },
		"Cancel":  func() error { _, err := b.N.Cancel(t.Context(), stranger, id, ""); return err },
	} {
		if err := do(); !errors.Is(err, notification.ErrAbsent) || err.Error() != absent.Error() {
			t.Errorf("%s: %v, want %v", what, err, absent)
		}
	}
	if got := b.Types(notification.Stream(id)); got != "Requested Enriched Scheduled" {
		t.Errorf("events %s", got)
	}
}

func TestCancel(t *testing.T) {
	b := commandstest.New(t)
	id := b.Submitted("order-9")
	c, err := b.N.Cancel(t.Context(), commandstest.Origin, id, "not needed")
	if err != nil || c.State.Lifecycle() != notification.LifecycleCancelled || len(c.Sent) != 0 {
		t.Fatalf("%v, sent %v, %v", c.State.Lifecycle(), c.Sent, err)
	}
	if _, err := b.N.Cancel(t.Context(), commandstest.Origin, id, ""); err != nil {
		t.Errorf("cancelled again: %v", err)
	}
	id = b.Submitted("order-10")
	b.Tell(id, notification.Claim{Attempt: 1, Claim: "c", At: time.Now()})
	if _, err := b.N.Cancel(t.Context(), commandstest.Origin, id, ""); !errors.Is(err, notification.ErrInFlight) {
		t.Errorf("in flight: %v", err)
	}
	b.Tell(id, notification.RecordOutcome{Attempt: 1, Claim: "c", At: time.Now(), Units: []notification.UnitOutcome{{Fate: notification.UnitAccepted, ProviderID: "1", At: time.Now()}}})
	if c, err := b.N.Cancel(t.Context(), commandstest.Origin, id, ""); err != nil || len(c.Sent) != 1 || c.Sent[0] != 1 {
		t.Errorf("after it was sent: %v, %v", c.Sent, err)
	}
}

// TestPlanner rejects what cannot be sent, and says why.
func TestPlanner(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*commandstest.Bench, *intake.Request)
		code string
	}{
		{"the text is too long", func(_ *commandstest.Bench, r *intake.Request) { r.Fields["name"] = strings.Repeat("Ada ", 100) }, "text_too_long"},
		{"the route is gone", func(b *commandstest.Bench, _ *intake.Request) { b.Routes[0].Kind.Name = "pigeon" }, "no_address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := commandstest.New(t)
			r := commandstest.Appointment()
			test.do(&commandstest.Bench{Routes: make(channel.Routes, 1)}, &r)
			a, err := b.N.Submit(t.Context(), commandstest.Origin, "", r)
			if err != nil {
				t.Fatal(err)
			}
			test.do(b, &r)
			c, ok := b.Plan(a.ID).(notification.Reject)
			if !ok || c.Code != test.code || len(c.Why) == 0 && test.code == "no_address" {
				t.Errorf("planned as %T %q, want Reject %q", b.Plan(a.ID), c.Code, test.code)
			}
			if strings.Contains(c.Detail, "Ada") {
				t.Error("the reason holds a value")
			}
		})
	}
}
