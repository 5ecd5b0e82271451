// Package storecopy moves what is worth keeping of an event store into an empty one: the
// ledger's events, marks, and the deadlines that are still open; not checkpoints and
// leases, which would be wrong there, nor the store's own `$…` streams.
//
// Promises:
//   - One writer, in the order of $all: the ordinal of a ledger event is the same in both
//     stores. Ids, types, data, metadata and content types are the same bytes. Positions
//     and the store's own times are the target's.
//   - Revisions are the same, unless the source has lost the beginning of a stream (it was
//     truncated, or deadlines that are done were left out): such a stream begins at 0 in
//     the target, and the report counts it. The ledger's own streams are never truncated.
//   - A copy that was cut short goes on where the target ends, which it finds from the
//     target itself; so does one that is done again after the source has grown.
//   - A target that holds anything else is refused, and nothing is written to it.
//   - Memory does not grow with the stores.
//
// Not promised: to notice that somebody else appends to the target meanwhile (Verify does).
package storecopy

import (
	"context"
	"time"

	"recapito/domain/event"
)

// Source is a store that is read.
type Source interface {
	ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error
	ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error
}

// Target is a store that is written.
type Target interface {
	Source
	Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error)
}

// Progress is where a copy is. Positions are the source's; how far it is can only be known
// by them.
type Progress struct {
	Events   uint64
	At, Last event.Position
}

// Report is what a copy did.
type Report struct {
	Found   uint64 // events that the target had already, of those compared
	Resumed bool
	Copied  uint64
	Left    map[string]uint64 // events that are not carried, by what they are
	Shifted uint64            // streams whose revisions are others than in the source
	Last    event.Position    // in the source
}

// Limits of a copy.
const (
	runEvents   = 500     // of one append
	runBytes    = 1 << 19 // of one append, unless one event has more
	ahead       = 2000    // events read and not yet written
	compared    = 1000    // events of the target's end that must be the source's
	remembered  = 1 << 14 // streams of which something is known, in each of two generations
	reportEvery = 200 * time.Millisecond
)
