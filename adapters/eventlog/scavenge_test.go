package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

func mustScavenge(t testing.TB, log *Log) ScavengeResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := log.Scavenge(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// left writes what is in $all, one word an event.
func left(t testing.TB, log *Log) []string {
	t.Helper()
	var got []string
	for _, e := range allOf(t, log) {
		if e.Type == layout.TombstoneType {
			got = append(got, e.Stream+"@end")
			continue
		}
		got = append(got, fmt.Sprintf("%s@%d", e.Stream, e.Revision))
	}
	return got
}

func TestScavenge(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	metadata := func(data string) func(*testing.T, *Log) {
		return func(t *testing.T, log *Log) { mustAppend(t, log, "$$s", event.Any(), metadataEvent(data)) }
	}
	tests := map[string]struct {
		given []func(*testing.T, *Log) // after three events of s
		left  []string                 // without the last event of $all
		shown []event.Revision
		err   error
		again uint64 // streams that the next pass looks at
	}{
		"no limits":     {nil, []string{"s@0", "s@1", "s@2"}, []event.Revision{0, 1, 2}, nil, 0},
		"described":     {[]func(*testing.T, *Log){metadata(`{}`), metadata(`{}`)}, []string{"s@0", "s@1", "s@2", "$$s@1"}, []event.Revision{0, 1, 2}, nil, 0},
		"$maxCount":     {[]func(*testing.T, *Log){metadata(`{"$maxCount":1}`)}, []string{"s@2", "$$s@0"}, []event.Revision{2}, nil, 1},
		"$tb":           {[]func(*testing.T, *Log){metadata(`{"$tb":1}`)}, []string{"s@1", "s@2", "$$s@0"}, []event.Revision{1, 2}, nil, 1},
		"$tb beyond":    {[]func(*testing.T, *Log){metadata(`{"$tb":9}`)}, []string{"$$s@0"}, nil, nil, 1},
		"$maxAge":       {[]func(*testing.T, *Log){metadata(`{"$maxAge":60}`)}, []string{"$$s@0"}, nil, nil, 1},
		"$maxAge, long": {[]func(*testing.T, *Log){metadata(`{"$maxAge":86400}`)}, []string{"s@0", "s@1", "s@2", "$$s@0"}, []event.Revision{0, 1, 2}, nil, 1},
		"deleted": {[]func(*testing.T, *Log){metadata(`{"mine":1}`), func(t *testing.T, log *Log) { mustEnd(t, log.Delete, "s", event.Any()) }},
			nil, nil, event.ErrStreamNotFound, 0},
		"deleted, with more to say": {[]func(*testing.T, *Log){metadata(`{"mine":1,"$tb":9223372036854775807}`)}, []string{"$$s@0"}, nil, event.ErrStreamNotFound, 0},
		"deleted and back": {[]func(*testing.T, *Log){
			func(t *testing.T, log *Log) { mustEnd(t, log.Delete, "s", event.Any()) },
			func(t *testing.T, log *Log) { mustAppend(t, log, "s", event.NoStream(), someEvents(1)...) },
		}, []string{"s@3", "$$s@1"}, []event.Revision{3}, nil, 1},
		"tombstoned": {[]func(*testing.T, *Log){metadata(`{"$tb":1}`), func(t *testing.T, log *Log) { mustEnd(t, log.Tombstone, "s", event.Any()) }},
			[]string{"s@end"}, nil, event.ErrStreamDeleted, 0},
		"metadata tombstoned": {[]func(*testing.T, *Log){metadata(`{"$tb":1}`), metadata(`{"$tb":1}`), func(t *testing.T, log *Log) { mustEnd(t, log.Tombstone, "$$s", event.Any()) }},
			[]string{"s@0", "s@1", "s@2", "$$s@end"}, []event.Revision{0, 1, 2}, nil, 0},
		"metadata of metadata": {[]func(*testing.T, *Log){func(t *testing.T, log *Log) {
			mustAppend(t, log, "$$$$s", event.Any(), metadataEvent(`{"$tb":1}`), metadataEvent(`{}`))
		}}, []string{"s@0", "s@1", "s@2", "$$$$s@1"}, []event.Revision{0, 1, 2}, nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			at := now
			open := func() *Log {
				log, err := Open(Options{Dir: "log", FS: fs, CacheBytes: 1 << 20, ScavengeAfter: -1, Now: func() time.Time { return at }})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = log.Close() })
				return log
			}
			log := open()
			first := someEvents(3)
			mustAppend(t, log, "s", event.NoStream(), first...)
			for _, do := range test.given {
				do(t, log)
			}
			at = now.Add(time.Hour)
			mustAppend(t, log, "last", event.Any(), someEvents(1)...)
			last := log.Last()
			for round := range 2 {
				mustScavenge(t, log)
				if diff := cmp.Diff(append(test.left[:len(test.left):len(test.left)], "last@0"), left(t, log)); diff != "" {
					t.Errorf("round %d, left (-want +got):\n%s", round, diff)
				}
				got, err := shows(t, log, "s")
				if !errors.Is(err, test.err) || !cmp.Equal(got, test.shown) {
					t.Errorf("round %d: shows %v, %v, want %v, %v", round, got, err, test.shown, test.err)
				}
				if log.Last() != last {
					t.Errorf("round %d: the last position is %d, was %d", round, log.Last(), last)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs}); len(problems) > 0 {
					t.Errorf("round %d: %q", round, problems)
				}
				log = open()
			}
			if r := mustScavenge(t, log); r.Streams != test.again || r.Events != 0 {
				t.Errorf("one more pass: %+v, want %d streams", r, test.again)
			}
			// What is gone is another event, unless it is remembered; the revisions go on.
			if test.err != nil && errors.Is(test.err, event.ErrStreamDeleted) {
				return
			}
			next := event.Revision(3)
			if name == "deleted and back" {
				next = 4
			}
			if a := mustAppend(t, log, "s", event.Exact(next-1), someEvents(1)...); a.Revision != next || a.Position <= last {
				t.Errorf("the next append: %+v", a)
			}
			a, err := log.Append(t.Context(), "s", event.NoStream(), first)
			if gone := !strings.Contains(strings.Join(test.left, " "), "s@0 s@1 s@2"); gone && !errors.Is(err, event.ErrWrongVersion) || !gone && (err != nil || a.Revision != 2) {
				t.Errorf("repeated append: %+v, %v", a, err)
			}
		})
	}
}

