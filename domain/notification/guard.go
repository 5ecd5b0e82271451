package notification

import (
	"cmp"
	"slices"
	"time"
)

// Guard is what the claim guard found: just before the claim the worker reads again what
// may have changed since planning. The zero value allows the claim.
type Guard struct {
	Verdict Verdict
	Until   time.Time  // of Reschedule: when the window opens; after the command's time
	Code    string     // of Reschedule and Forbid: why
	Detail  string     // of Forbid; never personal data
	Read    []Revision // how far it read
}

// Verdict is an outcome of the claim guard.
type Verdict uint8

// The outcomes of the claim guard.
const (
	Allow      Verdict = iota // claim
	Reschedule                // the window is closed: the attempt waits, no try is counted
	// Forbid: the person's consent is gone. The notification is suppressed: every scheduled
	// attempt is withdrawn and no step is failed over to, so no other channel goes round
	// the consent.
	Forbid
)

// And combines what two guards found: Forbid comes before Reschedule, and that before
// Allow. Of two that reschedule, the later window counts. What both read is kept.
func (g Guard) And(other Guard) Guard {
	first := g
	if later := cmp.Compare(other.Verdict, g.Verdict); later > 0 || later == 0 && other.Until.After(g.Until) {
		first = other
	}
	first.Read = slices.Concat(g.Read, other.Read)
	return first
}
