package follow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"recapito/commands/retry"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
)

// Bounds of the wait before a session is tried again.
const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 5 * time.Second
)

// follower follows one projection: it runs sessions, one after the other, each from a
// checkpoint that was just loaded. Whatever fails ends the session; the next one begins
// with what is durable.
type follower struct {
	projection  projections.Projection
	source      Source
	target      Target
	checkpoints *checkpoints
	lease       Lease // nil: there is no other instance
	aside       func(ctx context.Context, projection string, u *event.Unreadable) error
	log         *slog.Logger
	now         func() time.Time
	batchLimit  int
	newID       func() string

	patience patience
	worked   chan struct{} // something was written to the read models
	changed  chan struct{}
	doubt    chan struct{} // the table may be gone

	mu      sync.Mutex
	writers []*tableWriter // of the running session: live and building
	wanted  bool           // a rebuild was asked for
	shown   string         // the table that this follower last pointed the view at
	phase   Phase
	lastErr error
	// When this process resumed the rebuild, and what was done of it by then.
	buildBegan time.Time
	buildFrom  uint64
	before     checkpoint.Done // of the live table, when the process started
	oldest     time.Time       // when the first event that waits was stored, as the lag monitor found it
	complete   time.Time       // the table holds what was recorded before

	// Of the standby, which is one goroutine.
	looked  time.Time // when it last looked at the view
	another bool      // the view did not show the live table

	// Shared by all followers.
	lagMonitor      *lagMonitor
	follows, builds *sharedReads
}

func newFollower(c Config, p projections.Projection) (*follower, error) {
	b, err := newCheckpoints(c.Checkpoints, p.Name())
	if err != nil {
		return nil, err
	}
	f := &follower{
		projection: p, source: c.Source, target: c.Target, checkpoints: b, now: c.Now, aside: c.Aside,
		log: c.Log.With("projection", p.Name()), batchLimit: c.BatchEvents,
		newID: randomID, worked: make(chan struct{}, 1), changed: make(chan struct{}, 1), doubt: make(chan struct{}, 1), phase: Starting,
	}
	if c.Lease != nil {
		f.lease, f.phase = c.Lease(p.Name()), Standby
	}
	return f, nil
}

func randomID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run follows the projection until ctx ends, while this instance holds the lease.
func (f *follower) run(ctx context.Context) {
	if f.lease == nil {
		f.keep(ctx)
		return
	}
	f.lease.Hold(ctx, f.waiting, func(ctx context.Context) {
		f.setPhase(Starting)
		defer f.setPhase(Standby)
		f.keep(ctx)
	})
}

// keep runs sessions until ctx ends.
func (f *follower) keep(ctx context.Context) {
	policy := retry.Policy{First: minBackOff, Most: maxBackOff}
	failures := retry.NewLog(f.log, "projection")
	_ = policy.Keep(ctx, failures, func(ctx context.Context, working func()) error {
		for {
			worked := false
			err := f.session(ctx, func() { worked = true; working() })
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, errSwitched):
				f.log.Info("the rebuilt table is live")
				continue
			case !worked:
				f.patience.failed()
			}
			f.failed(err)
			return err
		}
	})
}

type writerResult struct {
	tableWriter *tableWriter
	err         error
}

// session opens the read models, loads the checkpoint and runs the table writers until one
// fails or the tables change places. It calls working when the writers make progress.
func (f *follower) session(ctx context.Context, working func()) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan writerResult, 5)
	running := 0
	defer func() {
		cancel()
		for ; running > 0; running-- {
			<-results
		}
		f.setWriters()
		select {
		case <-f.worked:
			working()
		default:
		}
	}()
	freeze := new(atomic.Bool)
	start := func(building bool) *tableWriter {
		w := &tableWriter{follower: f, building: building, freeze: freeze}
		state := f.checkpoints.get()
		w.table = *w.in(&state)
		if building {
			f.mu.Lock()
			f.buildBegan, f.buildFrom = f.now(), w.table.Done.Events
			f.mu.Unlock()
		}
		running++
		go func() { results <- writerResult{w, w.run(ctx)} }()
		return w
	}
	running++
	go func() { results <- writerResult{nil, f.dropRetired(ctx)} }()
	if f.lease != nil {
		running += 2
		go func() { results <- writerResult{nil, f.settleCheckpoint(ctx)} }()
		go func() { results <- writerResult{nil, f.keepShown(ctx)} }()
	}
	var writers []*tableWriter
	if f.checkpoints.get().Live.Version == f.projection.Table.Version {
		writers = append(writers, start(false))
	}
	building := false
	for {
		ready, err := f.prepareBuilding(ctx)
		if err != nil {
			return err
		}
		if ready && !building {
			building = true
			writers = append(writers, start(true))
		}
		f.setWriters(writers...)
		if err := f.untilChanged(ctx, results, &running, working); err != nil {
			return err
		}
	}
}

// untilChanged returns nil when a rebuild may be wanted, and else why the session ends.
func (f *follower) untilChanged(ctx context.Context, results <-chan writerResult, running *int, working func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
			return nil
		case <-f.worked:
			working()
		case <-f.doubt:
			return errEmptied
		case r := <-results:
			*running--
			if r.err != nil { // else the retired tables are dropped
				return r.err
			}
		}
	}
}

