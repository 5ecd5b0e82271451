package follow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"recapito/domain/checkpoint"
	"recapito/projections"
)

// Bounds of the wait before a session is tried again; it doubles.
const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 5 * time.Second
)

// retiredFor is how long a table stays that was exchanged: who looked at the view just
// before reads it by its name, and ClickHouse looks that up a moment later.
const retiredFor = time.Second

// follower keeps one projection: it runs sessions, one after the other, each from a
// checkpoint that was just loaded. Whatever fails ends the session; the next one begins
// with what is durable.
type follower struct {
	projection  projections.Projection
	source      Source
	target      Target
	checkpoints *checkpoints
	lease       Lease // nil: there is no other instance
	log         *slog.Logger
	now         func() time.Time
	batchLimit  int
	newID       func() string

	patience   patience
	progressed atomic.Bool // a batch was written since this was last looked at
	changed    chan struct{}
	doubt      chan struct{} // the table may not be there any more

	mu       sync.Mutex
	writers  []*tableWriter // of the running session: live and building
	wanted   bool           // a rebuild was asked for
	shown    string         // the table that the view was last pointed at here
	phase    Phase
	lastErr  error
	stopped  *projections.Corrupt // why the live table stands still
	buildErr *projections.Corrupt // why the rebuild stands still
	// When the rebuild was last taken up, and what was done of it by then.
	buildBegan time.Time
	buildFrom  uint64
	before     checkpoint.Done // what the checkpoint said at the start
	oldest     time.Time       // when the store took the first event that waits, as the lagMonitor found it
	complete   time.Time       // the table is, of what was recorded before

	// Of all followers.
	lagMonitor      *lagMonitor
	follows, builds *sharedReads
}

func newFollower(c Config, p projections.Projection) (*follower, error) {
	b, err := newCheckpoints(c.Checkpoints, p.Name())
	if err != nil {
		return nil, err
	}
	k := &follower{
		projection: p, source: c.Source, target: c.Target, checkpoints: b, now: c.Now,
		log: c.Log.With("projection", p.Name()), batchLimit: c.BatchEvents,
		newID: randomID, changed: make(chan struct{}, 1), doubt: make(chan struct{}, 1), phase: Starting,
	}
	if c.Lease != nil {
		k.lease, k.phase = c.Lease(p.Name()), Standby
	}
	return k, nil
}

func randomID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run until ctx ends.
func (k *follower) run(ctx context.Context) {
	if k.lease == nil {
		k.keep(ctx)
		return
	}
	k.lease.Hold(ctx, k.waiting, func(ctx context.Context) {
		k.setPhase(Starting)
		defer k.setPhase(Standby)
		k.keep(ctx)
	})
}

// keep the projection until ctx ends.
func (k *follower) keep(ctx context.Context) {
	wait := minBackOff
	var said complaint
	for ctx.Err() == nil {
		err := k.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errSwitched) {
			k.log.Info("the rebuilt table is live")
			continue
		}
		if k.progressed.Swap(false) {
			wait = minBackOff
		} else {
			k.patience.failed()
		}
		k.failed(err)
		if said.due(err, k.now()) {
			k.log.Warn("projection interrupted; trying again", "error", err, "in", wait)
		}
		sleep(ctx, wait)
		wait = min(2*wait, maxBackOff)
	}
}

// sayAgain is how often an error that stays the same is logged.
const sayAgain = time.Minute

// complaint is what was logged last.
type complaint struct {
	text string
	at   time.Time
}

// due says whether an error is to be logged, and notes that it was.
func (c *complaint) due(err error, now time.Time) bool {
	if text := err.Error(); text != c.text || now.Sub(c.at) >= sayAgain {
		c.text, c.at = text, now
		return true
	}
	return false
}

// sleep answers false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

type writerResult struct {
	tableWriter *tableWriter
	err         error
}

// session opens the read models, loads the checkpoint and runs the writers until one
// fails or the tables change places.
func (k *follower) session(ctx context.Context) error {
	if err := k.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan writerResult, 4)
	running := 0
	defer func() {
		cancel()
		for ; running > 0; running-- {
			<-results
		}
		k.setWriters()
	}()
	k.mu.Lock()
	k.stopped = nil // the tableWriter finds out again
	k.mu.Unlock()
	freeze := new(atomic.Bool)
	start := func(building bool) *tableWriter {
		l := &tableWriter{follower: k, building: building, freeze: freeze}
		state := k.checkpoints.get()
		l.table = *l.in(&state)
		if building {
			k.mu.Lock()
			k.buildBegan, k.buildFrom = k.now(), l.table.Done.Events
			k.mu.Unlock()
		}
		running++
		go func() { results <- writerResult{l, l.run(ctx)} }()
		return l
	}
	if k.lease != nil {
		running += 2
		go func() { results <- writerResult{nil, k.settleCheckpoint(ctx)} }()
		go func() { results <- writerResult{nil, k.keepShown(ctx)} }()
	}
	var writers []*tableWriter
	if k.checkpoints.get().Live.Version == k.projection.Table.Version {
		writers = append(writers, start(false))
	}
	building := false
	for {
		ready, err := k.prepareBuilding(ctx)
		if err != nil {
			return err
		}
		if ready && !building {
			building = true
			writers = append(writers, start(true))
		}
		k.setWriters(writers...)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-k.changed:
		case <-k.doubt:
			return errEmptied
		case r := <-results:
			running--
			var broken *projections.Corrupt
			if !errors.As(r.err, &broken) {
				return r.err
			}
			k.stop(r.tableWriter, broken)
			if r.tableWriter.building {
				return fmt.Errorf("rebuilding: %w", broken) // the live tableWriter may be frozen
			}
		}
	}
}