// TestScavengeRemembers: what was appended lately is recognised after it is gone.
func TestScavengeRemembers(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	events := someEvents(3)
	a := mustAppend(t, log, "s", event.NoStream(), events...)
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$tb":3}`))
	if r := mustScavenge(t, log); r.Events != 3 {
		t.Fatalf("%+v", r)
	}
	for _, expected := range []event.Expected{event.NoStream(), event.Any(), event.StreamExists()} {
		if again := mustAppend(t, log, "s", expected, events...); again != a {
			t.Errorf("repeated, expecting %v: %+v, want %+v", expected, again, a)
		}
	}
}

func TestScavengeKeepsTheLastPosition(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$tb":100}`))
	a := mustAppend(t, log, "s", event.Any(), someEvents(3)...)
	if r := mustScavenge(t, log); r.Events != 2 {
		t.Errorf("%+v", r)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = openOn(t, fs)
	if log.Last() != a.Position {
		t.Errorf("after reopening the last position is %d, want %d", log.Last(), a.Position)
	}
	b := mustAppend(t, log, "s", event.Any(), someEvents(1)...)
	if b.Position != a.Position+1 || b.Revision != 3 {
		t.Errorf("appended at %+v", b)
	}
	if r := mustScavenge(t, log); r.Events != 1 {
		t.Errorf("%+v", r)
	}
}

// TestReadersMeetAScavenge: readers that began before go on over what is gone.
func TestReadersMeetAScavenge(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	const n = 4 * chunkEvents
	for range 4 {
		mustAppend(t, log, "s", event.Any(), someEvents(chunkEvents)...)
	}
	mustAppend(t, log, "other", event.Any(), someEvents(1)...)
	reads := map[string]func(visit func(event.Recorded) error) error{
		"stream": func(v func(event.Recorded) error) error {
			return log.ReadStream(t.Context(), event.StreamRead{Stream: "s"}, v)
		},
		"stream backwards": func(v func(event.Recorded) error) error {
			return log.ReadStream(t.Context(), event.StreamRead{Stream: "s", From: event.RevisionEnd, Direction: event.Backwards}, v)
		},
		"all": func(v func(event.Recorded) error) error {
			return log.ReadAll(t.Context(), event.AllRead{}, v)
		},
	}
	limit := 0
	for name, read := range reads {
		limit += chunkEvents
		seen := 0
		err := read(func(e event.Recorded) error {
			if seen++; seen == 1 {
				mustAppend(t, log, "$$s", event.Any(), metadataEvent(fmt.Sprintf(`{"$tb":%d}`, limit+100)))
				mustScavenge(t, log)
			}
			return nil
		})
		if err != nil || seen < chunkEvents || seen > n+10 {
			t.Errorf("%s: %d events, %v", name, seen, err)
		}
	}
	if got, err := shows(t, log, "s"); err != nil || len(got) != n-limit-100 {
		t.Errorf("shows %d events, %v", len(got), err)
	}
	// What is missing beyond that is still an error.
	key := layout.AppendPositionKey(nil, event.Position(n))
	overwrite(t, log, key, func([]byte) []byte { return nil })
	if err := log.db.Delete(key, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := shows(t, log, "s"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record away: %v", err)
	}
	if err := log.db.Delete(layout.AppendIndexKey(nil, "s", n-1), nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range []event.Direction{event.Forwards, event.Backwards} {
		read := event.StreamRead{Stream: "s", Direction: d, From: event.RevisionEnd * event.Revision(d)}
		if err := log.ReadStream(t.Context(), read, func(event.Recorded) error { return nil }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("direction %d: the last index entry away: %v", d, err)
		}
	}
}

func TestScavengeInTheBackground(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log, err := Open(Options{Dir: "log", FS: d, ScavengeAfter: time.Millisecond, reserve: &guard.Reserve{Every: 5 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$maxCount":1}`))
	mustAppend(t, log, "s", event.Any(), someEvents(10)...)
	mustAppend(t, log, "other", event.Any(), someEvents(1)...)
	for deadline := time.Now().Add(patience); len(left(t, log)) > 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("left: %v", left(t, log))
		}
	}
	// Then it writes nothing, but for the note of what is synced.
	if _, err := log.Scavenge(t.Context()); err != nil { // it waits for a pass that runs
		t.Fatal(err)
	}
	if err := log.guard.SaveNote(); err != nil {
		t.Fatal(err)
	}
	before := d.writes.Load()
	time.Sleep(200 * time.Millisecond) // forty looks of the guard, many times what a pass waits for
	if n := d.writes.Load() - before; n != 0 {
		t.Errorf("%d writes of an idle log", n)
	}
}

// TestScavengeGivesSpaceBack compares what the files take.
func TestScavengeGivesSpaceBack(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	events := func() []event.New {
		events := someEvents(200)
		for i := range events {
			events[i].Data = make([]byte, 4<<10)
			_, _ = rand.Read(events[i].Data)
			events[i].Binary = true
		}
		return events
	}
	compact := func() uint64 {
		t.Helper()
		if err := errors.Join(log.db.Flush(), log.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
			t.Fatal(err)
		}
		total := uint64(0)
		for _, l := range log.db.Metrics().Levels {
			total += uint64(l.TablesSize)
		}
		return total
	}
	for range 8 {
		mustAppend(t, log, "s", event.Any(), events()...)
	}
	mustAppend(t, log, "kept", event.Any(), events()...)
	before := compact()
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$maxCount":10}`))
	r := mustScavenge(t, log)
	after := compact()
	if r.Events != 1590 || r.Bytes < 1590*4<<10 || before-after < r.Bytes*9/10 {
		t.Errorf("%+v, but the files take %d bytes of %d", r, after, before)
	}
}

// TestScavengeTakesMetadata: of a deleted stream whose events are gone the head says all.
func TestScavengeTakesMetadata(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "s", event.Any(), someEvents(3)...)
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$maxCount":2,"$tb":9223372036854775807}`))
	mustScavenge(t, log)
	if diff := cmp.Diff([]string{"$$s@0"}, left(t, log)); diff != "" {
		t.Fatalf("the last event of $all (-want +got):\n%s", diff)
	}
	mustAppend(t, log, "other", event.Any(), someEvents(1)...)
	if r := mustScavenge(t, log); r.Events != 1 {
		t.Fatalf("%+v", r)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs}); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
	log = openOn(t, fs)
	if _, err := shows(t, log, "$$s"); !errors.Is(err, event.ErrStreamNotFound) {
		t.Errorf("the metadata stream: %v", err)
	}
	var wrong *event.WrongVersion
	if _, err := log.Append(t.Context(), "$$s", event.NoStream(), []event.New{metadataEvent(`{}`)}); !errors.As(err, &wrong) || wrong.NoStream || wrong.Actual != 0 {
		t.Errorf("metadata, expecting no stream: %v", err)
	}
	mustAppend(t, log, "s", event.NoStream(), someEvents(4)...)
	if got, err := shows(t, log, "s"); err != nil || !cmp.Equal(got, []event.Revision{5, 6}) {
		t.Errorf("back it shows %v, %v", got, err)
	}
	if got, err := shows(t, log, "$$s"); err != nil || !cmp.Equal(got, []event.Revision{1}) {
		t.Errorf("its metadata stream shows %v, %v", got, err)
	}
	mustEnd(t, log.Delete, "s", event.Exact(6))
	mustEnd(t, log.Tombstone, "s", event.Any())
}
