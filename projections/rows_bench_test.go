package projections

import (
	"testing"
	"time"

	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/projections/histories"
)

// BenchmarkRows makes the rows of a batch by itself: what a rebuild costs beside reading
// and writing. All does it for every projection, each event decoded once.
func BenchmarkRows(b *testing.B) {
	codec, err := catalogue.NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	from, err := histories.New(histories.Options{Codec: codec, Seed: 1, Every: 350 * time.Millisecond, Persons: 100_000})
	if err != nil {
		b.Fatal(err)
	}
	var events []LedgerEvent
	for len(events) < MaxBatchEvents {
		a := from.Next()
		for i, e := range a.Events {
			events = append(events, LedgerEvent{Seq: uint64(len(events)), Recorded: event.Recorded{
				Stream: a.Stream, Revision: a.First + event.Revision(i), Position: event.Position(len(events)), ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata,
			}})
		}
	}
	all := All(codec, nil)
	run := func(b *testing.B, projections ...Projection) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range events {
				events[i].Decoded = &DecodedCache{}
			}
			for _, p := range projections {
				if _, aside := p.Rows(events); len(aside) > 0 {
					b.Fatal(aside)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
	}
	for _, p := range all {
		b.Run(p.Name(), func(b *testing.B) { run(b, p) })
	}
	b.Run("all", func(b *testing.B) { run(b, all...) })
}
