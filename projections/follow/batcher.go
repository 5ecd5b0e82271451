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
	// event after a pause goes at once, those that follow share the next batch. After a
	// batch of someBatch or of busyBatch events it is longer: every table is written to by
	// itself, and few large batches leave the machine to the work.
	batchInterval = 200 * time.Millisecond
	someInterval  = 500 * time.Millisecond
	someBatch     = 10
	busyInterval  = time.Second
	busyBatch     = 100
	// catchUpWait is how long a batch that is not full waits while the subscription
	// still brings the past: large batches cost the read models least.
	catchUpWait = time.Second
)

// pauseAfter answers how long after the beginning of a batch the next one begins.
func pauseAfter(events int) time.Duration {
	switch {
	case events >= busyBatch:
		return busyInterval
	case events >= someBatch:
		return someInterval
	}
	return batchInterval
}

// batcher gathers a subscription's events into batches: one being gathered here while
// the one before is being written. It holds at most one batch; add waits for room.
type batcher struct {
	now   func() time.Time
	limit int
	span  uint64 // no batch crosses a multiple of it

	mu       sync.Mutex
	events   []projections.LedgerEvent
	bytes    int
	nextSeq  uint64
	oldest   time.Time // when the first of events came
	since    time.Time // when the store took it
	last     event.Position
	caughtUp bool
	told     bool // that it caught up
	wake     chan struct{}
	room     chan struct{}
}

// newBatcher gathers what follows done.
func newBatcher(now func() time.Time, limit int, span uint64, done checkpoint.Done) *batcher {
	return &batcher{
		now: now, limit: limit, span: span, nextSeq: done.Events, last: done.Position,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// batch is a run of ledger events to be written together.
type batch struct {
	events []projections.LedgerEvent
	since  time.Time // when the store took the first of them
	// caughtUp: when it was taken there was nothing behind it.
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

// take waits for a batch, not before the time given unless it is full. Once, when the
// past has been read and there is nothing to write, it answers an empty batch that has
// caught up.
func (b *batcher) take(ctx context.Context, notBefore time.Time) (batch, error) {
	for {
		b.mu.Lock()
		due := b.now() // at once
		switch {
		case b.full():
		case len(b.events) == 0 && b.caughtUp && !b.told:
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
			b.told = b.told || taken.caughtUp
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

// waiting answers how many events are gathered, and when the store took the first.
func (b *batcher) waiting() (int, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events), b.since
}

// reached answers how many ledger events there are up to the last one added, and whether
// it takes more.
func (b *batcher) reached() (checkpoint.Done, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return checkpoint.Done{Events: b.nextSeq, Position: b.last}, !b.full()
}

// notify leaves a word for one waiter; one word is enough.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
