package sealing

import (
	"sync"
	"time"
)

// leased holds opened keys for at most Lease, counted from before the store was asked,
// and at most 2 × maxOpenKeys of them. Keys that lapse are dropped with their
// generation when the next one begins, so an idle process may hold some it will not
// use again; none is ever used after its lease.
type leased[V any] struct {
	now func() time.Time

	mu       sync.RWMutex
	young    map[string]lease[V]
	old      map[string]lease[V]
	youngest time.Time // when the young generation began
}

type lease[V any] struct {
	value V
	since time.Time
}

func newLeased[V any](now func() time.Time) *leased[V] {
	return &leased[V]{now: now, young: map[string]lease[V]{}}
}

// get returns what is held under name, or opens it. Two callers may open the same one
// at once; errors are not held.
func (l *leased[V]) get(name string, open func() (V, error)) (V, error) {
	now := l.now()
	l.mu.RLock()
	held, ok := l.young[name]
	if !ok {
		held, ok = l.old[name]
	}
	l.mu.RUnlock()
	// A clock set back ends a lease too.
	if age := now.Sub(held.since); ok && age >= 0 && age < Lease {
		return held.value, nil
	}
	v, err := open()
	if err != nil {
		return v, err
	}
	l.put(name, v, now)
	return v, nil
}

// put holds a value that the store answered to a question asked at since.
func (l *leased[V]) put(name string, v V, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := since.Sub(l.youngest); len(l.young) >= maxOpenKeys || age >= Lease || age < 0 {
		l.old, l.young, l.youngest = l.young, map[string]lease[V]{}, since
	}
	l.young[name] = lease[V]{v, since}
}
