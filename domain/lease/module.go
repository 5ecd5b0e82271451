package lease

import (
	"recapito/domain/event"
)

// Module is the category as the catalogue lists it.
var Module = event.Module{
	Title: "Lease", Prefix: StreamPrefix, Stream: Stream("projection-edr"),
	About:       "Which of several instances does what only one needs to do. Streams `lease-projection-<name>`, `lease-deadlines`, `lease-matcher`, `lease-marks`; the newest event holds everything.",
	Operational: true,
	Definitions: definitions(),
	Samples:     samples,
}

func samples() []any {
	return []any{
		LeaseTaken{Holder: "4f1c09ab77d0", Epoch: 3},
		LeaseReleased{Holder: "4f1c09ab77d0", Epoch: 3},
	}
}