// open creates the tables that the checkpoint names, and points the view at the live one. A
// checkpoint of another database, or of a table that is gone, is replaced by one that starts
// from the first event, so that emptied read models fill again without help.
func (f *follower) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.patience.get())
	defer cancel()
	generation, err := f.target.Open(ctx)
	if err != nil {
		return err
	}
	found, err := f.checkpoints.load(ctx)
	if err != nil {
		return err
	}
	state := f.checkpoints.get()
	valid := found && state.Generation == generation
	if valid {
		if valid, err = f.stillThere(ctx, state.Live); err != nil {
			return err
		}
	}
	if !valid {
		if found {
			f.log.Warn("the read models are not those of the checkpoint; starting from the first event")
		}
		state = checkpoint.ProjectionCheckpointed{
			Projection: f.projection.Name(), Generation: generation, Live: f.fresh(),
		}
		err := f.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error { *s = state; return nil })
		if err != nil {
			return err
		}
	}
	if state.Live.Version == f.projection.Table.Version {
		if err := f.target.Create(ctx, f.projection.Table, state.Live.Name); err != nil {
			return err
		}
		if err := f.target.Show(ctx, f.projection.Table, state.Live.Name); err != nil {
			return err
		}
		if err := f.stillNamed(ctx, state.Live.Name); err != nil {
			return err
		}
		f.mu.Lock()
		f.shown = state.Live.Name
		f.mu.Unlock()
	} else {
		f.mu.Lock()
		f.wanted = true // the projection has changed: its table is built anew
		f.mu.Unlock()
	}
	return nil
}

// errOthers ends a session: another instance follows the projection.
var errOthers = errors.New("another instance has written the checkpoint")

// stillNamed is called after creating or showing a table that the checkpoint named. If
// another instance has written the checkpoint since, it undoes what was done by the old one
// and returns errOthers. An instance that exchanges the live table writes the checkpoint
// before it shows the new table, so of two that show a table the last one reads the truth.
func (f *follower) stillNamed(ctx context.Context, table string) error {
	ctx, cancel := drain(ctx, drainTimeout) // the lease may be lost already
	defer cancel()
	again := retry.Policy{First: minBackOff, Most: drainTimeout}
	var now checkpoint.ProjectionCheckpointed
	moved := false
	err := again.Do(ctx, nil, func(ctx context.Context) (err error) {
		now, moved, err = f.checkpoints.moved(ctx)
		return err
	})
	if err != nil || !moved {
		return err
	}
	for {
		before := now.Live.Name
		err := again.Do(ctx, nil, func(ctx context.Context) error {
			if err := f.setRight(ctx, now, table); err != nil {
				return err
			}
			next, _, err := f.checkpoints.moved(ctx)
			if err == nil {
				now = next
			}
			return err
		})
		if err != nil {
			return err
		}
		if now.Live.Name == before {
			return errOthers
		}
	}
}

// setRight shows the live table of a checkpoint, and drops a table that it does not name.
func (f *follower) setRight(ctx context.Context, now checkpoint.ProjectionCheckpointed, table string) error {
	there, err := f.target.Exists(ctx, now.Live.Name)
	if err != nil {
		return err
	}
	if there && now.Live.Version == f.projection.Table.Version {
		if err := f.target.Show(ctx, f.projection.Table, now.Live.Name); err != nil {
			return err
		}
	}
	if now.Live.Name == table || now.Building != nil && now.Building.Name == table {
		return nil
	}
	return f.target.Drop(ctx, table)
}

// stillThere returns whether the table of a checkpoint is there, if it holds anything.
func (f *follower) stillThere(ctx context.Context, t checkpoint.Table) (bool, error) {
	if t.Done.Events == 0 && t.Pending == nil {
		return true, nil // nothing yet: it is created
	}
	return f.target.Exists(ctx, t.Name)
}

// prepareBuilding returns whether a table is to be built next to the live one, and creates
// it.
func (f *follower) prepareBuilding(ctx context.Context) (bool, error) {
	f.mu.Lock()
	wanted := f.wanted
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.patience.get())
	defer cancel()
	kind := f.projection.Table
	b := f.checkpoints.get().Building
	if b == nil && !wanted {
		return false, nil
	}
	good := b != nil && b.Version == kind.Version
	if good {
		var err error
		if good, err = f.stillThere(ctx, *b); err != nil {
			return false, err
		}
	}
	if !good {
		table := f.fresh()
		err := f.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
			if s.Building != nil {
				s.Retired = append(s.Retired, s.Building.Name)
			}
			s.Building = &table
			return nil
		})
		if err != nil {
			return false, err
		}
		b = &table
	}
	f.mu.Lock()
	f.wanted = false
	f.mu.Unlock()
	if err := f.target.Create(ctx, kind, b.Name); err != nil {
		return false, err
	}
	if err := f.stillNamed(ctx, b.Name); err != nil {
		return false, err
	}
	return true, nil
}

func (f *follower) fresh() checkpoint.Table {
	kind := f.projection.Table
	return checkpoint.Table{Name: kind.Name(f.newID()), Version: kind.Version}
}
