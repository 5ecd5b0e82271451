// Package checkpoint holds the bookkeeping events of readers of $all: how far they
// have got, and in which table. They are operational (streams checkpoint-…): not part
// of the ledger, not carried over when a store is copied, and each holds the complete
// state, so that only the newest event of a stream is ever needed.
package checkpoint

import (
	"fmt"

	"recapito/domain/event"
)

// StreamPrefix is the category of checkpoint streams.
const StreamPrefix = "checkpoint-"

// ProjectionStream names the checkpoint stream of a projection.
func ProjectionStream(projection string) string {
	return StreamPrefix + "projection-" + projection
}

// Kept is how many events of a checkpoint stream, or of another that holds its complete
// state in each event, a store keeps. The newest would do; the others are for people.
const Kept = 10

// Limits returns the stream and the event that set this limit in a store: they are appended
// once, before the first event of such a stream.
func Limits(stream, id string) (string, event.New) {
	return event.MetadataPrefix + stream, event.New{ID: id, Type: event.MetadataType, Data: fmt.Appendf(nil, `{"$maxCount":%d}`, Kept)}
}

// THE NAMES AND FIELDS BELOW ARE THE STORAGE FORMAT.

// ProjectionCheckpointed records, in one event, what of $all is in a projection's table
// for certain ("done") and which batch is about to be written ("pending"). A restart
// writes the pending batch again, first and last event the same.
type ProjectionCheckpointed struct {
	Projection string `json:"projection"`
	// Generation is the id that the read models' database was given when it was made.
	// Another id means another database: the events counted here are not in it.
	Generation string `json:"generation"`
	Live       Table  `json:"live"`
	// Building is a table being filled next to the live one, to take its place.
	Building *Table `json:"building,omitempty"`
	// Retired tables have been replaced and are to be dropped.
	Retired []string `json:"retired,omitempty"`
}

// Table is how far one table of a projection is filled.
type Table struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // of the projection that fills it
	Done    Done   `json:"done"`
	Pending *Batch `json:"pending,omitempty"`
}

// Done records that the first Events ledger events are in the table; Position is that of
// the last of them, and means nothing while Events is 0.
type Done struct {
	Events   uint64         `json:"events"`
	Position event.Position `json:"position"`
}

// Batch is a run of ledger events written together. Seq counts ledger events from 0.
type Batch struct {
	FirstSeq uint64         `json:"first_seq"`
	LastSeq  uint64         `json:"last_seq"`
	First    event.Position `json:"first"`
	Last     event.Position `json:"last"`
}

// Events is the number of events in the batch.
func (b Batch) Events() int { return int(b.LastSeq - b.FirstSeq + 1) }

// Done is what holds once the batch is written.
func (b Batch) Done() Done { return Done{Events: b.LastSeq + 1, Position: b.Last} }

// definitions registers every event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[ProjectionCheckpointed]("ProjectionCheckpointed",
			event.Doc("How far a projection has got, and the batch it is about to write.")),
		event.Define[RunnerCheckpointed]("RunnerCheckpointed",
			event.Doc("Every input of a process manager up to this position is done.")),
		event.Define[MatcherCheckpointed]("MatcherCheckpointed",
			event.Doc("Before this position lies nothing that a later matcher of receipts must observe, if it knows which routes' ids come back.")),
		event.Define[DeadlinesCheckpointed]("DeadlinesCheckpointed",
			event.Doc("Every bucket of deadlines before this minute, counted from 1970, is closed or was never written.")),
	}
}
