package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"recapito/domain/event"
	"recapito/projections"
)

// Config wires the followers.
type Config struct {
	// Projections are followed; projections.All returns them.
	Projections []projections.Projection
	Source      Source
	Checkpoints CheckpointStore
	Target      Target
	Log         *slog.Logger // nil: slog.Default
	Now         func() time.Time
	// BatchEvents is the most ledger events of a batch; 0: projections.MaxBatchEvents.
	BatchEvents int
	// Aside records durably that an event makes no rows of a projection, before what was
	// made of its batch is done; the same may come again. nil: nothing is recorded.
	Aside func(ctx context.Context, projection string, u *event.Unreadable) error
	// Lease makes the lease of a projection; nil: there is no other instance.
	Lease func(projection string) Lease
}

// Projector keeps the tables of every projection up to date.
type Projector struct {
	followers  []*follower
	lagMonitor *lagMonitor
	// The shared reads of live tables, and of those being built.
	follows, builds *sharedReads
	completeness    *completeness
}

// New makes a Projector. Run starts it.
func New(c Config) (*Projector, error) {
	if len(c.Projections) == 0 || c.Source == nil || c.Checkpoints == nil || c.Target == nil {
		return nil, errors.New("following needs projections, a source, a checkpoint store and a target")
	}
	if c.BatchEvents == 0 {
		c.BatchEvents = projections.MaxBatchEvents
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Projector{}
	for _, one := range c.Projections {
		f, err := newFollower(c, one)
		if err != nil {
			return nil, err
		}
		p.followers = append(p.followers, f)
	}
	p.lagMonitor = &lagMonitor{source: c.Source, followers: p.followers}
	p.follows, p.builds = &sharedReads{source: c.Source}, &sharedReads{source: c.Source}
	for _, f := range p.followers {
		f.lagMonitor, f.follows, f.builds = p.lagMonitor, p.follows, p.builds
	}
	p.completeness = &completeness{source: c.Source, target: c.Target, log: c.Log, now: c.Now, followers: p.followers}
	return p, nil
}

// Run follows until ctx ends, then lets the batches being written end. It does not fail:
// what goes wrong is tried again, or is in State.
func (p *Projector) Run(ctx context.Context) {
	p.lagMonitor.begin(ctx)
	var all sync.WaitGroup
	all.Go(func() { p.lagMonitor.run(ctx) })
	all.Go(func() { p.completeness.run(ctx) })
	for _, f := range p.followers {
		all.Go(func() { f.run(ctx) })
	}
	all.Wait()
	p.follows.wait()
	p.builds.wait()
}

// States returns how far each projection is, in the order in which they are listed.
func (p *Projector) States() []State {
	states := make([]State, 0, len(p.followers))
	for _, f := range p.followers {
		states = append(states, f.State())
	}
	return states
}

// ErrUnknownProjection: no projection has that name.
var ErrUnknownProjection = errors.New("no such projection")

// Rebuild fills a new table from the first event, while the live one stays up to date, and
// swaps them at once when the new one holds all that the old one does. progress is called
// with how many of how many ledger events are in the new table; total grows while the
// system runs.
//
// A rebuild that has begun continues when ctx ends or the process is killed: the next start
// resumes it. A second call joins the rebuild under way. Run must be running.
func (p *Projector) Rebuild(ctx context.Context, name string, progress func(done, total uint64)) error {
	for _, f := range p.followers {
		if f.projection.Name() == name {
			return f.rebuild(ctx, progress)
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknownProjection, name)
}

// RebuildAll rebuilds every projection as Rebuild does, with one read of the store: each
// event is read once for all of them. Each table is swapped as soon as it is complete.
// progress is called, once all have begun, with the sums over all tables. The rebuilds of a
// killed process continue together at the next start.
func (p *Projector) RebuildAll(ctx context.Context, progress func(done, total uint64)) error {
	begin := 0
	for _, f := range p.followers {
		if f.checkpoints.get().Building == nil {
			begin++
		}
	}
	p.builds.expect(begin)
	done, total := make([]atomic.Uint64, len(p.followers)), make([]atomic.Uint64, len(p.followers))
	begun := make([]atomic.Bool, len(p.followers))
	var reporting sync.Mutex // one call of progress at a time
	report := func() {
		reporting.Lock()
		defer reporting.Unlock()
		var sums [2]uint64
		for i := range p.followers {
			if !begun[i].Load() {
				return
			}
			sums[0] += done[i].Load()
			sums[1] += total[i].Load()
		}
		progress(sums[0], sums[1])
	}
	errs := make([]error, len(p.followers))
	var all sync.WaitGroup
	for i, f := range p.followers {
		all.Go(func() {
			err := f.rebuild(ctx, func(d, t uint64) {
				done[i].Store(d)
				total[i].Store(t)
				begun[i].Store(true)
				if progress != nil {
					report()
				}
			})
			if err != nil {
				errs[i] = fmt.Errorf("rebuilding %s: %w", f.projection.Name(), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// shows returns whether this follower last pointed the view at a table.
func (f *follower) shows(table string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shown == table
}

// rebuildPoll is how often a rebuild's progress is reported.
const rebuildPoll = 100 * time.Millisecond

func (f *follower) rebuild(ctx context.Context, progress func(done, total uint64)) error {
	tick := time.NewTicker(rebuildPoll)
	defer tick.Stop()
	asked, claimed := "", false
	for {
		state, live := f.checkpoints.get(), f.State()
		switch {
		case asked == "" && live.Phase == Standby: // the instance that is asked does it
			if !claimed {
				claimed = true
				f.lease.Claim()
			}
		case asked == "" && (live.Phase == Starting || state.Live.Name == ""): // not opened yet
		case asked == "":
			asked = state.Live.Name
			f.mu.Lock()
			f.wanted = state.Building == nil
			f.mu.Unlock()
			notify(f.changed)
		case state.Live.Name != asked && live.Ready() && (live.Phase == Standby || f.shows(state.Live.Name)):
			if progress != nil {
				progress(live.Events, live.Events)
			}
			return nil
		case live.Rebuild != nil && progress != nil:
			progress(live.Rebuild.Done, live.Rebuild.Total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
