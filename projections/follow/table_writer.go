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

// Deadlines of what a projection asks of others.
const (
	checkpointTimeout = 15 * time.Second
	// drainTimeout is how long a batch being written may go on after a stop. Cut off,
	// it is written again at the next start.
	drainTimeout = 5 * time.Second
)

// How long ClickHouse may take to open a projection's tables, and to take a batch. A
// statement to one that is gone without a word is never answered, so that the first wait is
// short; it doubles while nothing comes of it, for a ClickHouse that is slow, and is short
// again when it is fast.
const (
	minPatience  = 15 * time.Second
	mostPatience = 2 * time.Minute
)

// patience is how long a follower waits for ClickHouse.
type patience struct{ wait atomic.Int64 }

func (p *patience) get() time.Duration { return max(minPatience, time.Duration(p.wait.Load())) }

// failed follows a try that came to nothing.
func (p *patience) failed() { p.wait.Store(int64(min(2*p.get(), mostPatience))) }

// took follows a batch that was taken.
func (p *patience) took(d time.Duration) {
	if d < minPatience/2 {
		p.wait.Store(0)
	}
}

// errSwitched: the table being built has taken the live one's place.
var errSwitched = errors.New("the rebuilt table is live")

// tableWriter fills one table of a projection: the live one, or one being built beside it.
type tableWriter struct {
	*follower
	building bool
	table    checkpoint.Table
	batches  atomic.Pointer[batcher]
	live     atomic.Bool  // the past has been read
	freeze   *atomic.Bool // set by the tableWriter that builds: the live one writes no more

	mu    sync.Mutex
	taken []batch // from the batcher and not written yet, in order
}

// run follows $all until ctx ends or something fails; *projections.Corrupt is final.
func (l *tableWriter) run(ctx context.Context) error {
	if err := l.repeatPending(ctx); err != nil {
		return err
	}
	b := newBatcher(l.now, l.batchLimit, l.projection.Table.SpanEvents(), l.table.Done)
	l.batches.Store(b)
	ctx, cancel := context.WithCancel(ctx)
	lost := make(chan error, 1)
	go func() {
		receive := func(r event.Recorded, m *projections.DecodedCache) error { return b.add(ctx, r, m) }
		err := l.sharedReads().subscribe(ctx, l.after(), receive, b.wentLive)
		if err == nil {
			err = errors.New("the subscription ended")
		}
		lost <- fmt.Errorf("following $all: %w", err)
		cancel()
	}()
	err := l.writeBatches(ctx, b)
	cancel()
	if ended := <-lost; err != nil && errors.Is(err, context.Canceled) {
		return ended
	}
	return err
}

// sharedReads are those of its kind: a live table never waits for one being built.
func (l *tableWriter) sharedReads() *sharedReads {
	if l.building {
		return l.builds
	}
	return l.follows
}

func (l *tableWriter) after() *event.Position {
	if l.table.Done.Events == 0 {
		return nil
	}
	after := l.table.Done.Position
	return &after
}

// made is a batch with the rows made of it.
type made struct {
	batch
	rows   []readmodels.Row
	n      int   // events that rows stand for
	broken error // of the event after those
}

// makeBatches makes the rows of one batch while the one before is being written, until
// ctx ends or an event is corrupt.
func (l *tableWriter) makeBatches(ctx context.Context, b *batcher, to chan<- made) {
	var notBefore time.Time
	for {
		next, err := b.take(ctx, notBefore)
		if err != nil {
			return // ctx has ended
		}
		if next.caughtUp || l.live.Load() { // the past is read without a rest
			notBefore = l.now().Add(pauseAfter(len(next.events)))
		}
		l.take(next)
		m := made{batch: next}
		m.rows, m.n, m.broken = l.projection.Rows(next.events)
		select {
		case to <- m:
		case <-ctx.Done():
			return
		}
		if m.broken != nil {
			return
		}
	}
}

// take notes a batch that is to be written: one is being written and one being made.
func (l *tableWriter) take(b batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, b)
}

// wrote notes that the oldest one that was taken is.
func (l *tableWriter) wrote() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = slices.Delete(l.taken, 0, 1)
}

// inHand answers how many events were taken and are not written, and when the store took
// the first of them.
func (l *tableWriter) inHand() (n int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.taken {
		if n == 0 {
			since = b.since
		}
		n += len(b.events)
	}
	return n, since
}

func (l *tableWriter) writeBatches(ctx context.Context, b *batcher) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan made)
	var making sync.WaitGroup
	making.Go(func() { l.makeBatches(ctx, b, batches) })
	err := l.writeMade(ctx, batches)
	cancel()
	making.Wait()
	return err
}

