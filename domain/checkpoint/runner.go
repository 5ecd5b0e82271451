package checkpoint

import (
	"time"

	"recapito/domain/event"
)

// RunnerStream names the checkpoint stream of a process manager's runner.
func RunnerStream(runner string) string { return StreamPrefix + "runner-" + runner }

// RunnerCheckpointed records that every input up to Position is done.
type RunnerCheckpointed struct {
	Position event.Position `json:"position"`
}

// MatcherStream names the checkpoint stream of the matcher of receipts.
const MatcherStream = StreamPrefix + "matcher"

// MatcherCheckpointed records that before Position lies nothing that a later matcher must observe, if
// it knows Reused.
type MatcherCheckpointed struct {
	Position event.Position `json:"position"`
	// Reused are the routes whose ids come back, sorted.
	Reused []string `json:"reused,omitempty"`
	// Seen is how far the matcher has looked, where it has rivals.
	Seen *event.Position `json:"seen,omitempty"`
}

// DeadlinesStream names the checkpoint stream of the deadlines.
const DeadlinesStream = StreamPrefix + "deadlines"

// DeadlinesCheckpointed records that every bucket before Minute is closed, or was never
// written. Minute is the Unix time of its first second, divided by 60.
type DeadlinesCheckpointed struct {
	Minute int64 `json:"minute"`
	// After is a position up to which every deadline of those buckets was fired; one
	// that was set later, in a minute that had passed, is found by following $all from
	// here. Missing: from the beginning.
	After *event.Position `json:"after,omitempty"`
	// Fired is a time before which every deadline set up to Seen was fired: by it rivals
	// know what waits. Both are missing where there are no rivals.
	Fired *time.Time      `json:"fired,omitempty"`
	Seen  *event.Position `json:"seen,omitempty"`
}
