package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/eventlog/layout"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

// checkOf closes a log's folder's check.
func checkOf(t testing.TB, o maintenance.Options) (maintenance.Checked, []string) {
	t.Helper()
	i, err := maintenance.Inspect(o)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	checked, err := i.Check(context.Background(), func(p maintenance.Problem) { problems = append(problems, p.String()) }, func(uint64, uint64) {})
	if err := errors.Join(err, i.Close()); err != nil {
		t.Fatal(err)
	}
	if checked.Problems != uint64(len(problems)) {
		t.Errorf("%d problems told, %d counted", len(problems), checked.Problems)
	}
	slices.Sort(problems)
	return checked, problems
}

func filled(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	log := openOn(t, fs)
	mustAppend(t, log, "a-1", event.NoStream(), someEvents(3)...)
	mustAppend(t, log, "b-1", event.NoStream(), someEvents(2)...)
	mustAppend(t, log, "a-1", event.Exact(2), someEvents(1)...)
	if _, err := log.Import(t.Context(), source([]Imported{imported("c", 0, 100)})); err != nil {
		t.Fatal(err)
	}
	if n := len(streamOf(t, log, "$et-Tested", event.Forwards)); n != 6 {
		t.Fatalf("%d links", n)
	}
	return log
}

// TestCheckFinds breaks one thing after the other, past all checksums where it can.
func TestCheckFinds(t *testing.T) {
	index := func(stream string, r event.Revision) []byte { return layout.AppendIndexKey(nil, stream, r) }
	record := func(p event.Position) []byte { return layout.AppendPositionKey(nil, p) }
	sealedIndex := func(key []byte, p event.Position) []byte {
		v := make([]byte, layout.IndexValueSize)
		layout.PutIndex(v, key, p)
		return v
	}
	sealedHead := func(stream string, h layout.Head) []byte {
		v := make([]byte, h.Size())
		layout.PutHead(v, layout.AppendHeadKey(nil, stream), h)
		return v
	}
	for name, c := range map[string]struct {
		set    map[string][]byte // nil: delete
		change []byte            // a key of whose value a bit is flipped
		want   []string          // parts of the problems, sorted
	}{
		"nothing": {},
		"a bit of a record": {change: record(2), want: []string{
			`stream "a-1" revision 1 position 2: the store is corrupt: checksum of the record at position 2`,
		}},
		"a record away": {set: map[string][]byte{string(record(4)): nil}, want: []string{
			`stream "b-1" revision 0 position 4: its record is missing`,
		}},
		"a bit of an index entry": {change: index("a-1", 1), want: []string{
			`stream "a-1" revision 1 position 2: its index entry cannot be read`,
			`stream "a-1" revision 1: the store is corrupt: index of stream`,
		}},
		"an index entry away": {set: map[string][]byte{string(index("a-1", 1)): nil}, want: []string{
			`stream "a-1" revision 1 position 2: its index entry is missing`,
			`stream "a-1" revision 1: no index entry; the next is of revision 2`,
		}},
		"the last index entry away": {set: map[string][]byte{string(index("b-1", 1)): nil}, want: []string{
			`stream "b-1" revision 1 position 5: its index entry is missing`,
			`stream "b-1" revision 1 position 5: the index entry of its last event is missing`,
		}},
		"an index entry to another event": {set: map[string][]byte{string(index("a-1", 1)): sealedIndex(index("a-1", 1), 3)}, want: []string{
			`stream "a-1" revision 1 position 2: its index entry leads to position 3`,
			`stream "a-1" revision 1 position 3: there stands revision 2 of stream "a-1"`,
			`stream "a-1" revision 2 position 3: stands at or before position 3 of the event before it`,
		}},
		"an index entry beyond the head": {set: map[string][]byte{string(index("b-1", 2)): sealedIndex(index("b-1", 2), 100)}, want: []string{
			`stream "b-1" revision 2 position 100: there stands revision 0 of stream "c"`,
			`stream "b-1" revision 2: its index goes on after the end that its head names`,
		}},
		"a head away":     {set: map[string][]byte{string(layout.AppendHeadKey(nil, "c")): nil}, want: []string{`stream "c": its head is missing`}},
		"a bit of a head": {change: layout.AppendHeadKey(nil, "c"), want: []string{`stream "c": its head does not have its checksum`}},
		"a head behind": {set: map[string][]byte{string(layout.AppendHeadKey(nil, "b-1")): sealedHead("b-1", layout.Head{Next: 1, Last: 4})}, want: []string{
			`stream "b-1" revision 1: its index goes on after`,
		}},
		"a head of nothing": {set: map[string][]byte{string(layout.AppendHeadKey(nil, "x")): sealedHead("x", layout.Head{Next: 1, Last: 1})}, want: []string{
			`stream "x" revision 0 position 1: the index entry of its last event is missing`,
		}},
		"a record of nowhere": {set: map[string][]byte{string(record(50)): {1, 2, 3}}, want: []string{
			`position 50: the store is corrupt: checksum of the record at position 50`,
		}},
		"a bit of a link": {change: layout.AppendLinkKey(nil, "$ce-a", 0), want: []string{
			"1 links to categories and types are missing, of 13",
			`stream "$ce-a" revision 0: the store is corrupt: link 0`,
		}},
		"a link away":    {set: map[string][]byte{string(layout.AppendLinkKey(nil, "$ce-a", 3)): nil}, want: []string{"1 links to categories and types are missing, of 13"}},
		"a foreign key":  {set: map[string][]byte{"zz": {1}}, want: []string{`a key that is none of the log's: "zz"`}},
		"a foreign note": {set: map[string][]byte{"mx": {1}}, want: []string{`unknown note "x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			log := filled(t, fs)
			for k, v := range c.set {
				var err error
				if v == nil {
					err = log.db.Delete([]byte(k), pebble.NoSync)
				} else {
					err = log.db.Set([]byte(k), v, pebble.NoSync)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				overwrite(t, log, c.change, func(v []byte) []byte { v[len(v)/2] ^= 4; return v })
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			checked, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs})
			if len(problems) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(problems), len(c.want), strings.Join(problems, "\n"))
			}
			for i, p := range problems {
				if !strings.Contains(p, c.want[i]) {
					t.Errorf("%s\nwant %s", p, c.want[i])
				}
			}
			if c.want == nil {
				if diff := cmp.Diff(maintenance.Checked{Events: 7, Streams: 3, Links: 13}, checked); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestCheckOfBrokenFiles flips a byte of a table in many places: what then cannot be read
// is told event by event, and nothing else.
func TestCheckOfBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const streams, each = 10, 30
	var events []Imported
	for n := range streams * each {
		events = append(events, imported(fmt.Sprintf("s-%d", n%streams), event.Revision(n/streams), event.Position(n+1)))
	}
	if _, err := log.Import(t.Context(), source(events)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.db.Flush(), log.Close()); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	table := tables[len(tables)-1]
	good, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	detected := 0
	for at := 0; at < len(good); at += len(good)/4 + 1 {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		if err := os.WriteFile(table, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := maintenance.Inspect(maintenance.Options{Dir: dir})
		if err != nil {
			detected++ // the file cannot be opened at all
			continue
		}
		var problems []maintenance.Problem
		_, err = i.Check(t.Context(), func(p maintenance.Problem) { problems = append(problems, p) }, func(uint64, uint64) {})
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if len(problems) > 0 {
			detected++
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		reported := map[event.Position]bool{}
		for _, p := range problems {
			if p.Stream != "" && p.Position > 0 {
				reported[p.Position] = true
			}
		}
		db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, FormatMajorVersion: pebble.FormatNewest, Logger: noLog{},
			EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}})
		if err != nil {
			t.Fatal(err)
		}
		for p := event.Position(1); p <= streams*each; p++ {
			if _, found, err := (layout.Reader{DB: db}).Standing(p); (err != nil || !found) && !reported[p] {
				t.Fatalf("byte %d: position %d cannot be read (%v), and is not among the %d problems", at, p, err, len(problems))
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(table, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, problems := checkOf(t, maintenance.Options{Dir: dir}); len(problems) > 0 {
		t.Errorf("the file whole again: %q", problems)
	}
	t.Logf("%d of 4 flips showed", detected)
}

// noLog drops what Pebble logs.
type noLog struct{}

func (noLog) Infof(string, ...any)           {}
func (noLog) Errorf(string, ...any)          {}
func (noLog) Fatalf(format string, _ ...any) { panic(format) }

func TestStats(t *testing.T) {
	fs := vfs.NewMem()
	log := filled(t, fs)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	i, err := maintenance.Inspect(maintenance.Options{Dir: "log", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	s, err := i.Stats(t.Context(), func(uint64, uint64) {})
	if err != nil {
		t.Fatal(err)
	}
	want := []maintenance.Category{{Name: "a", Streams: 1, Events: 4}, {Name: "b", Streams: 1, Events: 2}, {Name: "c", Streams: 1, Events: 1}}
	if diff := cmp.Diff(want, s.Categories); diff != "" || s.Events != 7 || s.Streams != 3 || s.First.Position != 1 || s.Last.Position != 100 || s.DiskBytes == 0 {
		t.Errorf("%+v\n%s", s, diff)
	}
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	if _, err := maintenance.Inspect(maintenance.Options{Dir: filepath.Join(dir, "nothing")}); err == nil || !strings.Contains(err.Error(), "there is no event log") {
		t.Errorf("of no folder: %v", err)
	}
	if _, err := maintenance.Inspect(maintenance.Options{Dir: dir}); err == nil {
		t.Error("an empty folder is taken for a log")
	}
	log, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := maintenance.Inspect(maintenance.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is another recapito running") {
		t.Errorf("of an open log: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
