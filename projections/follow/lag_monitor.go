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
	// lagEvery is how often the lagMonitor looks; it reads nothing while every tableWriter follows.
	lagEvery = time.Second
	// lagLimit is how many events it counts at a look, so that it takes nothing away from
	// a table that is catching up.
	lagLimit   = 20_000
	lagTimeout = 5 * time.Second
)

// lagMonitor knows how long the ledger is, also while no table takes its events: a tableWriter counts
// those that it has received, and with its read models down, or its batch full, it
// receives none. So what is behind stays true during an outage.
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
			_ = m.look(ctx) // a store that does not answer is told of by all that need it
		}
	}
}

// begin takes over what the checkpoints say, before a session writes new ones: also the
// checkpoint of a table that is gone knows how long the ledger was.
func (m *lagMonitor) begin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	building := 0
	defer func() {
		if len(m.followers) > 0 {
			m.followers[0].builds.expect(building) // they go on together
		}
	}()
	for _, k := range m.followers {
		state, _, err := k.checkpoints.newest(ctx)
		if err != nil {
			return
		}
		if state.Building != nil {
			building++
		}
		m.raise(state.Live.Done)
		k.mu.Lock()
		k.before = state.Live.Done
		k.mu.Unlock()
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

// look counts what no tableWriter receives, and finds out since when it waits.
func (m *lagMonitor) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	var waiting []*follower
	for _, k := range m.followers {
		received, following := k.received()
		m.raise(received)
		if !following {
			waiting = append(waiting, k)
			continue
		}
		k.waitsSince(time.Time{})
	}
	if len(waiting) == 0 {
		return nil
	}
	if err := m.count(ctx); err != nil {
		return err
	}
	for _, k := range waiting {
		done := k.done()
		if done.Events >= m.total().Events {
			continue
		}
		oldest, err := m.oldestAfter(ctx, done)
		if err != nil {
			return err
		}
		k.waitsSince(oldest)
	}
	return nil
}

func (k *follower) waitsSince(oldest time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.oldest = oldest
}

// count goes on from the last event counted.
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

// oldestAfter answers when the store took the first event that is not in a table.
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

// done is what is in the live table, by the checkpoint of before this process if no
// session has opened its own yet.
func (k *follower) done() checkpoint.Done {
	live := k.checkpoints.get().Live
	if live.Name != "" {
		return live.Done
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.before
}

// received answers how far the live tableWriter has taken in the ledger, and whether it takes
// in more by itself.
func (k *follower) received() (checkpoint.Done, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.phase == Standby {
		return checkpoint.Done{}, true // its holder tells
	}
	for _, l := range k.writers {
		if b := l.batches.Load(); b != nil && !l.building {
			received, more := b.reached()
			return received, more && k.stopped == nil
		}
	}
	return checkpoint.Done{}, false
}
