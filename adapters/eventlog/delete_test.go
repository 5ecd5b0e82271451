package eventlog

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/eventlog/layout"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

// TestDeleteAndTombstone goes through every expectation in every state of a stream.
func TestDeleteAndTombstone(t *testing.T) {
	none, wrong, gone := error(nil), event.ErrWrongVersion, event.ErrStreamDeleted
	states := map[string]func(t *testing.T, log *Log){
		"nothing":  func(*testing.T, *Log) {},
		"metadata": func(t *testing.T, log *Log) { mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{}`)) },
		"events":   func(t *testing.T, log *Log) { mustAppend(t, log, "s", event.Any(), someEvents(3)...) },
		"deleted": func(t *testing.T, log *Log) {
			mustAppend(t, log, "s", event.Any(), someEvents(3)...)
			mustEnd(t, log.Delete, "s", event.Exact(2))
		},
		"back": func(t *testing.T, log *Log) {
			mustAppend(t, log, "s", event.Any(), someEvents(2)...)
			mustEnd(t, log.Delete, "s", event.Exact(1))
			mustAppend(t, log, "s", event.NoStream(), someEvents(1)...)
		},
		"tombstoned": func(t *testing.T, log *Log) {
			mustAppend(t, log, "s", event.Any(), someEvents(3)...)
			mustEnd(t, log.Tombstone, "s", event.Exact(2))
		},
	}
	expectations := map[string]event.Expected{
		"any": event.Any(), "no stream": event.NoStream(), "exists": event.StreamExists(), "last": event.Exact(2), "other": event.Exact(1),
	}
	// The order is: any, no stream, exists, last, other.
	tests := map[string]struct{ deleted, tombstoned, appended [5]error }{
		"nothing":    {[5]error{wrong, wrong, wrong, wrong, wrong}, [5]error{none, none, wrong, wrong, wrong}, [5]error{none, none, wrong, wrong, wrong}},
		"metadata":   {[5]error{none, none, none, wrong, wrong}, [5]error{none, none, none, wrong, wrong}, [5]error{none, none, none, wrong, wrong}},
		"events":     {[5]error{none, wrong, none, none, wrong}, [5]error{none, wrong, none, none, wrong}, [5]error{none, wrong, none, none, wrong}},
		"deleted":    {[5]error{none, none, gone, none, wrong}, [5]error{none, none, gone, none, wrong}, [5]error{none, none, gone, none, wrong}},
		"back":       {[5]error{none, wrong, none, none, wrong}, [5]error{none, wrong, none, none, wrong}, [5]error{none, wrong, none, none, wrong}},
		"tombstoned": {[5]error{gone, gone, gone, gone, gone}, [5]error{gone, gone, gone, gone, gone}, [5]error{gone, gone, gone, gone, gone}},
	}
	for state, test := range tests {
		for i, expected := range []string{"any", "no stream", "exists", "last", "other"} {
			for does, want := range map[string]error{"delete": test.deleted[i], "tombstone": test.tombstoned[i], "append": test.appended[i]} {
				log := openOn(t, vfs.NewMem())
				states[state](t, log)
				before := log.Last()
				var a event.Appended
				var err error
				shown := event.ErrStreamNotFound
				switch does {
				case "delete":
					a, err = log.Delete(t.Context(), "s", expectations[expected])
				case "tombstone":
					a, err = log.Tombstone(t.Context(), "s", expectations[expected])
					shown = event.ErrStreamDeleted
				default:
					a, err = log.Append(t.Context(), "s", expectations[expected], someEvents(1))
					shown = nil
				}
				what := does + " expecting " + expected + ", " + state
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s: %v, want %v", what, err, want)
				} else if err == nil {
					if a.Position <= before || a.Position > log.Last() {
						t.Errorf("%s: position %d after %d, the last is %d", what, a.Position, before, log.Last())
					}
					if _, err := shows(t, log, "s"); !errors.Is(err, shown) {
						t.Errorf("%s: then a read returns %v, want %v", what, err, shown)
					}
				}
				if err := log.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func mustEnd(t *testing.T, how func(context.Context, string, event.Expected) (event.Appended, error), stream string, expected event.Expected) event.Appended {
	t.Helper()
	a, err := how(t.Context(), stream, expected)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDeletedStreamComesBack(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"mine":1}`))
	first := someEvents(3)
	mustAppend(t, log, "s", event.NoStream(), first...)
	mustEnd(t, log.Delete, "s", event.Any())
	if got := streamOf(t, log, "$$s", event.Forwards); len(got) != 1 || string(got[0].Data) != `{"$tb":9223372036854775807}` {
		t.Errorf("metadata of a deleted stream: %+v", got)
	}
	// Reopened, so that nothing is remembered but what is stored.
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = openOn(t, fs)
	mustEnd(t, log.Delete, "s", event.NoStream()) // once more
	if a := mustAppend(t, log, "s", event.NoStream(), first...); a.Revision != 2 {
		t.Errorf("repeated append to a deleted stream: %+v", a)
	}
	partly := append(append([]event.New{}, first...), someEvents(1)...)
	if _, err := log.Append(t.Context(), "s", event.NoStream(), partly); !errors.Is(err, event.ErrWrongVersion) {
		t.Errorf("append repeated in part: %v", err)
	}
	a := mustAppend(t, log, "s", event.NoStream(), someEvents(2)...)
	if a.Revision != 4 {
		t.Errorf("the comeback ended at %+v", a)
	}
	if got, err := shows(t, log, "s"); err != nil || !cmp.Equal(got, []event.Revision{3, 4}) {
		t.Errorf("shows %v, %v", got, err)
	}
	// The metadata that bring it back stand after the events, in the same step.
	all := allOf(t, log)
	if last := all[len(all)-1]; last.Stream != "$$s" || string(last.Data) != `{"$tb":3}` || last.Position != a.Position+1 || log.Last() != last.Position {
		t.Errorf("last of all: %+v, append at %d, watermark %d", last, a.Position, log.Last())
	}
	// Metadata bring it back too, and empty.
	mustEnd(t, log.Delete, "s", event.StreamExists())
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`{"$maxCount":7,"$tb":9223372036854775807}`))
	if got, err := shows(t, log, "s"); err != nil || got != nil {
		t.Errorf("shows %v, %v", got, err)
	}
	if got := streamOf(t, log, "$$s", event.Forwards); len(got) != 1 || string(got[0].Data) != `{"$maxCount":7,"$tb":5}` {
		t.Errorf("metadata: %+v", got)
	}
	mustAppend(t, log, "s", event.Exact(4), someEvents(1)...)
	if got, err := shows(t, log, "s"); err != nil || !cmp.Equal(got, []event.Revision{5}) {
		t.Errorf("shows %v, %v", got, err)
	}
	// In one batch, or as if.
	mustEnd(t, log.Delete, "s", event.Any())
	mustAppend(t, log, "$$s", event.Any(), metadataEvent(`no JSON`))
	if got, err := shows(t, log, "s"); err != nil || len(got) != 6 {
		t.Errorf("with metadata that are none it shows %v, %v", got, err)
	}
}

