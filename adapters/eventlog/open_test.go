package eventlog

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if other, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is another recapito running on this folder?") {
		t.Errorf("second open: %v, %v", other, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if log, err = Open(Options{Dir: dir}); err != nil {
		t.Fatalf("open after close: %v", err)
	}
	if err := errors.Join(log.Close(), log.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
}

func TestOtherFormatIsRefused(t *testing.T) {
	for name, set := range map[string][2]string{
		"a later format": {string(layout.FormatKey), "recapito-eventlog-2"},
		"a foreign key":  {"x", "y"},
	} {
		fs := vfs.NewMem()
		db, err := pebble.Open("log", &pebble.Options{FS: fs, Logger: pebbleLogger{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set([]byte(set[0]), []byte(set[1]), pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the refusal releases the lock
			if log, err := Open(Options{Dir: "log", FS: fs}); err == nil || strings.Contains(err.Error(), "running") {
				t.Errorf("%s: %v, %v", name, log, err)
			}
		}
	}
}

// TestRepeatedByAny: best effort, but across a restart too.
func TestRepeatedByAny(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	first, second := someEvents(2), someEvents(2)
	want := map[string]event.Appended{}
	want["first"] = mustAppend(t, log, "a", event.Any(), first...)
	want["second"] = mustAppend(t, log, "a", event.StreamExists(), second...)
	mustAppend(t, log, "b", event.Any(), first...) // another stream is another matter
	check := func() {
		t.Helper()
		for _, expected := range []event.Expected{event.Any(), event.StreamExists()} {
			if got := mustAppend(t, log, "a", expected, first...); got != want["first"] {
				t.Errorf("%v: repeated %+v, want %+v", expected, got, want["first"])
			}
			if got := mustAppend(t, log, "a", expected, second...); got != want["second"] {
				t.Errorf("%v: repeated %+v, want %+v", expected, got, want["second"])
			}
			for name, events := range map[string][]event.New{
				"last and a new one":  {second[1], someEvents(1)[0]},
				"a new one and last":  {someEvents(1)[0], second[1]},
				"turned round":        {first[1], first[0]},
				"a new one and first": {someEvents(1)[0], first[0]},
			} {
				if _, err := log.Append(t.Context(), "a", expected, events); !errors.Is(err, event.ErrWrongVersion) {
					t.Errorf("%v, %s: %v, want event.ErrWrongVersion", expected, name, err)
				}
			}
		}
		if n := len(streamOf(t, log, "a", event.Forwards)); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
	}
	check()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = openOn(t, fs)
	check()
}

func TestGenerationsAreBounded(t *testing.T) {
	g := newGenerations[int, int](10)
	for i := range 1000 {
		g.put(i, i)
		if n := len(g.younger) + len(g.older); n > 20 {
			t.Fatalf("%d entries", n)
		}
		// No more than 10 others were used since.
		if v, ok := g.get(max(0, i-4)); !ok || v != max(0, i-4) {
			t.Fatalf("after %d: one used lately is gone", i)
		}
		if _, ok := g.get(i - 40); ok && i >= 40 {
			t.Fatalf("after %d: one not used for long is there", i)
		}
	}
}