func (l *tableWriter) writeMade(ctx context.Context, batches <-chan made) error {
	for {
		var next made
		select {
		case next = <-batches:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.freeze.Load() && !l.building {
			<-ctx.Done() // the table being built takes over: this session ends
			return ctx.Err()
		}
		if len(next.events) > 0 {
			if err := l.write(ctx, next); err != nil {
				return err
			}
		}
		l.wrote()
		if next.caughtUp {
			l.live.Store(true)
		}
		if l.building && l.live.Load() {
			l.freeze.Store(true)
			if err := l.takeOver(ctx); err != nil {
				return err
			}
		}
	}
}

// write puts a batch into the table, under a checkpoint that fixes its first and last
// event. Events before a corrupt one are written, then that one is the error.
func (l *tableWriter) write(ctx context.Context, m made) error {
	if m.n > 0 {
		first, last := m.events[0], m.events[m.n-1]
		pending := checkpoint.Batch{FirstSeq: first.Seq, LastSeq: last.Seq, First: first.Position, Last: last.Position}
		err := l.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
			if s.Live.Name != l.table.Name && !l.building {
				return errSwitched // while this batch was being made
			}
			l.in(s).Pending = &pending
			return nil
		})
		if err != nil {
			return err
		}
		if err := l.insert(ctx, pending, m.rows); err != nil {
			return err
		}
	}
	return m.broken
}

// repeatPending writes again the batch that the checkpoint says was about to be
// written: nobody knows whether it was.
func (l *tableWriter) repeatPending(ctx context.Context) error {
	pending := l.table.Pending
	if pending == nil {
		return nil
	}
	events, err := l.read(ctx, *pending)
	if err != nil {
		return fmt.Errorf("reading the pending batch again: %w", err)
	}
	rows, _, broken := l.projection.Rows(events)
	if broken != nil {
		return broken
	}
	return l.insert(ctx, *pending, rows)
}

func (l *tableWriter) read(ctx context.Context, b checkpoint.Batch) ([]projections.LedgerEvent, error) {
	if b.LastSeq < b.FirstSeq || b.LastSeq-b.FirstSeq >= projections.MaxBatchEvents {
		return nil, projections.ErrOtherEvents
	}
	events, err := projections.ReadBatch(ctx, l.source, b.FirstSeq, b.First, uint64(b.Events()))
	if err == nil && events[len(events)-1].Position != b.Last {
		return nil, projections.ErrOtherEvents
	}
	return events, err
}

func (l *tableWriter) insert(ctx context.Context, b checkpoint.Batch, rows []readmodels.Row) error {
	draining, stop := drain(ctx, drainTimeout)
	defer stop()
	draining, cancel := context.WithTimeout(draining, l.patience.get())
	defer cancel()
	began := l.now()
	kind := l.projection.Table
	if len(rows) > 0 {
		token := fmt.Sprintf("%s:%d-%d", l.table.Name, b.FirstSeq, b.LastSeq)
		if err := l.target.Insert(draining, kind, l.table.Name, token, rows); err != nil {
			return err
		}
	}
	if span := kind.SpanEvents(); kind.Sums && (b.LastSeq+1)%span == 0 {
		if err := l.target.Sum(draining, kind, l.table.Name, b.LastSeq/span); err != nil {
			return err
		}
	}
	l.table.Done, l.table.Pending = b.Done(), nil
	l.checkpoints.note(func(s *checkpoint.ProjectionCheckpointed) {
		if t := l.in(s); t != nil && t.Name == l.table.Name {
			*t = l.table
		}
	})
	l.progressed.Store(true)
	l.patience.took(l.now().Sub(began))
	return nil
}

// in answers the tableWriter's table in a checkpoint.
func (l *tableWriter) in(s *checkpoint.ProjectionCheckpointed) *checkpoint.Table {
	if l.building {
		return s.Building
	}
	return &s.Live
}

// errNotYet: the live table holds, or may hold, more than the one being built.
var errNotYet = errors.New("the live table is ahead")

// takeOver makes the table being built the live one, once it holds all that the live
// one does, or may: no row that was to be seen goes away.
func (l *tableWriter) takeOver(ctx context.Context) error {
	err := l.checkpoints.save(ctx, func(s *checkpoint.ProjectionCheckpointed) error {
		ahead := s.Live.Done
		if s.Live.Pending != nil {
			ahead = s.Live.Pending.Done()
		}
		if ahead.Events > l.table.Done.Events {
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

// drain answers a context that outlives ctx by grace.
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
