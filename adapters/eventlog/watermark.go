package eventlog

import (
	"sync"
	"sync/atomic"

	"recapito/domain/event"
)

// watermark is the position up to which everything is durable, and wakes those who wait
// for it to move.
type watermark struct {
	position atomic.Uint64
	mu       sync.Mutex
	moved    chan struct{} // nil while no one waits
}

func (w *watermark) at() event.Position { return event.Position(w.position.Load()) }

// advance moves the watermark, or only wakes everybody if p is where it stands.
func (w *watermark) advance(p event.Position) {
	w.mu.Lock()
	w.position.Store(uint64(p))
	if w.moved != nil {
		close(w.moved)
		w.moved = nil
	}
	w.mu.Unlock()
}

// next returns a channel that is closed once the watermark is woken after this call.
func (w *watermark) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moved == nil {
		w.moved = make(chan struct{})
	}
	return w.moved
}
