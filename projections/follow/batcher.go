package follow

import (
	"context"
	"sync"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
)

// Limits of a batch, and how long an event waits for one.
const (
	maxBatchBytes = 16 << 20
	// batchInterval is the least time between two batches that are not full: the first
	// event after a pause is written at once, and those that follow share the next batch.
	// After a batch of someBatch or busyBatch events the interval is longer: every table has
	// its own inserts, and few large ones cost less.
	batchInterval = 200 * time.Millisecond
	someInterval  = 500 * time.Millisecond
	someBatch     = 10
	busyInterval  = time.Second
	busyBatch     = 100
	// catchUpWait is how long a batch that is not full waits while the subscription
	// still brings the past: large batches cost the read models least.
	catchUpWait = time.Second
)

// pauseAfter returns how long after the beginning of a batch the next one begins.
func pauseAfter(events int) time.Duration {
	switch {
	case events >= busyBatch:
		return busyInterval
	case events >= someBatch:
		return someInterval
	}
	return batchInterval
}

// batcher gathers a subscription's events into batches: one is gathered here while
// the one before is written. It holds at most one batch; add waits for room.
type batcher struct {
	now   func() time.Time
	limit int
	span  uint64 // no batch crosses a multiple of it

	mu       sync.Mutex
	events   []projections.LedgerEvent
	bytes    int
	nextSeq  uint64
	oldest   time.Time // when the first of events arrived here
	since    time.Time // when it was stored
	last     event.Position
	caughtUp bool
	reported bool // a batch with caughtUp was taken
	wake     chan struct{}
	room     chan struct{}
}

// newBatcher returns a batcher of the events that follow done.
func newBatcher(now func() time.Time, limit int, span uint64, done checkpoint.Done) *batcher {
	return &batcher{
		now: now, limit: limit, span: span, nextSeq: done.Events, last: done.Position,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// batch is a run of ledger events to be written together.
type batch struct {
	events []projections.LedgerEvent
	since  time.Time // when the first of them was stored
	// caughtUp: when the batch was taken, no event followed it.
	caughtUp bool
}

func (b *batcher) full() bool {
	return len(b.events) >= b.limit || b.bytes >= maxBatchBytes || len(b.events) > 0 && b.nextSeq%b.span == 0
}

// add takes one ledger event, in order, waiting while the batch is full.
func (b *batcher) add(ctx context.Context, r event.Recorded, m *projections.DecodedCache) error {
	for {
		b.mu.Lock()
		if !b.full() {
			if len(b.events) == 0 {
				b.oldest, b.since = b.now(), r.Created
			}
			b.events = append(b.events, projections.LedgerEvent{Recorded: r, Seq: b.nextSeq, Decoded: m})
			b.bytes += len(r.Data) + len(r.Metadata)
			b.nextSeq++
			b.last = r.Position
			wake := len(b.events) == 1 || b.full()
			b.mu.Unlock()
			if wake {
				notify(b.wake)
			}
			return nil
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.room:
		}
	}
}

// wentLive is the subscription's CaughtUp.
func (b *batcher) wentLive() {
	b.mu.Lock()
	b.caughtUp = true
	b.mu.Unlock()
	notify(b.wake)
}

// take waits for a batch, which is not due before the time given unless it is full. When
// the past has been read and there is nothing to write, take returns an empty batch with
// caughtUp, once.
func (b *batcher) take(ctx context.Context, notBefore time.Time) (batch, error) {
	for {
		b.mu.Lock()
		due := b.now() // at once
		switch {
		case b.full():
		case len(b.events) == 0 && b.caughtUp && !b.reported:
		case len(b.events) == 0:
			due = time.Time{} // not before an event comes
		case b.caughtUp && !notBefore.IsZero():
			due = notBefore
		case b.caughtUp:
		default:
			due = b.oldest.Add(catchUpWait)
		}
		wait := due.Sub(b.now())
		if wait <= 0 && !due.IsZero() {
			taken := batch{events: b.events, since: b.since, caughtUp: b.caughtUp && !b.full()}
			b.reported = b.reported || taken.caughtUp
			// The next one will be about as large.
			b.events, b.bytes = make([]projections.LedgerEvent, 0, len(taken.events)), 0
			b.mu.Unlock()
			notify(b.room)
			return taken, nil
		}
		b.mu.Unlock()
		if err := b.wait(ctx, wait); err != nil {
			return batch{}, err
		}
	}
}

func (b *batcher) wait(ctx context.Context, d time.Duration) error {
	var alarm <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.wake:
	case <-alarm:
	}
	return nil
}

// waiting returns how many events are gathered, and when the first was stored.
func (b *batcher) waiting() (int, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events), b.since
}

// reached returns how many ledger events there are up to the last one added, and whether
// there is room for more.
func (b *batcher) reached() (checkpoint.Done, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return checkpoint.Done{Events: b.nextSeq, Position: b.last}, !b.full()
}

// notify wakes one waiter, now or when it next waits.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
