package marks

import (
	"time"

	"recapito/domain/event"
)

// Cut is a place in the order of all ledger events: it divides those that were known at a
// time from those that came later. An as-of time resolves to one cut (Timeline.Resolve), for
// ever the same: late receipts, skewed clocks, a rebuild or a copy of the store do not
// change it.
type Cut struct {
	// Seq is the number of ledger events before the cut: those with a smaller ordinal.
	Seq uint64
	// MarkTime is the time of the mark that was resolved to: at most the time asked for.
	MarkTime time.Time
	// Position is that of the last event before the cut in this store; nil if there is
	// none, or it is not known (a copy of the store has other positions).
	Position *event.Position
}
