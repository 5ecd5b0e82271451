package follow

import (
	"time"

	"recapito/domain/event"
)

// Phase is what a projection is doing.
type Phase string

// The phases of a projection.
const (
	Standby    Phase = "standby"     // another instance follows it; its checkpoint holds how far
	Starting   Phase = "starting"    // not opened yet
	CatchingUp Phase = "catching_up" // reading the past
	Live       Phase = "live"        // following
	Retrying   Phase = "retrying"    // something does not respond; see Error
)

// State of a projection, for readiness and operators.
type State struct {
	Projection string         `json:"projection"`
	Phase      Phase          `json:"phase"`
	Events     uint64         `json:"events"`   // ledger events in the table
	Position   event.Position `json:"position"` // of the last of them
	Behind     uint64         `json:"behind"`   // ledger events that are not in it yet
	Lag        time.Duration  `json:"lag_ns"`   // how long ago the oldest of those was stored
	// CompleteUntil: every ledger event recorded before it is in the table, as of some
	// seconds ago; zero if that is not known here.
	CompleteUntil time.Time     `json:"complete_until,omitzero"`
	Error         string        `json:"error,omitempty"`
	Rebuild       *RebuildState `json:"rebuild,omitempty"`
}

// RebuildState is how far a table being built is.
type RebuildState struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
	// Rate is how many events a second were written to it since this process resumed it.
	Rate float64 `json:"rate"`
}

// Ready returns whether the table is up to date, or will be at once, or another instance
// follows the projection.
func (s State) Ready() bool { return s.Phase == Live || s.Phase == Standby }

// State returns the state of the follower's projection.
func (f *follower) State() State {
	checkpoints := f.checkpoints.get()
	f.mu.Lock()
	defer f.mu.Unlock()
	done := checkpoints.Live.Done
	if checkpoints.Live.Name == "" {
		done = f.before
	}
	s := State{Projection: f.projection.Name(), Phase: f.phase, Events: done.Events, Position: done.Position, CompleteUntil: f.complete}
	if f.lastErr != nil {
		s.Error = f.lastErr.Error()
	}
	for _, w := range f.writers {
		if w.building {
			continue
		}
		if w.live.Load() {
			s.Phase = Live
		}
		s.Behind, s.Lag = w.behind()
	}
	if total := f.lagMonitor.total().Events; s.Phase != Standby && total > s.Events+s.Behind {
		s.Behind = total - s.Events
		if s.Lag == 0 && !f.oldest.IsZero() {
			s.Lag = max(0, f.now().Sub(f.oldest))
		}
	}
	if checkpoints.Building != nil {
		s.Rebuild = &RebuildState{Done: checkpoints.Building.Done.Events}
		s.Rebuild.Total = max(s.Rebuild.Done, s.Events+s.Behind)
		if took := f.now().Sub(f.buildBegan).Seconds(); took > 0 && s.Rebuild.Done > f.buildFrom {
			s.Rebuild.Rate = float64(s.Rebuild.Done-f.buildFrom) / took
		}
	}
	return s
}

// behind returns how many events the writer has received that are not in its table, and
// how long the oldest has waited.
func (w *tableWriter) behind() (uint64, time.Duration) {
	n, since := w.inHand()
	if b := w.batches.Load(); b != nil {
		waiting, oldest := b.waiting()
		if n == 0 {
			since = oldest
		}
		n += waiting
	}
	if n == 0 {
		return 0, 0
	}
	return uint64(n), max(0, w.now().Sub(since))
}

func (f *follower) setWriters(writers ...*tableWriter) {
	if len(writers) == 0 { // what the former ones had received still waits
		received, _ := f.received()
		f.lagMonitor.raise(received)
		if s := f.State(); s.Behind > 0 {
			f.waitsSince(f.now().Add(-s.Lag))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writers = writers
	if len(writers) > 0 {
		f.phase, f.lastErr = CatchingUp, nil
	}
}

// setPhase sets the phase and clears the errors.
func (f *follower) setPhase(p Phase) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase, f.lastErr = p, nil
}

// failed keeps why a session ended.
func (f *follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase, f.lastErr = Retrying, err
}
