package mark

import (
	"time"

	"recapito/domain/event"
)

// Module is the category as the catalogue lists it.
var Module = event.Module{
	Title: "Mark", Prefix: StreamPrefix, Stream: Stream,
	About:       "How many ledger events were known when. Stream `mark-ledger`, kept for ever.",
	Operational: true,
	Definitions: definitions(),
	Samples:     samples,
}

func samples() []any {
	return []any{
		Marked{Time: event.SampleAt(1234567 * time.Microsecond), Seq: 100, Position: 180, LastID: "0198f000-0000-7000-8000-000000000003"},
	}
}
