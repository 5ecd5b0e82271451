package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	// Lease makes the lease of a projection; nil: there is no other instance.
	Lease func(projection string) Lease
}

// Projector keeps the tables of every projection up to date.
type Projector struct {
	followers  []*follower
	lagMonitor *lagMonitor
	// Who reads for the live tables, and for those being built.
	follows, builds *sharedReads
	whole           *completeness
}

// New lists what is projected.
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
		k, err := newFollower(c, one)
		if err != nil {
			return nil, err
		}
		p.followers = append(p.followers, k)
	}
	p.lagMonitor = &lagMonitor{source: c.Source, followers: p.followers}
	p.follows, p.builds = &sharedReads{source: c.Source}, &sharedReads{source: c.Source}
	for _, k := range p.followers {
		k.lagMonitor, k.follows, k.builds = p.lagMonitor, p.follows, p.builds
	}
	p.whole = &completeness{source: c.Source, target: c.Target, log: c.Log, now: c.Now, followers: p.followers}
	return p, nil
}

// Run projects until ctx ends, then lets the batches being written end. It does not
// fail: what goes wrong is tried again, or stands in State.
func (p *Projector) Run(ctx context.Context) {
	p.lagMonitor.begin(ctx)
	var all sync.WaitGroup
	all.Go(func() { p.lagMonitor.run(ctx) })
	all.Go(func() { p.whole.run(ctx) })
	for _, k := range p.followers {
		all.Go(func() { k.run(ctx) })
	}
	all.Wait()
	p.follows.wait()
	p.builds.wait()
}

// States tells how far each projection is, in the order they are listed.
func (p *Projector) States() []State {
	states := make([]State, 0, len(p.followers))
	for _, k := range p.followers {
		states = append(states, k.State())
	}
	return states
}

// ErrUnknownProjection: no projection has that name.
var ErrUnknownProjection = errors.New("no such projection")

// Rebuild fills a new table from the first event beside the live one, which goes on,
// and swaps them at once when the new one holds all that the old one does. progress is
// told how many of how many ledger events are in it; total grows while the system runs.
//
// A rebuild once begun goes on when ctx ends or the process is killed: the next start
// resumes it. A second call joins the one under way. Run must be running.
func (p *Projector) Rebuild(ctx context.Context, name string, progress func(done, total uint64)) error {
	for _, k := range p.followers {
		if k.projection.Name() == name {
			return k.rebuild(ctx, progress)
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknownProjection, name)
}

// RebuildAll rebuilds every projection as Rebuild does, in one sharedRead over the store: each
// event is read once for all of them. Each table is swapped as soon as it is whole.
// progress is told, once all have begun, how much of all tables together is done. What a killed process has
// begun goes on together at the next start.
func (p *Projector) RebuildAll(ctx context.Context, progress func(done, total uint64)) error {
	begin := 0
	for _, k := range p.followers {
		if k.checkpoints.get().Building == nil {
			begin++
		}
	}
	p.builds.expect(begin)
	done, total := make([]atomic.Uint64, len(p.followers)), make([]atomic.Uint64, len(p.followers))
	begun := make([]atomic.Bool, len(p.followers))
	var telling sync.Mutex // one at a time
	tell := func() {
		telling.Lock()
		defer telling.Unlock()
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
	for i, k := range p.followers {
		all.Go(func() {
			err := k.rebuild(ctx, func(d, t uint64) {
				done[i].Store(d)
				total[i].Store(t)
				begun[i].Store(true)
				if progress != nil {
					tell()
				}
			})
			if err != nil {
				errs[i] = fmt.Errorf("rebuilding %s: %w", k.projection.Name(), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// shows says whether the view shows a table.
func (k *follower) shows(table string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown == table
}

// rebuildPoll is how often a rebuild's progress is told.
const rebuildPoll = 100 * time.Millisecond

func (k *follower) rebuild(ctx context.Context, progress func(done, total uint64)) error {
	tick := time.NewTicker(rebuildPoll)
	defer tick.Stop()
	asked, claimed := "", false
	for {
		state, live := k.checkpoints.get(), k.State()
		switch {
		case asked == "" && live.Phase == Standby: // whoever is asked does it
			if !claimed {
				claimed = true
				k.lease.Claim()
			}
		case asked == "" && (live.Phase == Starting || state.Live.Name == ""): // not opened yet
		case asked == "":
			asked = state.Live.Name
			k.mu.Lock()
			k.wanted, k.buildErr = state.Building == nil, nil
			k.mu.Unlock()
			notify(k.changed)
		case state.Live.Name != asked && live.Ready() && (live.Phase == Standby || k.shows(state.Live.Name)):
			if progress != nil {
				progress(live.Events, live.Events)
			}
			return nil
		case live.Rebuild != nil && live.Rebuild.Error != "":
			return errors.New(live.Rebuild.Error)
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
