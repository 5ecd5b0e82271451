package cmd

import (
	"context"
	"slices"
	"sync"

	"recapito/api"
	"recapito/projections"
)

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
