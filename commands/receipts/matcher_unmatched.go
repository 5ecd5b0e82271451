package receipts

import (
	"maps"
	"sync"
	"time"

	"recapito/domain/event"
	"recapito/domain/receipt"
)

// unmatchedAfter is how long a receipt may be without a match before it is counted.
const unmatchedAfter = time.Minute

// reasonWaits: an attempt that may be the receipt's may still register.
const reasonWaits receipt.Reason = "waits"

// Unmatched is why receipts of a route match nothing.
type Unmatched struct {
	Route  string
	Reason receipt.Reason
}

// unmatched counts the receipts that match nothing within a minute, since the process
// began. A receipt that is matched later stays counted.
type unmatched struct {
	now func() time.Time

	mu     sync.Mutex
	counts map[Unmatched]uint64
	open   map[string]*Unmatched
	order  []unmatchedID  // of open, oldest first; some may be matched
	seen   event.Position // a receipt before it is known: $all may be observed again
}

type unmatchedID struct {
	id    string
	since time.Time
}

func newUnmatched(now func() time.Time) *unmatched {
	return &unmatched{now: now, counts: map[Unmatched]uint64{}, open: map[string]*Unmatched{}}
}

func (u *unmatched) recorded(p event.Position, id, route string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p <= u.seen {
		return
	}
	u.seen = p
	u.open[id] = &Unmatched{route, reasonWaits}
	u.order = append(u.order, unmatchedID{id, u.now()})
	u.count(len(u.open) > matcherMaxReceipts)
}

func (u *unmatched) left(id string, reason receipt.Reason) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if r := u.open[id]; r != nil && reason != receipt.Matched {
		r.Reason = reason
	}
}

func (u *unmatched) matched(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, id)
}

// count counts what is old enough, and the oldest if there are too many.
func (u *unmatched) count(tooMany bool) {
	now := u.now()
	for len(u.order) > 0 {
		oldest := u.order[0]
		r := u.open[oldest.id]
		if r != nil && now.Sub(oldest.since) < unmatchedAfter && !tooMany {
			return
		}
		u.order = u.order[1:]
		if r != nil {
			u.counts[*r]++
			delete(u.open, oldest.id)
			tooMany = false
		}
	}
}

// Unmatched returns how many receipts matched nothing within a minute, by route and
// reason, since the process began.
func (m *Matcher) Unmatched() map[Unmatched]uint64 {
	u := m.unmatched
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count(false)
	return maps.Clone(u.counts)
}
