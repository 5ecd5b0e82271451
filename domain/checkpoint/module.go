package checkpoint

import (
	"recapito/domain/event"
)

// Module is the category as the catalogue lists it.
var Module = event.Module{
	Title: "Checkpoint", Prefix: StreamPrefix, Stream: ProjectionStream("edr"),
	About:       "How far a reader of `$all` has got. Streams `checkpoint-projection-<name>`, `checkpoint-runner-<name>`, `checkpoint-deadlines`; the newest event holds everything.",
	Operational: true,
	Definitions: definitions(),
	Samples:     samples,
}

func samples() []any {
	return []any{
		ProjectionCheckpointed{
			Projection: "edr", Generation: "g-1",
			Live: Table{
				Name: "edr_parts_1", Version: 1, Done: Done{Events: 10, Position: 99},
				Pending: &Batch{FirstSeq: 10, LastSeq: 19, First: 100, Last: 180},
			},
			Building: &Table{Name: "edr_parts_2", Version: 2},
			Retired:  []string{"edr_parts_0"},
		},
		RunnerCheckpointed{Position: 99},
		MatcherCheckpointed{Position: 99, Reused: []string{"smsc"}, Seen: new(event.Position(120))},
		DeadlinesCheckpointed{
			Minute: 29_539_440, After: new(event.Position(81_234)), Fired: new(event.SampleAt(0)), Seen: new(event.Position(81_240)),
		},
	}
}
