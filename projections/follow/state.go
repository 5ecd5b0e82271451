package follow

import (
	"time"

	"recapito/domain/event"
	"recapito/projections"
)

// Phase is what a projection is doing.
type Phase string

// The phases of a projection.
const (
	Standby    Phase = "standby"     // another instance keeps it; its checkpoint says how far
	Starting   Phase = "starting"    // not opened yet
	CatchingUp Phase = "catching_up" // reading the past
	Live       Phase = "live"        // following
	Retrying   Phase = "retrying"    // something does not answer; see Error
	Stopped    Phase = "stopped"     // a corrupt event; see Error
)

// State of a projection, for readiness and operators.
type State struct {
	Projection string         `json:"projection"`
	Phase      Phase          `json:"phase"`
	Events     uint64         `json:"events"`   // ledger events in the table
	Position   event.Position `json:"position"` // of the last of them
	Behind     uint64         `json:"behind"`   // ledger events that are not in it yet
	Lag        time.Duration  `json:"lag_ns"`   // how long ago the store took the oldest of those
	// CompleteUntil: every ledger event recorded before it is in the table, as seen some
	// seconds ago; zero if that is not known here.
	CompleteUntil time.Time     `json:"complete_until,omitzero"`
	Error         string        `json:"error,omitempty"`
	Rebuild       *RebuildState `json:"rebuild,omitempty"`
}

// RebuildState is how far a table being built is.
type RebuildState struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
	// Rate is how many events a second went into it since it was last taken up.
	Rate  float64 `json:"rate"`
	Error string  `json:"error,omitempty"`
}

// Ready says that the table is up to date, or will be at once, or is another instance's
// to keep.
func (s State) Ready() bool { return s.Phase == Live || s.Phase == Standby }

// State of the follower's projection now.
func (k *follower) State() State {
	checkpoints := k.checkpoints.get()
	k.mu.Lock()
	defer k.mu.Unlock()
	done := checkpoints.Live.Done
	if checkpoints.Live.Name == "" {
		done = k.before
	}
	s := State{Projection: k.projection.Name(), Phase: k.phase, Events: done.Events, Position: done.Position, CompleteUntil: k.complete}
	if k.lastErr != nil {
		s.Error = k.lastErr.Error()
	}
	for _, l := range k.writers {
		if l.building {
			continue
		}
		if l.live.Load() {
			s.Phase = Live
		}
		s.Behind, s.Lag = l.behind()
	}
	if total := k.lagMonitor.total().Events; s.Phase != Standby && total > s.Events+s.Behind {
		s.Behind = total - s.Events
		if s.Lag == 0 && !k.oldest.IsZero() {
			s.Lag = max(0, k.now().Sub(k.oldest))
		}
	}
	if k.stopped != nil {
		s.Phase, s.Error = Stopped, k.stopped.Error()
	}
	if checkpoints.Building != nil {
		s.Rebuild = &RebuildState{Done: checkpoints.Building.Done.Events}
		s.Rebuild.Total = max(s.Rebuild.Done, s.Events+s.Behind)
		if took := k.now().Sub(k.buildBegan).Seconds(); took > 0 && s.Rebuild.Done > k.buildFrom {
			s.Rebuild.Rate = float64(s.Rebuild.Done-k.buildFrom) / took
		}
		if k.buildErr != nil {
			s.Rebuild.Error = k.buildErr.Error()
		}
	}
	return s
}

// behind answers how many events the tableWriter has received that are not in its table, and
// how long the oldest has waited.
func (l *tableWriter) behind() (uint64, time.Duration) {
	n, since := l.inHand()
	if b := l.batches.Load(); b != nil {
		waiting, oldest := b.waiting()
		if n == 0 {
			since = oldest
		}
		n += waiting
	}
	if n == 0 {
		return 0, 0
	}
	return uint64(n), max(0, l.now().Sub(since))
}

func (k *follower) setWriters(writers ...*tableWriter) {
	if len(writers) == 0 { // what they had received still waits
		received, _ := k.received()
		k.lagMonitor.raise(received)
		if s := k.State(); s.Behind > 0 {
			k.waitsSince(k.now().Add(-s.Lag))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writers = writers
	if len(writers) > 0 {
		k.phase, k.lastErr = CatchingUp, nil
	}
}

// setPhase says what the follower does, nothing having gone wrong.
func (k *follower) setPhase(p Phase) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.phase, k.lastErr, k.stopped = p, nil, nil
}

// failed notes why a session ended.
func (k *follower) failed(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.phase, k.lastErr = Retrying, err
}

// stop notes that a tableWriter met an event that it cannot sharedRead.
func (k *follower) stop(l *tableWriter, why *projections.Corrupt) {
	defer k.checkpoints.wake()
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.building {
		k.buildErr = why
		k.log.Error("the rebuild is stopped by a corrupt event", "error", why)
		return
	}
	k.stopped = why
	k.log.Error("the projection is stopped by a corrupt event", "error", why)
}
