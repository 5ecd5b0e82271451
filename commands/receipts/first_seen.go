package receipts

import (
	"sync"
	"time"
)

// Limits of the replies that are remembered while their message is not known.
const (
	mostSeen = 10_000 // of one process; the oldest is forgotten first
	seenFor  = 24 * time.Hour
)

// firstSeen remembers when replies to messages that are not known came first. Provider's
// times are not looked at: they may be wrong, or missing.
type firstSeen struct {
	mu    sync.Mutex
	at    map[string]time.Time
	order []string // the oldest first
}

// since returns how long ago a reply came first; 0 if it comes now.
func (f *firstSeen) since(reply string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.order) > 0 && (len(f.order) >= mostSeen || now.Sub(f.at[f.order[0]]) > seenFor) {
		delete(f.at, f.order[0])
		f.order = f.order[1:]
	}
	if first, ok := f.at[reply]; ok {
		return now.Sub(first)
	}
	if f.at == nil {
		f.at = map[string]time.Time{}
	}
	f.at[reply] = now
	f.order = append(f.order, reply)
	return 0
}