// open makes the tables that the checkpoint names be there, and the view show the live
// one. A checkpoint that speaks of another database, or of a table that is gone, starts
// anew: so emptied read models fill again by themselves.
func (k *follower) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.patience.get())
	defer cancel()
	generation, err := k.target.Open(ctx)
	if err != nil {
		return err
	}
	found, err := k.checkpoints.load(ctx)
	if err != nil {
		return err
	}
	state := k.checkpoints.get()
	valid := found && state.Generation == generation
	if valid {
		if valid, err = k.stillThere(ctx, state.Live); err != nil {
			return err
		}
	}
	if !valid {
		if found {
			k.log.Warn("the read models are not those of the checkpoint; starting from the first event")
		}
		state = checkpoint.ProjectionCheckpointed{
			Projection: k.projection.Name(), Generation: generation, Live: k.fresh(),
		}
		err := k.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error { *s = state; return nil })
		if err != nil {
			return err
		}
	}
	if state.Live.Version == k.projection.Table.Version {
		if err := k.target.Create(ctx, k.projection.Table, state.Live.Name); err != nil {
			return err
		}
		if err := k.target.Show(ctx, k.projection.Table, state.Live.Name); err != nil {
			return err
		}
		if err := k.stillNamed(ctx, state.Live.Name); err != nil {
			return err
		}
		k.mu.Lock()
		k.shown = state.Live.Name
		k.mu.Unlock()
	} else {
		k.mu.Lock()
		k.wanted = true // the projection has changed: built anew beside the old table
		k.mu.Unlock()
	}
	if len(state.Retired) > 0 && !sleep(ctx, retiredFor) {
		return ctx.Err()
	}
	for _, table := range state.Retired {
		if err := k.target.Drop(ctx, table); err != nil {
			return err
		}
	}
	k.checkpoints.note(func(s *checkpoint.ProjectionCheckpointed) { s.Retired = nil })
	return nil
}

// errOthers ends a session: what it was opened by is no longer true.
var errOthers = errors.New("another instance has written the checkpoint")

// stillNamed follows making, or showing, a table that the checkpoint named: it answers
// errOthers if another instance has written the checkpoint since, and sets right what was
// done by the old one. Whoever exchanges the live table writes the checkpoint before it
// shows the new one, so that of two who show a table the last one to look sees the truth.
func (k *follower) stillNamed(ctx context.Context, table string) error {
	ctx, cancel := drain(ctx, drainTimeout) // the lease may be lost already
	defer cancel()
	now, moved, err := k.checkpoints.moved(ctx)
	for err != nil && sleep(ctx, minBackOff) {
		now, moved, err = k.checkpoints.moved(ctx)
	}
	if err != nil || !moved {
		return err
	}
	for {
		err := k.setRight(ctx, now, table)
		if err == nil {
			before := now.Live.Name
			var next checkpoint.ProjectionCheckpointed
			if next, _, err = k.checkpoints.moved(ctx); err == nil {
				if now = next; now.Live.Name == before {
					return errOthers
				}
			}
		}
		if err != nil && !sleep(ctx, minBackOff) {
			return err
		}
	}
}

// setRight shows the live table of a checkpoint, and drops one that it does not name.
func (k *follower) setRight(ctx context.Context, now checkpoint.ProjectionCheckpointed, table string) error {
	there, err := k.target.Exists(ctx, now.Live.Name)
	if err != nil {
		return err
	}
	if there && now.Live.Version == k.projection.Table.Version {
		if err := k.target.Show(ctx, k.projection.Table, now.Live.Name); err != nil {
			return err
		}
	}
	if now.Live.Name == table || now.Building != nil && now.Building.Name == table {
		return nil
	}
	return k.target.Drop(ctx, table)
}

// stillThere says whether what the checkpoint says is in a table can be there.
func (k *follower) stillThere(ctx context.Context, t checkpoint.Table) (bool, error) {
	if t.Done.Events == 0 && t.Pending == nil {
		return true, nil // nothing yet: open makes it
	}
	return k.target.Exists(ctx, t.Name)
}

// prepareBuilding answers whether there is a table to be built beside the live one, and
// sees that it is there.
func (k *follower) prepareBuilding(ctx context.Context) (bool, error) {
	k.mu.Lock()
	wanted, broken := k.wanted, k.buildErr != nil
	k.mu.Unlock()
	if broken {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.patience.get())
	defer cancel()
	kind := k.projection.Table
	b := k.checkpoints.get().Building
	if b == nil && !wanted {
		return false, nil
	}
	good := b != nil && b.Version == kind.Version
	if good {
		var err error
		if good, err = k.stillThere(ctx, *b); err != nil {
			return false, err
		}
	}
	if !good {
		table := k.fresh()
		err := k.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
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
	k.mu.Lock()
	k.wanted = false
	k.mu.Unlock()
	if err := k.target.Create(ctx, kind, b.Name); err != nil {
		return false, err
	}
	if err := k.stillNamed(ctx, b.Name); err != nil {
		return false, err
	}
	return true, nil
}

func (k *follower) fresh() checkpoint.Table {
	kind := k.projection.Table
	return checkpoint.Table{Name: kind.Name(k.newID()), Version: kind.Version}
}
