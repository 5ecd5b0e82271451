// Package mark holds the events that tie times to places in the order of the ledger. They
// are operational, but unlike the others they are kept for ever and carried over when a
// store is copied: what was known at a time in the past must never change.
package mark

import (
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of streams of marks.
const StreamPrefix = "mark-"

// Stream is the one stream of marks. It has no $maxCount.
const Stream = StreamPrefix + "ledger"

// Tick is the least distance of two marks: read models hold microseconds.
const Tick = time.Microsecond

// THE NAMES AND FIELDS BELOW ARE THE STORAGE FORMAT.

// Marked records how many ledger events were known at a time. In their stream, times are
// strictly increasing, and Seq never falls.
type Marked struct {
	Time time.Time `json:"time"` // UTC, to the microsecond
	// Seq is the number of ledger events known: those with a smaller ordinal.
	Seq uint64 `json:"seq"`
	// Position and LastID are those of the last event counted, and mean nothing while Seq
	// is 0. In a copy of the store the position is another; the id is the same.
	Position event.Position `json:"position"`
	LastID   string         `json:"last_id"`
}

// definitions registers every event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[Marked]("Marked",
			event.Doc("So many ledger events were known at this time: as-of times resolve to the last mark at or before them.")),
	}
}
