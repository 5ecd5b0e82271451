package follow

import (
	"context"
	"sync"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
)

const (
	// lagEvery is how often the monitor looks; it reads nothing while every table writer
	// follows.
	lagEvery = time.Second
	// lagLimit is how many events it counts at a look, so that it does not slow down a table
	// that is catching up.
	lagLimit   = 20_000
	lagTimeout = 5 * time.Second
)

// lagMonitor counts the ledger, also while no table takes its events: a table writer counts
// the events that it has received, and it receives none while its read models are down or
// its batch is full. So State.Behind and State.Lag stay true during an outage.
type lagMonitor struct {
	source    Source
	followers []*follower

	mu   sync.Mutex
	head checkpoint.Done // ledger events counted so far, and the last of them
}

// run looks until ctx ends.
func (m *lagMonitor) run(ctx context.Context) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = m.look(ctx) // all that need the store report that it does not respond
		}
	}
}

// begin takes over the checkpoints before a session writes new ones: the checkpoint of a
// table that is gone also holds how long the ledger was.
func (m *lagMonitor) begin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	building := 0
	defer func() {
		if len(m.followers) > 0 {
			m.followers[0].builds.expect(building) // they go on together
		}
	}()
	for _, f := range m.followers {
		state, _, err := f.checkpoints.newest(ctx)
		if err != nil {
			return
		}
		if state.Building != nil {
			building++
		}
		m.raise(state.Live.Done)
		f.mu.Lock()
		f.before = state.Live.Done
		f.mu.Unlock()
	}
}

func (m *lagMonitor) raise(to checkpoint.Done) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to.Events > m.head.Events {
		m.head = to
	}
}

func (m *lagMonitor) total() checkpoint.Done {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head
}

// look counts the events that no table writer receives, and finds since when they wait.
func (m *lagMonitor) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	var waiting []*follower
	for _, f := range m.followers {
		received, following := f.received()
		m.raise(received)
		if !following {
			waiting = append(waiting, f)
			continue
		}
		f.waitsSince(time.Time{})
	}
	if len(waiting) == 0 {
		return nil
	}
	if err := m.count(ctx); err != nil {
		return err
	}
	for _, f := range waiting {
		done := f.done()
		if done.Events >= m.total().Events {
			continue
		}
		oldest, err := m.oldestAfter(ctx, done)
		if err != nil {
			return err
		}
		f.waitsSince(oldest)
	}
	return nil
}

func (f *follower) waitsSince(oldest time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oldest = oldest
}

// count continues from the last event counted.
func (m *lagMonitor) count(ctx context.Context) error {
	head := m.total()
	err := m.source.ReadAll(ctx, after(head, lagLimit), func(r event.Recorded) error {
		head.Events++
		head.Position = r.Position
		return nil
	})
	m.raise(head)
	return err
}

// oldestAfter returns when the first event that is not in a table was stored.
func (m *lagMonitor) oldestAfter(ctx context.Context, done checkpoint.Done) (at time.Time, err error) {
	err = m.source.ReadAll(ctx, after(done, 1), func(r event.Recorded) error {
		at = r.Created
		return nil
	})
	return at, err
}

func after(done checkpoint.Done, limit int) event.AllRead {
	read := event.AllRead{Limit: limit, Filter: projections.LedgerFilter()}
	if done.Events > 0 {
		read.From = done.Position + 1
	}
	return read
}

// done returns how far the live table is; by the checkpoint from before this process, if no
// session has opened yet.
func (f *follower) done() checkpoint.Done {
	live := f.checkpoints.get().Live
	if live.Name != "" {
		return live.Done
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before
}

// received returns how far in the ledger the live table writer has received, and whether it
// receives more without help.
func (f *follower) received() (checkpoint.Done, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.phase == Standby {
		return checkpoint.Done{}, true // the holder of the lease counts it
	}
	for _, w := range f.writers {
		if b := w.batches.Load(); b != nil && !w.building {
			return b.reached()
		}
	}
	return checkpoint.Done{}, false
}
