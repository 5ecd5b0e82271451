package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recapito/api"
	"recapito/api/reports"
	"recapito/commands"
	"recapito/domain/event"
)

// apiOptions is what the HTTP surface stands on.
func (l *Instance) apiOptions(scenarios commands.Scenarios) api.Options {
	return api.Options{
		Ledger: l.ledger, Intake: l.intake, Callbacks: l.callbacks(), Notifications: l.Notifications, Access: l.access, Calls: l.calls, Scenarios: scenarios,
		Projections: l.rebuilds, Reconcile: l.reconcile, Aside: l.aside, Checks: l.checks(), Log: l.log, Metrics: l.registry,
		Resources: []api.Resource{
			reports.New(reports.Sources{Reports: l.readings(), Persons: l.intake.Lookup(l.Engines.sealing), Notifications: l.Notifications, Passed: l.Projections.Passed}),
		},
	}
}

// checks are the engines and parts that /readyz lists.
func (l *Instance) checks() []api.Check {
	checks := []api.Check{
		{Name: "eventstore", Required: true, Probe: l.Engines.eventsState},
		{Name: "keystore", Required: true, Probe: func(ctx context.Context) (string, error) {
			_, err := l.Engines.sealing.Secret(ctx, "readiness")
			return l.Engines.kind(l.Engines.keysHere), err
		}},
		{Name: "keys", Required: true, Probe: func(context.Context) (string, error) { return "", l.access.Healthy() }},
		{Name: "kafka", Probe: func(context.Context) (string, error) { return l.Engines.kind(l.Engines.broker != nil), l.bus.State() }},
		{Name: "clickhouse", Probe: func(ctx context.Context) (string, error) {
			return l.Engines.kind(l.Engines.ClickHouse != nil), l.Engines.clickHouseState(ctx)
		}},
		{Name: "delivery", Probe: func(context.Context) (string, error) { return l.deliveryState() }},
		{Name: "set-aside", Probe: func(ctx context.Context) (string, error) { return l.asideState(ctx) }},
		{Name: "marks", Probe: func(context.Context) (string, error) { return "", l.marks.Failing() }},
	}
	for i, r := range l.routes {
		checks = append(checks, api.Check{Name: "route " + l.Config.Routes[i].Name, Probe: func(context.Context) (string, error) { return routeState(r.State()) }})
	}
	for _, s := range l.Projections.States() {
		checks = append(checks, api.Check{Name: "projection " + s.Projection, Probe: func(context.Context) (string, error) {
			return l.projectionCheck(s.Projection)
		}})
	}
	return checks
}

// asideState fails while events are set aside: somebody must look at them.
func (l *Instance) asideState(ctx context.Context) (string, error) {
	n, err := l.aside.Count(ctx)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d could not be taken: GET /v1/set-aside lists them", n)
	}
	return fmt.Sprintf("%d set aside", n), err
}

// routeState shows why a route is down: a route's reasons hold nothing of a message.
func routeState(err error) (string, error) {
	if err != nil {
		return err.Error(), err
	}
	return "", nil
}

func (l *Instance) deliveryState() (string, error) {
	s := l.delivery.State()
	if l.feed == nil {
		return fmt.Sprintf("done up to position %d", s.Position), s.Failing
	}
	parked, lost := l.feed.State()
	if parked > 0 {
		lost = errors.Join(lost, fmt.Errorf("%d events fail again and again", parked))
	}
	return fmt.Sprintf("shared, %d events in hand", s.Waiting), errors.Join(lost, s.Failing)
}

// eventsState returns how far the event store is.
func (e *Engines) eventsState(ctx context.Context) (string, error) {
	_, embedded := e.Events.(*Embedded)
	last, err := e.Events.State(ctx)
	detail := fmt.Sprintf("%s, position %d", e.kind(embedded), last)
	var refusal *event.Refusal
	if errors.As(err, &refusal) {
		detail += ", " + refusal.Reason
	}
	return detail, err
}

func (e *Engines) kind(embedded bool) string {
	if embedded {
		return "embedded"
	}
	return "external"
}

// lagTolerated is how late a projection that follows may be: far more than load makes it,
// so what is later has a ClickHouse that is slow or hangs.
const lagTolerated = 30 * time.Second

func (l *Instance) projectionCheck(name string) (string, error) {
	s, _ := l.rebuilds.state(name)
	detail := fmt.Sprintf("%s, %d events, %d behind, lag %s", s.Phase, s.Events, s.Behind, s.Lag.Round(time.Millisecond))
	if !s.Ready() {
		return detail, errors.New(strings.TrimSuffix(fmt.Sprintf("it is %s: %s", s.Phase, s.Error), ": "))
	}
	if s.Lag > lagTolerated {
		return detail, fmt.Errorf("it lags by %s", s.Lag.Round(time.Second))
	}
	return detail, nil
}
