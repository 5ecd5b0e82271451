package bench

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"recapito/adapters/eventlog"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/projections/histories"
)

// filled is the one store of the run: histories are added to it as benchmarks need more.
var filled struct {
	log    *eventlog.Log
	dir    string
	from   *histories.Generator
	codec  *event.Codec
	events uint64
	rest   []eventlog.Imported
}

// store answers the store with that many ledger events at least, and how many it has.
func store(b *testing.B, events uint64) (*eventlog.Log, uint64) {
	b.Helper()
	f := &filled
	if f.log == nil {
		var err error
		if f.codec, err = catalogue.NewCodec(); err != nil {
			b.Fatal(err)
		}
		// As dense as a hundred million attempts a year.
		f.from, err = histories.New(histories.Options{Codec: f.codec, Seed: 1, Every: 350 * time.Millisecond, Persons: 100_000})
		if err != nil {
			b.Fatal(err)
		}
		if f.dir, err = os.MkdirTemp(scratch, "events"); err != nil {
			b.Fatal(err)
		}
		f.log, err = eventlog.Open(eventlog.Options{Dir: f.dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
	}
	if f.events < events {
		fill(b, events)
	}
	return f.log, f.events
}

// fill imports histories: an import has many appends on their way at a time, and keeps
// their order, so that the same seed makes the same store.
func fill(b *testing.B, events uint64) {
	f := &filled
	tell, before, began, bytes := progress("filling the store"), f.events, time.Now(), 0
	_, err := f.log.Import(b.Context(), func() (eventlog.Imported, error) {
		if len(f.rest) == 0 {
			if f.events >= events {
				return eventlog.Imported{}, io.EOF
			}
			f.rest = imported(f.from.Next(), f.rest)
		}
		one := f.rest[0]
		f.rest = f.rest[1:]
		bytes += len(one.Data) + len(one.Metadata)
		f.events++
		tell(f.events-before, events-before)
		return one, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	n := float64(f.events - before)
	size := folderBytes(f.dir)
	figures.atLeast("filling the store", n/took.Seconds(), 100_000, "events/s")
	figures.add("an event, as given and in the store", 0, format("%.0f B, %.0f B", float64(bytes)/n, float64(size)/float64(f.events)), "")
}

func imported(a histories.Append, to []eventlog.Imported) []eventlog.Imported {
	to = to[:0]
	for i, e := range a.Events {
		to = append(to, eventlog.Imported{AtRevision: true, Recorded: event.Recorded{
			Stream: a.Stream, Revision: a.First + event.Revision(i), ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata,
		}})
	}
	return to
}

func folderBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}
