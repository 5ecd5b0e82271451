package intake_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/notification"
)

type plannerFunc func(notification.NotificationRequested) (notification.Command, error)

func (f plannerFunc) AtOnce(_ context.Context, r notification.NotificationRequested) (notification.Command, error) {
	return f(r)
}

// offered notes what is offered.
type offered []string

func (o *offered) Offer(_, id string, attempt int) {
	*o = append(*o, id+"/"+string(rune('0'+attempt)))
}

// TestPlannedAtOnce: the request, its plan and what follows are one append, the answer
// shows it, and what is due is offered.
func TestPlannedAtOnce(t *testing.T) {
	suppress := plannerFunc(func(r notification.NotificationRequested) (notification.Command, error) {
		return notification.Suppress{Code: "opted_out", At: r.At}, nil
	})
	away := plannerFunc(func(notification.NotificationRequested) (notification.Command, error) {
		return nil, commandstest.ErrAway
	})
	outside := plannerFunc(func(notification.NotificationRequested) (notification.Command, error) { return nil, nil })
	for _, test := range []struct {
		name    string
		planner intake.Planner // nil: the real one
		change  func(*intake.Request)
		events  string
		state   notification.Lifecycle
		offered bool
	}{
		{name: "due at once", events: "Requested Enriched Scheduled", state: notification.LifecycleScheduled, offered: true},
		{name: "due later", change: func(r *intake.Request) { r.SendAt = time.Now().Add(time.Hour) }, events: "Requested Enriched Scheduled", state: notification.LifecycleScheduled},
		{name: "rejected", change: func(r *intake.Request) { r.Fields["name"] = strings.Repeat("Ada ", 100) }, events: "Requested Rejected", state: notification.LifecycleRejected},
		{name: "suppressed", planner: suppress, events: "Requested Suppressed", state: notification.LifecycleSuppressed},
		{name: "a source does not answer", planner: away, events: "Requested", state: notification.LifecycleRequested},
		{name: "a source is outside", planner: outside, events: "Requested", state: notification.LifecycleRequested},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := commandstest.New(t)
			var offers offered
			if test.planner == nil {
				test.planner = b.N.Planner()
			}
			b.N.PlanAtOnce(test.planner, &offers)
			appends := 0
			b.Store.AppendFault = func(string, []event.New) (error, bool) {
				appends++
				return nil, false
			}
			r := commandstest.Appointment()
			if test.change != nil {
				test.change(&r)
			}
			a, err := b.N.Submit(t.Context(), commandstest.Origin, "order-1", r)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Types(notification.Stream(a.ID)); got != test.events || appends != 1 {
				t.Errorf("events %s in %d appends, want %s in one", got, appends, test.events)
			}
			if got := a.State.Lifecycle(); got != test.state {
				t.Errorf("answered %s, want %s", got, test.state)
			}
			if planned := a.State.Requested.Planned; planned != (test.state != notification.LifecycleRequested) {
				t.Errorf("Requested records planned %v", planned)
			}
			want := offered(nil)
			if test.offered {
				want = offered{a.ID + "/1"}
			}
			if !slices.Equal(offers, want) {
				t.Errorf("offered %v, want %v", offers, want)
			}
			for name, n := range map[string]*commandstest.Side{"same process": b.N, "another one": b.Another()} {
				again, err := n.Submit(t.Context(), commandstest.Origin, "order-1", r)
				if err != nil || again.ID != a.ID || again.Created || again.State.Lifecycle() != test.state || again.Position != a.Position {
					t.Errorf("%s, again: %s at %d, created %v, %v", name, again.State.Lifecycle(), again.Position, again.Created, err)
				}
			}
			if appends != 1 || !slices.Equal(offers, want) {
				t.Errorf("repeated: %d appends, offered %v", appends, offers)
			}
		})
	}
}

// A plan that is larger than an event may be is refused with the member and the rule.
func TestAPlanThatIsTooLarge(t *testing.T) {
	b := commandstest.New(t)
	b.N.PlanAtOnce(b.N.Planner(), nil)
	b.Store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrTooLarge, false }
	_, err := b.N.Submit(t.Context(), commandstest.Origin, "order-1", commandstest.Appointment())
	var invalid *strictjson.Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Field != "to" || invalid.Problems[0].Code != "too_long" {
		t.Errorf("%v", err)
	}
}