func TestTombstone(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "s", event.NoStream(), someEvents(2)...)
	mustAppend(t, log, "$$s", event.NoStream(), metadataEvent(`{"$maxCount":1}`))
	followed := make(chan error, 1)
	caughtUp := make(chan struct{})
	go func() {
		followed <- log.FollowStream(t.Context(), "s", 0, Follower{CaughtUp: func(event.Position) error { close(caughtUp); return nil }})
	}()
	receive(t, "catching up", caughtUp)
	a := mustEnd(t, log.Tombstone, "s", event.Any())
	if a.Revision != event.RevisionEnd || a.Position != log.Last() {
		t.Errorf("replied %+v", a)
	}
	if err := receive(t, "end of the subscription", followed); !errors.Is(err, event.ErrStreamDeleted) {
		t.Errorf("the subscription ended with %v", err)
	}
	for range 2 {
		for _, stream := range []string{"s", "$$s"} {
			var deleted *event.StreamDeleted
			if _, err := shows(t, log, stream); !errors.As(err, &deleted) || deleted.Stream != stream {
				t.Errorf("read of %s: %v", stream, err)
			}
			if _, err := log.Append(t.Context(), stream, event.Any(), someEvents(1)); !errors.Is(err, event.ErrStreamDeleted) {
				t.Errorf("append to %s: %v", stream, err)
			}
			if _, _, err := log.Revisions(t.Context(), stream); !errors.Is(err, event.ErrStreamDeleted) {
				t.Errorf("revisions of %s: %v", stream, err)
			}
		}
		all := allOf(t, log)
		if e := all[len(all)-1]; len(all) != 4 || e.Type != layout.TombstoneType || e.Stream != "s" || e.Revision != event.RevisionEnd || !e.Binary {
			t.Errorf("last of $all: %+v", e)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openOn(t, fs)
	}
	// That of a metadata stream takes the limits with it.
	mustAppend(t, log, "other", event.NoStream(), someEvents(3)...)
	mustAppend(t, log, "$$other", event.NoStream(), metadataEvent(`{"$maxCount":1}`))
	mustEnd(t, log.Tombstone, "$$other", event.Any())
	if got, err := shows(t, log, "other"); err != nil || len(got) != 3 {
		t.Errorf("shows %v, %v", got, err)
	}
}

func TestCheckOfLimitedStreams(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "$$limited", event.Any(), metadataEvent(`{"$maxCount":1}`), metadataEvent(`{"$maxCount":2}`))
	for _, stream := range []string{"limited", "deleted", "back", "tombstoned"} {
		mustAppend(t, log, stream, event.NoStream(), someEvents(3)...)
	}
	mustEnd(t, log.Delete, "deleted", event.Any())
	mustEnd(t, log.Delete, "back", event.Any())
	mustAppend(t, log, "back", event.NoStream(), someEvents(1)...)
	mustEnd(t, log.Tombstone, "tombstoned", event.Any())
	mustEnd(t, log.Tombstone, "never", event.NoStream())
	mustAppend(t, log, "$$described", event.Any(), metadataEvent(`{}`))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs}); len(problems) > 0 || checked.Events != 21 {
		t.Errorf("%+v: %q", checked, problems)
	}
	log = openOn(t, fs)
	key := layout.AppendHeadKey(nil, "limited")
	overwrite(t, log, key, func(v []byte) []byte {
		h, _ := layout.DecodeHead(key, v)
		h.Limits.MaxCount = 1
		layout.PutHead(v, key, h)
		return v
	})
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs}); len(problems) != 1 {
		t.Errorf("a head with other limits: %q", problems)
	}
}
