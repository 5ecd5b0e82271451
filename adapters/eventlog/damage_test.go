package eventlog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

var damages = flag.Int("eventlog.damages", 60, "bit flips and truncations to try")

// TestDamage flips a bit or cuts a file, of a store that was closed and of one that
// crashed: it is noticed, or every event reads back as it was. One case is left out, and
// held to its bounds: what was synced since the last note, at the end of the newest
// write-ahead log of a store that crashed.
func TestDamage(t *testing.T) {
	runs := *damages
	if testing.Short() {
		runs = min(runs, 10)
	}
	base := randomSeed()
	if *crashSeed != 0 {
		base, runs = *crashSeed, 1
	}
	stores := makeStores(t)
	found := map[string]int{}
	for i := range uint64(runs) {
		seed := base + i
		rng := rand.New(rand.NewPCG(seed, 3))
		store := stores[rng.IntN(len(stores))]
		if found[store.damaged(t, rng)]++; t.Failed() {
			t.Fatalf("replay with -run TestDamage -eventlog.seed=%d", seed)
		}
	}
	t.Logf("%d damages: %v", runs, found)
}

// stored is a folder at rest with what must be in it.
type stored struct {
	name   string
	fs     *vfs.MemFS
	events []event.Recorded
	heads  map[string]event.Revision
}

// makeStores makes stores with tables on several levels, a manifest of many edits, and
// write-ahead logs.
func makeStores(t *testing.T) []stored {
	t.Helper()
	const seed = 7
	var stores []stored
	for _, name := range []string{"closed", "crashed", "crashed within the second"} {
		mem := vfs.NewCrashableMem()
		rng := rand.New(rand.NewPCG(seed, 4))
		var log *Log
		for life := range 3 {
			log = openSmall(t, mem, guard.Reserve{Every: time.Hour})
			for n := range 60 {
				events := someEvents(1 + rng.IntN(3))
				if n%7 == 0 {
					events[0].Data = make([]byte, 3000)
				}
				mustAppend(t, log, fmt.Sprintf("s-%d", rng.IntN(12)), event.Any(), events...)
				if n%17 == 16 && life < 2 {
					if err := log.db.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if life == 1 {
				if err := log.db.Compact(context.Background(), []byte{0}, []byte{255}, false); err != nil {
					t.Fatal(err)
				}
			}
			if life < 2 {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := stored{name: name, events: allOf(t, log), heads: map[string]event.Revision{}}
		for _, e := range s.events {
			s.heads[e.Stream] = e.Revision
		}
		switch name {
		case "closed":
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		case "crashed":
			if err := log.guard.SaveNote(); err != nil {
				t.Fatal(err)
			}
		}
		s.fs = mem.CrashClone(vfs.CrashCloneCfg{})
		stores = append(stores, s)
	}
	return stores
}

// damaged damages a copy and returns what came of it.
func (s stored) damaged(t *testing.T, rng *rand.Rand) string {
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(s.fs, fs, "log", "log"); err != nil || !ok {
		t.Fatalf("clone: %v", err)
	}
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	newest, synced, err := guard.NewestLog(fs, "log")
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var content []byte
	for len(content) == 0 {
		name = names[rng.IntN(len(names))]
		content = contentOf(t, fs, "log/"+name)
	}
	at := rng.IntN(len(content))
	what := fmt.Sprintf("%s, cut to %d of %d bytes", name, at, len(content))
	if rng.IntN(3) > 0 {
		bit := byte(1) << rng.IntN(8)
		content[at] ^= bit
		what = fmt.Sprintf("%s, bit %#x of byte %d of %d flipped", name, bit, at, len(content))
	} else {
		content = content[:at]
	}
	setContent(t, fs, "log/"+name, content)
	// What was noted last of the newest write-ahead log.
	unnoted := s.name == "crashed within the second" && name == fmt.Sprintf("%06d.log", newest) && int64(at) >= synced

	log, err := Open(Options{Dir: "log", FS: fs, CacheBytes: 1 << 20, Logger: quiet()})
	if err != nil {
		return "refused at open"
	}
	defer log.Close()
	got, err := s.served(log)
	switch {
	case errors.Is(err, errWrong), err != nil && !errors.Is(err, ErrCorrupt):
		t.Errorf("%s: %s: %v", s.name, what, err)
	case err != nil:
		return "found by a reader"
	case len(got) < len(s.events) && unnoted:
		return "not noted"
	case len(got) != len(s.events):
		t.Errorf("%s: %s: %d events are gone without a word", s.name, what, len(s.events)-len(got))
	}
	return s.goesOn(t, log, what)
}

var errWrong = errors.New("served wrong")

// served reads all there is, in every way, and compares. Fewer events than there should
// be are an error, unless they are all the first.
func (s stored) served(log *Log) ([]event.Recorded, error) {
	var got []event.Recorded
	var problems []error
	problems = append(problems, log.ReadAll(context.Background(), event.AllRead{}, func(e event.Recorded) error {
		if len(got) == len(s.events) || !cmp.Equal(e, s.events[len(got)]) {
			return fmt.Errorf("%w: position %d", errWrong, e.Position)
		}
		got = append(got, e)
		return nil
	}))
	left := map[string][]event.Recorded{}
	for _, e := range got {
		left[e.Stream] = append(left[e.Stream], e)
	}
	if problems[0] != nil {
		left = map[string][]event.Recorded{}
		for _, e := range s.events {
			left[e.Stream] = append(left[e.Stream], e)
		}
	}
	for stream, want := range left {
		for _, d := range []event.Direction{event.Forwards, event.Backwards} {
			read, n := event.StreamRead{Stream: stream, Direction: d}, 0
			if d == event.Backwards {
				read.From = event.RevisionEnd
			}
			err := log.ReadStream(context.Background(), read, func(e event.Recorded) error {
				i := n
				if d == event.Backwards {
					i = len(want) - 1 - n
				}
				if i < 0 || i >= len(want) || !cmp.Equal(e, want[i]) {
					return fmt.Errorf("%w: %s, event %d", errWrong, stream, e.Revision)
				}
				n++
				return nil
			})
			if err == nil && n != len(want) {
				err = fmt.Errorf("%w: %d of %d events of %s", errWrong, n, len(want), stream)
			}
			problems = append(problems, err)
		}
	}
	return got, errors.Join(problems...)
}

// goesOn appends to every stream.
func (s stored) goesOn(t *testing.T, log *Log, what string) string {
	last := s.events[len(s.events)-1].Position
	for stream, head := range s.heads {
		a, err := log.Append(t.Context(), stream, event.Exact(head), someEvents(1))
		switch {
		case errors.Is(err, ErrCorrupt):
			return "found by an appender"
		case err != nil || a.Revision != head+1 || a.Position <= last:
			t.Errorf("%s: %s: appended at %+v, %v", s.name, what, a, err)
		}
	}
	return "harmless"
}

func contentOf(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil && !strings.Contains(err.Error(), "directory") {
		t.Fatal(err)
	}
	return content
}

func setContent(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	if err := fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
