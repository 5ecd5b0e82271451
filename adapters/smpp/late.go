package smpp

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// lateWorkers is how many late answers are told at once.
const lateWorkers = 8

// lateTable remembers the messages that Send left without all answers, bounded in
// number and time. Over the number, new ones are not remembered.
type lateTable struct {
	limit int
	ttl   time.Duration

	mu    sync.Mutex
	order *list.List // of *lateEntry, oldest first
	at    map[*flight]*list.Element
	// held counts the remembered and those whose telling is under way, so that the
	// queue below never fills.
	held  int
	queue chan func()
}

type lateEntry struct {
	f       *flight
	expires time.Time
}

func newLateTable(limit int, ttl time.Duration) *lateTable {
	return &lateTable{
		limit: limit, ttl: ttl,
		order: list.New(), at: map[*flight]*list.Element{},
		queue: make(chan func(), limit),
	}
}

// add remembers a message; false if there is no room. The flight's lock is held.
func (t *lateTable) add(f *flight) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held >= t.limit {
		return false
	}
	t.held++
	t.at[f] = t.order.PushBack(&lateEntry{f, time.Now().Add(t.ttl)})
	return true
}

// remove takes a message off the list; drop or deliver must follow.
func (t *lateTable) remove(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.at[f]; ok {
		t.order.Remove(e)
		delete(t.at, f)
	}
}

func (t *lateTable) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
}

func (t *lateTable) deliver(tell func()) {
	t.queue <- func() {
		defer t.drop()
		tell()
	}
}

// expireBefore gives up the messages remembered too long.
func (t *lateTable) expireBefore(now time.Time) {
	var old []*flight
	t.mu.Lock()
	for e := t.order.Front(); e != nil && e.Value.(*lateEntry).expires.Before(now); e = e.Next() {
		old = append(old, e.Value.(*lateEntry).f)
	}
	t.mu.Unlock()
	for _, f := range old {
		f.expire()
	}
}

// run tells what comes late until ctx ends, and then what is left in the queue.
func (t *lateTable) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range lateWorkers {
		wg.Go(func() {
			for {
				select {
				case tell := <-t.queue:
					tell()
				case <-ctx.Done():
					for {
						select {
						case tell := <-t.queue:
							tell()
						default:
							return
						}
					}
				}
			}
		})
	}
	tick := time.NewTicker(max(t.ttl/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			t.expireBefore(now)
		case <-ctx.Done():
			wg.Wait()
			return
		}
	}
}
