package deadline

import (
	"time"

	"recapito/domain/event"
)

// Module is the category as the catalogue lists it.
var Module = event.Module{
	Title: "Deadline", Prefix: StreamPrefix, Stream: BucketOf(event.SampleAt(0), 3).Stream(),
	About:       "What is to be looked at again, and when. Stream `deadline-<yyyymmddThhmmZ>-<shard>`.",
	Operational: true,
	Definitions: definitions(),
	Samples:     samples,
}

func samples() []any {
	return []any{
		DeadlineSet{At: event.SampleAt(time.Minute), Notification: "n-1", Attempt: 2, GivenBack: true},
		BucketClosed{},
	}
}
