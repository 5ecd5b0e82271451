package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// Deadlines of requests to the event store and ClickHouse.
const (
	checkpointTimeout = 15 * time.Second
	// drainTimeout is how long a batch being written may go on after a stop. Cut off,
	// it is written again at the next start.
	drainTimeout = 5 * time.Second
)

// How long ClickHouse may take to open a projection's tables, and to take a batch. A
// connection to a host that is gone does not return, so the first deadline is short. It
// doubles while statements fail, for a ClickHouse that is slow, and is short again when one
// was fast.
const (
	minPatience  = 15 * time.Second
	mostPatience = 2 * time.Minute
)

// patience is how long a follower waits for ClickHouse.
type patience struct{ wait atomic.Int64 }

func (p *patience) get() time.Duration { return max(minPatience, time.Duration(p.wait.Load())) }

// failed lengthens it after a session that wrote nothing.
func (p *patience) failed() { p.wait.Store(int64(min(2*p.get(), mostPatience))) }

// took shortens it after a batch that was written fast.
func (p *patience) took(d time.Duration) {
	if d < minPatience/2 {
		p.wait.Store(0)
	}
}

// errSwitched ends a session: the table being built has become the live one.
var errSwitched = errors.New("the rebuilt table is live")

// tableWriter fills one table of a projection: the live one, or one being built.
type tableWriter struct {
	*follower
	building bool
	table    checkpoint.Table
	batches  atomic.Pointer[batcher]
	live     atomic.Bool  // the past has been read
	freeze   *atomic.Bool // set by the writer that builds: the live one writes no more

	mu    sync.Mutex
	taken []batch // from the batcher, not written yet, in order
}

// run follows $all until ctx ends or something fails.
func (w *tableWriter) run(ctx context.Context) error {
	if err := w.repeatPending(ctx); err != nil {
		return err
	}
	b := newBatcher(w.now, w.batchLimit, w.projection.Table.SpanEvents(), w.table.Done)
	w.batches.Store(b)
	ctx, cancel := context.WithCancel(ctx)
	lost := make(chan error, 1)
	go func() {
		receive := func(r event.Recorded, m *projections.DecodedCache) error { return b.add(ctx, r, m) }
		err := w.sharedReads().subscribe(ctx, w.after(), receive, b.wentLive)
		if err == nil {
			err = errors.New("the subscription ended")
		}
		lost <- fmt.Errorf("following $all: %w", err)
		cancel()
	}()
	err := w.writeBatches(ctx, b)
	cancel()
	if ended := <-lost; err != nil && errors.Is(err, context.Canceled) {
		return ended
	}
	return err
}

// sharedReads are those of the writer's kind: a live table never waits for one being built.
func (w *tableWriter) sharedReads() *sharedReads {
	if w.building {
		return w.builds
	}
	return w.follows
}

func (w *tableWriter) after() *event.Position {
	if w.table.Done.Events == 0 {
		return nil
	}
	after := w.table.Done.Position
	return &after
}

// made is a batch with the rows made of it, and the events that make none.
type made struct {
	batch
	rows  []readmodels.Row
	aside []*event.Unreadable
}

// makeBatches makes the rows of one batch while the one before is being written, until
// ctx ends.
func (w *tableWriter) makeBatches(ctx context.Context, b *batcher, to chan<- made) {
	var notBefore time.Time
	for {
		next, err := b.take(ctx, notBefore)
		if err != nil {
			return // ctx has ended
		}
		if next.caughtUp || w.live.Load() { // the past is read without a pause
			notBefore = w.now().Add(pauseAfter(len(next.events)))
		}
		w.take(next)
		m := made{batch: next}
		if len(next.events) > 0 {
			m.rows, m.aside = w.projection.Rows(next.events)
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return
		}
	}
}

// take keeps a batch that is to be written: one is being written and one being made.
func (w *tableWriter) take(b batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = append(w.taken, b)
}

// wrote removes the oldest of them, which is written.
func (w *tableWriter) wrote() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = slices.Delete(w.taken, 0, 1)
}

// inHand returns how many events were taken and are not written, and when the first of them
// was stored.
func (w *tableWriter) inHand() (n int, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.taken {
		if n == 0 {
			since = b.since
		}
		n += len(b.events)
	}
	return n, since
}

func (w *tableWriter) writeBatches(ctx context.Context, b *batcher) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan made)
	var making sync.WaitGroup
	making.Go(func() { w.makeBatches(ctx, b, batches) })
	err := w.writeMade(ctx, batches)
	cancel()
	making.Wait()
	return err
}

