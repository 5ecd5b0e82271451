package histories_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/projections/histories"
)

func newGenerator(t testing.TB, o histories.Options) (*histories.Generator, *event.Codec) {
	t.Helper()
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	o.Codec = codec
	g, err := histories.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g, codec
}

// What is generated is what the domain could have decided: it folds, each attempt event
// comes from the status that the fold has, and everything that must agree agrees.
func TestHistoriesAreValid(t *testing.T) {
	g, codec := newGenerator(t, histories.Options{Seed: 7, Every: time.Minute})
	c := checker{
		t: t, codec: codec, notifications: map[string]notification.State{}, receipts: map[string]receipt.State{},
		revisions: map[string]event.Revision{}, ids: map[string]bool{}, seen: map[string]int{}, persons: map[string]string{},
	}
	for c.events < 20_000 && !t.Failed() {
		c.add(g.Next())
	}
	// No provider gives an id twice here, no person gives up, and no claim is postponed.
	never := []string{"ReceiptAmbiguous", "NotificationGivenUp", "NotificationPostponed"}
	for _, name := range codec.Names() {
		ofThem := strings.HasPrefix(name, "Notification") || strings.HasPrefix(name, "Receipt") || strings.HasPrefix(name, "Submission")
		if ofThem && c.seen[name] == 0 && !slices.Contains(never, name) {
			t.Errorf("no %s among %d events", name, c.events)
		}
	}
	ends := map[notification.Lifecycle]int{}
	for _, s := range c.notifications {
		ends[s.Lifecycle()]++
	}
	t.Logf("%d events of %d notifications and %d persons; %v; %v", c.events, len(c.notifications), len(c.persons), ends, c.seen)
	for _, end := range []notification.Lifecycle{
		notification.LifecycleDelivered, notification.LifecycleRead, notification.LifecycleExhausted, notification.LifecycleCancelled,
		notification.LifecycleExpired, notification.LifecycleRejected, notification.LifecycleSuppressed,
	} {
		if ends[end] == 0 {
			t.Errorf("no notification is %s", end)
		}
	}
}

type checker struct {
	t             *testing.T
	codec         *event.Codec
	notifications map[string]notification.State
	receipts      map[string]receipt.State
	revisions     map[string]event.Revision
	ids           map[string]bool
	seen          map[string]int
	persons       map[string]string // the tenant of each
	last          time.Time
	events        int
}

func (c *checker) add(a histories.Append) {
	c.t.Helper()
	if a.At.Before(c.last) {
		c.t.Errorf("recorded at %v after %v", a.At, c.last)
	}
	c.last = a.At
	if a.First != c.revisions[a.Stream] {
		c.t.Errorf("%s is at %d, the append begins at %d", a.Stream, c.revisions[a.Stream], a.First)
	}
	c.revisions[a.Stream] += event.Revision(len(a.Events))
	for i, e := range a.Events {
		c.events++
		c.seen[e.Type]++
		if c.ids[e.ID] || uuid.Validate(e.ID) != nil {
			c.t.Errorf("%s: event id %q", a.Stream, e.ID)
		}
		c.ids[e.ID] = true
		m, err := event.DecodeMetadata(e.Metadata)
		if err != nil || m.Tenant == "" || m.Actor == "" || m.CorrelationID == "" || !m.RecordedAt.Equal(a.At) || m.OccurredAt.After(a.At) {
			c.t.Errorf("%s: %v, metadata %s", e.Type, err, e.Metadata)
		}
		if m.CausationID != "" && !c.ids[m.CausationID] {
			c.t.Errorf("%s is caused by what was not before it", e.Type)
		}
		decoded, err := c.codec.Decode(c.t.Context(), nil, m.Tenant, event.Recorded{
			Stream: a.Stream, Revision: a.First + event.Revision(i), Type: e.Type, Data: e.Data, Metadata: e.Metadata,
		})
		if err != nil {
			c.t.Fatalf("%s: %v", e.Data, err)
		}
		switch e := decoded.(type) {
		case notification.Event:
			c.notification(strings.TrimPrefix(a.Stream, notification.StreamPrefix), m, e, a.At)
		case receipt.Event:
			if s, ok := e.(receipt.SubmissionRegistered); ok {
				if n := c.notifications[s.Notification]; len(n.Attempts) < s.Attempt || a.Stream != receipt.Stream(n.Attempts[s.Attempt-1].Route, n.Attempts[s.Attempt-1].Accepted[s.Unit-1].ProviderID) {
					c.t.Errorf("%s registers what was not accepted under it", a.Stream)
				}
			}
			c.receipts[a.Stream] = receipt.Evolve(c.receipts[a.Stream], e)
		}
	}
}

func (c *checker) notification(id string, m event.Metadata, e notification.Event, at time.Time) {
	s := c.notifications[id]
	if uuid.Validate(id) != nil || id != m.CorrelationID {
		c.t.Errorf("notification %q, correlation %q", id, m.CorrelationID)
	}
	if e, ok := e.(notification.NotificationRequested); ok {
		if owner, known := c.persons[e.Person.Person]; known && owner != m.Tenant {
			c.t.Errorf("a person of %s and %s", owner, m.Tenant)
		}
		c.persons[e.Person.Person] = m.Tenant
		if e.IdempotencyKey != "" && id != notification.IDFor(m.Tenant, e.IdempotencyKey) || e.Tenant != m.Tenant {
			c.t.Errorf("%s is not the id of tenant %s and key %s", id, e.Tenant, e.IdempotencyKey)
		}
	}
	if e, ok := e.(notification.AttemptEvent); ok {
		f := e.AttemptFacts()
		status := notification.None
		if a, ok := s.Attempt(f.Attempt); ok {
			status = a.Status
			if f.Day != a.Day || f.Route != a.Route {
				c.t.Errorf("%T is filed under %s, %s, not %s, %s", e, f.Day, f.Route, a.Day, a.Route)
			}
		} else if scheduled, ok := e.(notification.NotificationScheduled); !ok || f.Day != scheduled.Due.Format(time.DateOnly) {
			c.t.Errorf("%T of attempt %d of %s, day %s", e, f.Attempt, id, f.Day)
		}
		if f.From != status {
			c.t.Errorf("%T from %q, the fold has %q", e, f.From, status)
		}
		if f.Person != s.Requested.Person.Person || !f.RequestedAt.Equal(s.Requested.At) || f.At.After(at) {
			c.t.Errorf("facts %+v of %+v", f, s.Requested)
		}
	}
	c.notifications[id] = notification.Evolve(s, e)
}

func TestTheSameOptionsGiveTheSameEvents(t *testing.T) {
	one, _ := newGenerator(t, histories.Options{Seed: 1, Stories: 20})
	same, _ := newGenerator(t, histories.Options{Seed: 1, Stories: 20})
	other, _ := newGenerator(t, histories.Options{Seed: 2, Stories: 20})
	differs := false
	for range 100 {
		a := one.Next()
		if diff := cmp.Diff(a, same.Next()); diff != "" {
			t.Fatal(diff)
		}
		differs = differs || a.Events[0].ID != other.Next().Events[0].ID
	}
	if !differs {
		t.Error("another seed gives the same")
	}
}

func BenchmarkNext(b *testing.B) {
	g, _ := newGenerator(b, histories.Options{Seed: 1})
	events, bytes := 0, 0
	for b.Loop() {
		for _, e := range g.Next().Events {
			events++
			bytes += len(e.Data) + len(e.Metadata)
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(bytes)/float64(events), "bytes/event")
}
