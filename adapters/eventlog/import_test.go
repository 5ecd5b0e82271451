package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"recapito/domain/event"
)

func imported(stream string, r event.Revision, p event.Position) Imported {
	created := time.Date(2020, 1, 12, 18, 14, 13, int(p)*1000+7, time.UTC)
	return Imported{AtRevision: true, Recorded: event.Recorded{
		Stream: stream, Revision: r, Position: p, ID: uuid.NewString(), Type: "T", Data: []byte("{}"), Metadata: []byte(`{"a":1}`), Created: created,
	}}
}

// source returns events one by one, with lines.
func source(events []Imported) func() (Imported, error) {
	i := 0
	return func() (Imported, error) {
		if i == len(events) {
			return Imported{}, io.EOF
		}
		i++
		e := events[i-1]
		e.Line = i
		return e, nil
	}
}

func recordedOf(events []Imported) []event.Recorded {
	var all []event.Recorded
	for _, e := range events {
		all = append(all, e.Recorded)
	}
	return all
}

// TestImport: random events of random streams with gaps between their positions stand
// as they were given, also when the import is begun again and again at the start, and
// appends go on after them.
func TestImport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var events []Imported
		next := map[string]event.Revision{}
		at := event.Position(0)
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			stream := rapid.SampledFrom([]string{"a", "b-1", "$c"}).Draw(rt, "stream")
			at += event.Position(rapid.SampledFrom([]int{1, 1, 2, 1000}).Draw(rt, "gap"))
			e := imported(stream, next[stream], at)
			e.Binary = rapid.Bool().Draw(rt, "binary")
			next[stream]++
			events = append(events, e)
		}
		log := openOn(t, vfs.NewMem())
		written := 0
		for written < len(events) {
			upTo := rapid.IntRange(written, len(events)).Draw(rt, "up to")
			report, err := log.Import(t.Context(), source(events[:upTo]))
			want := ImportReport{Written: uint64(upTo - written), Skipped: uint64(written)}
			if upTo > 0 {
				want.Last = events[upTo-1].Position
			}
			if err != nil || report != want {
				rt.Fatalf("%+v, %v, want %+v", report, err, want)
			}
			written = upTo
		}
		if diff := cmp.Diff(recordedOf(events), allOf(t, log)); diff != "" {
			rt.Fatal(diff)
		}
		for stream, r := range next {
			a := mustAppend(t, log, stream, event.Exact(r-1), someEvents(1)...)
			if a.Revision != r || a.Position <= at {
				rt.Fatalf("appended %+v after an import up to %d", a, at)
			}
			if got := streamOf(t, log, stream, event.Forwards); event.Revision(len(got)) != r+1 {
				rt.Fatalf("stream %s has %d events, want %d", stream, len(got), r+1)
			}
		}
	})
}

func TestImportWithoutPositions(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	mustAppend(t, log, "a", event.NoStream(), someEvents(2)...)
	events := []Imported{imported("a", 2, 0), imported("b", 0, 0), imported("b", 1, 10), imported("c", 0, 0)}
	events[3].AtRevision = false
	if _, err := log.Import(t.Context(), source(events)); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(positions(allOf(t, log)))
	if want := "[1 2 3 4 10 11]"; got != want {
		t.Errorf("positions %s, want %s", got, want)
	}
	report, err := log.Import(t.Context(), source(events[:3]))
	if err != nil || report.Skipped != 3 || report.Written != 0 {
		t.Errorf("again: %+v, %v", report, err)
	}
}

func positions(events []event.Recorded) []event.Position {
	var p []event.Position
	for _, e := range events {
		p = append(p, e.Position)
	}
	return p
}

// TestImportRefusals: the error names line, field and rule; what stood before is written
// and nothing after it.
func TestImportRefusals(t *testing.T) {
	with := func(change func(*Imported)) Imported {
		e := imported("b", 0, 30)
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		bad  Imported
		want string
	}{
		"no stream":          {with(func(e *Imported) { e.Stream = "" }), "line 3: stream: "},
		"links":              {with(func(e *Imported) { e.Stream = "$ce-x" }), "line 3: stream: invalid request"},
		"no id":              {with(func(e *Imported) { e.ID = "x" }), "id is not a UUID"},
		"no type":            {with(func(e *Imported) { e.Type = "" }), "type must be"},
		"too large":          {with(func(e *Imported) { e.Data = make([]byte, MaxEventBytes+1) }), "at most"},
		"position too high":  {with(func(e *Imported) { e.Position = 1 << 63 }), "line 3: invalid request to the event store: position: must be below"},
		"position not above": {with(func(e *Imported) { e.Position = 20 }), "line 3: position: 20 is not above the one before, 20"},
		"another stands":     {with(func(e *Imported) { e.Position = 1 }), "line 3: position: 1 is not above the store's last, 1, and this event does not stand there"},
		"revision missing":   {imported("b", 1, 30), "line 3: wrong expected version: b is at no stream, not revision 0"},
		"revision behind":    {imported("a", 0, 30), "line 3: wrong expected version: a is at revision 1, not no stream"},
		"before time":        {with(func(e *Imported) { e.Created = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) }), "created: must be"},
	} {
		log := openOn(t, vfs.NewMem())
		mustAppend(t, log, "old", event.NoStream(), someEvents(1)...)
		events := []Imported{imported("a", 0, 10), imported("a", 1, 20), c.bad, imported("c", 0, 40), imported("d", 0, 50)}
		report, err := log.Import(t.Context(), source(events))
		var ie *ImportError
		if !errors.As(err, &ie) || ie.Line != 3 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want line 3 and %q", name, err, c.want)
		}
		if n := len(allOf(t, log)); n != 3 || report.Written != 2 || report.Last != 20 {
			t.Errorf("%s: %d events, %+v", name, n, report)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestImportOvertaken: an import that is overtaken ends, rather than to change
// positions.
func TestImportOvertaken(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	events := []Imported{imported("a", 0, 1), imported("b", 0, 2)}
	from := source(events)
	n := 0
	_, err := log.Import(t.Context(), func() (Imported, error) {
		if n++; n == 2 {
			mustAppend(t, log, "x", event.NoStream(), someEvents(3)...)
		}
		return from()
	})
	if err == nil || !strings.Contains(err.Error(), "was given out already") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Import(ctx, source([]Imported{imported("z", 0, 100)})); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("with an ended context: %v", err)
	}
}