func (w *tableWriter) writeMade(ctx context.Context, batches <-chan made) error {
	for {
		var next made
		select {
		case next = <-batches:
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.freeze.Load() && !w.building {
			<-ctx.Done() // the table being built takes over: this session ends
			return ctx.Err()
		}
		if len(next.events) > 0 {
			if err := w.write(ctx, next); err != nil {
				return err
			}
		}
		w.wrote()
		if next.caughtUp {
			w.live.Store(true)
		}
		if w.building && w.live.Load() {
			w.freeze.Store(true)
			if err := w.takeOver(ctx); err != nil {
				return err
			}
		}
	}
}

// write writes a batch to the table, under a checkpoint that fixes its first and last
// event.
func (w *tableWriter) write(ctx context.Context, m made) error {
	first, last := m.events[0], m.events[len(m.events)-1]
	pending := checkpoint.Batch{FirstSeq: first.Seq, LastSeq: last.Seq, First: first.Position, Last: last.Position}
	err := w.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
		if s.Live.Name != w.table.Name && !w.building {
			return errSwitched // while this batch was being made
		}
		w.in(s).Pending = &pending
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.setAside(ctx, m.aside); err != nil {
		return err
	}
	token := fmt.Sprintf("%s:%d-%d", w.table.Name, pending.FirstSeq, pending.LastSeq)
	return w.insert(ctx, pending, token, m.rows)
}

// setAside records which events of a batch make no rows, before the batch is done.
func (w *tableWriter) setAside(ctx context.Context, all []*event.Unreadable) error {
	if w.aside == nil {
		return nil
	}
	for _, u := range all {
		if err := w.aside(ctx, w.projection.Name(), u); err != nil {
			return err
		}
	}
	return nil
}

// repeatPending writes the batch again that is pending in the checkpoint: it is not known
// whether it was written. It has no token: a server that was killed may remember the token
// of a batch whose rows it lost.
func (w *tableWriter) repeatPending(ctx context.Context) error {
	pending := w.table.Pending
	if pending == nil {
		return nil
	}
	events, err := w.read(ctx, *pending)
	if err != nil {
		return fmt.Errorf("reading the pending batch again: %w", err)
	}
	rows, aside := w.projection.Rows(events)
	if err := w.setAside(ctx, aside); err != nil {
		return err
	}
	return w.insert(ctx, *pending, "", rows)
}

func (w *tableWriter) read(ctx context.Context, b checkpoint.Batch) ([]projections.LedgerEvent, error) {
	if b.LastSeq < b.FirstSeq || b.LastSeq-b.FirstSeq >= projections.MaxBatchEvents {
		return nil, projections.ErrOtherEvents
	}
	events, err := projections.ReadBatch(ctx, w.source, b.FirstSeq, b.First, uint64(b.Events()))
	if err == nil && events[len(events)-1].Position != b.Last {
		return nil, projections.ErrOtherEvents
	}
	return events, err
}

func (w *tableWriter) insert(ctx context.Context, b checkpoint.Batch, token string, rows []readmodels.Row) error {
	draining, stop := drain(ctx, drainTimeout)
	defer stop()
	draining, cancel := context.WithTimeout(draining, w.patience.get())
	defer cancel()
	began := w.now()
	kind := w.projection.Table
	if len(rows) > 0 {
		if err := w.target.Insert(draining, kind, w.table.Name, token, rows); err != nil {
			return err
		}
	}
	if span := kind.SpanEvents(); kind.Sums && (b.LastSeq+1)%span == 0 {
		if err := w.target.Sum(draining, kind, w.table.Name, b.LastSeq/span); err != nil {
			return err
		}
	}
	w.table.Done, w.table.Pending = b.Done(), nil
	w.checkpoints.note(func(s *checkpoint.ProjectionCheckpointed) {
		if t := w.in(s); t != nil && t.Name == w.table.Name {
			*t = w.table
		}
	})
	notify(w.worked)
	w.patience.took(w.now().Sub(began))
	return nil
}

// in returns the writer's table in a checkpoint.
func (w *tableWriter) in(s *checkpoint.ProjectionCheckpointed) *checkpoint.Table {
	if w.building {
		return s.Building
	}
	return &s.Live
}

// errNotYet: the live table holds, or may hold, more than the one being built.
var errNotYet = errors.New("the live table is ahead")

// takeOver makes the table being built the live one, once it holds all that the live one
// may hold: no row that was visible goes away.
func (w *tableWriter) takeOver(ctx context.Context) error {
	err := w.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
		ahead := s.Live.Done
		if s.Live.Pending != nil {
			ahead = s.Live.Pending.Done()
		}
		if ahead.Events > w.table.Done.Events {
			return errNotYet
		}
		s.Retired = append(s.Retired, s.Live.Name)
		s.Live, s.Building = *s.Building, nil
		return nil
	})
	switch {
	case err == nil:
		return errSwitched
	case errors.Is(err, errNotYet):
		return nil
	}
	return err
}

// drain returns a context that ends grace after ctx does.
func drain(ctx context.Context, grace time.Duration) (context.Context, func()) {
	draining, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timer := make(chan *time.Timer, 1)
	stop := context.AfterFunc(ctx, func() { timer <- time.AfterFunc(grace, cancel) })
	return draining, func() {
		if !stop() {
			(<-timer).Stop()
		}
		cancel()
	}
}
