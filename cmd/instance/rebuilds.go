package instance

import (
	"context"
	"slices"
	"sync"
	"time"

	"recapito/api"
	"recapito/projections/follow"
	"recapito/readmodels"
)

// rebuilds begins rebuilds for the API; it owns their goroutines.
type rebuilds struct {
	of      *follow.Projector
	read    readmodels.Conn
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

func newRebuilds(p *follow.Projector, read readmodels.Conn) *rebuilds {
	life, end := context.WithCancel(context.Background())
	return &rebuilds{of: p, read: read, life: life, end: end}
}

func (r *rebuilds) close() {
	r.end()
	r.running.Wait()
}

func (r *rebuilds) state(name string) (follow.State, bool) {
	states := r.of.States()
	i := slices.IndexFunc(states, func(s follow.State) bool { return s.Projection == name })
	if i < 0 {
		return follow.State{}, false
	}
	return states[i], true
}

// Rebuild implements api.Projections. It returns once the rebuild has begun.
func (r *rebuilds) Rebuild(ctx context.Context, name string) (bool, error) {
	if _, known := r.state(name); !known {
		return false, nil
	}
	return true, r.begin(ctx, func(life context.Context, begun func()) error {
		return r.of.Rebuild(life, name, func(uint64, uint64) { begun() })
	})
}

// RebuildAll implements api.Projections. It returns once one of them has begun.
func (r *rebuilds) RebuildAll(ctx context.Context) error {
	return r.begin(ctx, func(life context.Context, begun func()) error {
		return r.of.RebuildAll(life, func(uint64, uint64) { begun() })
	})
}

// begin runs a rebuild, which goes on when ctx has ended, and waits until it has begun.
func (r *rebuilds) begin(ctx context.Context, rebuild func(life context.Context, begun func()) error) error {
	begun, failed := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	r.running.Go(func() {
		failed <- rebuild(r.life, func() { once.Do(func() { close(begun) }) })
	})
	select {
	case <-begun:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Projection implements api.Projections.
func (r *rebuilds) Projection(ctx context.Context, name string) (api.Projection, bool) {
	all := r.Projections(ctx)
	i := slices.IndexFunc(all, func(p api.Projection) bool { return p.Name == name })
	if i < 0 {
		return api.Projection{}, false
	}
	return all[i], true
}

// completenessTimeout bounds the question how far other instances' projections are: it
// must not make an answer wait that an operator needs most while ClickHouse is away.
const completenessTimeout = 2 * time.Second

// Projections implements api.Projections. Of one that another instance keeps, the read
// models say until when it is complete.
func (r *rebuilds) Projections(ctx context.Context) []api.Projection {
	var all []api.Projection
	elsewhere := map[string]time.Time{}
	states := r.of.States()
	if slices.ContainsFunc(states, func(s follow.State) bool { return s.CompleteUntil.IsZero() }) {
		ctx, cancel := context.WithTimeout(ctx, completenessTimeout)
		defer cancel()
		if rows, err := readmodels.Completenesses(ctx, r.read); err == nil { // else it is not known
			for _, c := range rows {
				elsewhere[c.Projection] = c.Until
			}
		}
	}
	for _, s := range states {
		p := shownProjection(s)
		until := s.CompleteUntil
		if until.IsZero() {
			until = elsewhere[s.Projection]
		}
		if !until.IsZero() {
			p.CompleteUntil = &until
		}
		all = append(all, p)
	}
	return all
}

func shownProjection(s follow.State) api.Projection {
	p := api.Projection{Name: s.Projection, State: string(s.Phase), Done: s.Events, Total: s.Events + s.Behind, Behind: int64(s.Behind), LagMs: s.Lag.Milliseconds(), Error: s.Error}
	if b := s.Rebuild; b != nil {
		p.State, p.Done, p.Total, p.Rate = "rebuilding", b.Done, b.Total, uint64(b.Rate)
		if p.Rate > 0 {
			p.Left = (b.Total - b.Done) / p.Rate
		}
	}
	return p
}
