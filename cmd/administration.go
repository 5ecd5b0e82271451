package cmd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"recapito/api"
	"recapito/commands"
	"recapito/projections"
	"recapito/readmodels"
)

// apiOptions is what the HTTP surface stands on.
func (l *ledger) apiOptions(scenarios commands.Scenarios) api.Options {
	return api.Options{
		Notifications: l.notifications, Access: l.access, Scenarios: scenarios,
		EDRs: func(ctx context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error) {
			return readmodels.EDRs(ctx, l.engines.read, q)
		},
		Projections: l.rebuilds, Checks: l.checks(), Log: l.log, Metrics: l.registry,
	}
}

// checks are the engines and parts that /readyz tells of.
func (l *ledger) checks() []api.Check {
	checks := []api.Check{
		{Name: "eventstore", Required: true, Probe: func(context.Context) (string, error) {
			return fmt.Sprintf("embedded, position %d", l.engines.events.Last()), l.engines.events.Healthy()
		}},
		{Name: "keystore", Required: true, Probe: func(ctx context.Context) (string, error) {
			_, err := l.engines.sealing.Secret(ctx, "readiness")
			return "embedded", err
		}},
		{Name: "keys", Required: true, Probe: func(context.Context) (string, error) { return "", l.access.Healthy() }},
		{Name: "kafka", Probe: func(context.Context) (string, error) { return l.engines.kind(l.engines.broker != nil), l.bus.State() }},
		{Name: "clickhouse", Probe: func(ctx context.Context) (string, error) {
			return l.engines.kind(l.engines.house != nil), l.engines.houseState(ctx)
		}},
		{Name: "delivery", Probe: func(context.Context) (string, error) {
			s := l.delivery.State()
			return fmt.Sprintf("done up to position %d", s.Position), s.Failing
		}},
	}
	for i, r := range l.routes {
		checks = append(checks, api.Check{Name: "route " + l.config.Routes[i].Name, Probe: func(context.Context) (string, error) { return "", r.State() }})
	}
	for _, s := range l.projections.States() {
		checks = append(checks, api.Check{Name: "projection " + s.Projection, Probe: func(context.Context) (string, error) {
			return l.projectionCheck(s.Projection)
		}})
	}
	return checks
}

func (e *engines) kind(embedded bool) string {
	if embedded {
		return "embedded"
	}
	return "external"
}

func (l *ledger) projectionCheck(name string) (string, error) {
	s, _ := l.rebuilds.state(name)
	detail := fmt.Sprintf("%s, %d events, %d behind, lag %s", s.Phase, s.Events, s.Behind, s.Lag.Round(time.Millisecond))
	if !s.Ready() {
		return detail, fmt.Errorf("projection %s is %s: %s", name, s.Phase, s.Error)
	}
	return detail, nil
}

// rebuilds begins rebuilds for the API; it owns their goroutines.
type rebuilds struct {
	of      *projections.Projections
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

func newRebuilds(p *projections.Projections) *rebuilds {
	life, end := context.WithCancel(context.Background())
	return &rebuilds{of: p, life: life, end: end}
}

func (r *rebuilds) close() {
	r.end()
	r.running.Wait()
}

func (r *rebuilds) state(name string) (projections.State, bool) {
	states := r.of.States()
	i := slices.IndexFunc(states, func(s projections.State) bool { return s.Projection == name })
	if i < 0 {
		return projections.State{}, false
	}
	return states[i], true
}

// Rebuild implements api.Projections. It answers once the rebuild has begun.
func (r *rebuilds) Rebuild(ctx context.Context, name string) (bool, error) {
	if _, known := r.state(name); !known {
		return false, nil
	}
	begun, failed := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	r.running.Go(func() {
		failed <- r.of.Rebuild(r.life, name, func(uint64, uint64) { once.Do(func() { close(begun) }) })
	})
	select {
	case <-begun:
		return true, nil
	case err := <-failed:
		return true, err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// Projection implements api.Projections.
func (r *rebuilds) Projection(_ context.Context, name string) (api.Projection, bool) {
	s, known := r.state(name)
	if !known {
		return api.Projection{}, false
	}
	p := api.Projection{Name: name, State: string(s.Phase), Done: s.Events, Total: s.Events + s.Behind, Error: s.Error}
	if s.Rebuild != nil {
		p.State, p.Done, p.Total, p.Error = "rebuilding", s.Rebuild.Done, s.Rebuild.Total, s.Rebuild.Error
	}
	return p, true
}
