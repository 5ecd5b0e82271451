package eventlog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/layout"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

var (
	crashSeed = flag.Uint64("eventlog.seed", 0, "replay this one crash seed")
	crashRuns = flag.Int("eventlog.crashes", 25, "crash seeds to run")
)

// TestCrash loses power at a random moment under load, with a random part of what was
// not synced kept, opens what is left, checks it and goes on, several times a seed.
func TestCrash(t *testing.T) {
	if *crashSeed != 0 {
		crashRun(t, *crashSeed)
		return
	}
	runs := *crashRuns
	if testing.Short() {
		runs = 10
	}
	base := randomSeed()
	for i := range uint64(runs) {
		if crashRun(t, base+i); t.Failed() {
			t.Fatalf("replay with -run TestCrash -eventlog.seed=%d", base+i)
		}
	}
}

// witness is what the outside world knows: it must stay true through every crash.
type witness struct {
	mu    sync.Mutex
	acked map[event.Position][]string       // ids of an acknowledged append, by its last position
	shown map[event.Position]event.Recorded // by a subscription
	ended map[string]bool                   // streams whose end was acknowledged
}

// mortal begins the names of streams that are limited, deleted and scavenged.
const mortal = "mortal-"

// facts are the appends attempted: each must be there in full or not at all.
type facts struct {
	mu      sync.Mutex
	appends [][]string // ids
}

func crashRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	known := newWitness()
	tried := &facts{}
	for life := range 3 {
		log := openOn(t, fs)
		if life > 0 {
			known.check(t, log, tried)
			if t.Failed() {
				return
			}
		}
		fs = crashUnderLoad(t, log, fs, rng, life, known, tried)
	}
	last := openOn(t, fs)
	known.check(t, last, tried)
	if err := last.Close(); err != nil {
		t.Error(err)
	}
	if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs, Logger: quiet()}); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
}

// load appends to a log and follows it, and remembers what it was told.
type load struct {
	log   *Log
	life  int // streams are of one life of the log
	live  *witness
	tried *facts
}

func newLoad(log *Log, life int, tried *facts) *load {
	return &load{log: log, life: life, tried: tried, live: newWitness()}
}

// append returns how many appends were acknowledged.
func (l *load) append(ctx context.Context, r *rand.Rand) (acknowledged int, err error) {
	events := someEvents(1 + r.IntN(4))
	if r.IntN(8) == 0 {
		events[0].Data = make([]byte, 1+r.IntN(20_000)) // over several blocks
	}
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	l.tried.mu.Lock()
	l.tried.appends = append(l.tried.appends, ids)
	l.tried.mu.Unlock()
	a, err := l.log.Append(ctx, fmt.Sprintf("s-%d-%d", l.life, r.IntN(6)), event.Any(), events)
	if err != nil {
		return 0, err
	}
	l.live.mu.Lock()
	defer l.live.mu.Unlock()
	l.live.acked[a.Position] = ids
	return len(l.live.acked), nil
}

// limit does something to a stream whose events may then be removed.
func (l *load) limit(ctx context.Context, r *rand.Rand) error {
	stream := fmt.Sprintf("%s%d-%d", mortal, l.life, r.IntN(8))
	var err error
	switch r.IntN(8) {
	case 0:
		metadata := someEvents(1)
		metadata[0].Type, metadata[0].Data = layout.MetadataType, fmt.Appendf(nil, `{"$maxCount":%d}`, 1+r.IntN(4))
		_, err = l.log.Append(ctx, layout.MetadataOf(stream), event.Any(), metadata)
	case 1:
		_, err = l.log.Delete(ctx, stream, event.Any())
	case 2:
		if r.IntN(4) > 0 {
			_, err = l.log.Scavenge(ctx)
			break
		}
		if _, err = l.log.Tombstone(ctx, stream, event.Any()); err == nil {
			l.live.mu.Lock()
			l.live.ended[stream] = true
			l.live.mu.Unlock()
		}
	default:
		_, err = l.log.Append(ctx, stream, event.Any(), someEvents(1+r.IntN(3)))
	}
	if errors.Is(err, event.ErrStreamDeleted) || errors.Is(err, event.ErrWrongVersion) { // ended, or never was
		return nil
	}
	return err
}

func (l *load) follow(ctx context.Context) error {
	return l.log.Subscribe(ctx, event.Subscription{}, event.Handler{Event: func(e event.Recorded) error {
		l.live.mu.Lock()
		defer l.live.mu.Unlock()
		l.live.shown[e.Position] = e
		return nil
	}})
}

// crashUnderLoad appends and reads at once and takes the image of a crash meanwhile.
// What is known is copied before the image is taken: only that must survive.
func crashUnderLoad(t *testing.T, log *Log, fs *vfs.MemFS, rng *rand.Rand, life int, known *witness, tried *facts) *vfs.MemFS {
	const writers = 4
	work := newLoad(log, life, tried)
	var wg sync.WaitGroup
	seeds := make([]uint64, writers)
	for w := range writers {
		seeds[w] = rng.Uint64()
	}
	crashAfter, percent, flushes := 5+rng.IntN(60), []int{0, 30, 70, 100}[rng.IntN(4)], rng.IntN(3)
	reached := make(chan struct{})
	var once sync.Once
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seeds[w], 2))
			for {
				n, err := work.append(t.Context(), r)
				if errors.Is(err, event.ErrUnavailable) {
					return
				}
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if n >= crashAfter {
					once.Do(func() { close(reached) })
				}
			}
		})
	}
	limits := rand.New(rand.NewPCG(rng.Uint64(), 2))
	wg.Go(func() {
		for {
			err := work.limit(t.Context(), limits)
			if errors.Is(err, event.ErrUnavailable) {
				return
			}
			if err != nil {
				t.Errorf("delete: %v", err)
				return
			}
		}
	})
	wg.Go(func() {
		if err := work.follow(t.Context()); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("subscription: %v", err)
		}
	})
	for range flushes {
		if err := log.db.Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
	}
	receive(t, "load", reached)
	known.learn(work.live)
	image := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	if err := log.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wg.Wait()
	return image
}

func newWitness() *witness {
	return &witness{acked: map[event.Position][]string{}, shown: map[event.Position]event.Recorded{}, ended: map[string]bool{}}
}

// learn copies what another witness knows by now.
func (w *witness) learn(other *witness) {
	other.mu.Lock()
	defer other.mu.Unlock()
	maps.Copy(w.acked, other.acked)
	maps.Copy(w.shown, other.shown)
	maps.Copy(w.ended, other.ended)
}

// check holds a log against what the world knows.
func (w *witness) check(t *testing.T, log *Log, tried *facts) {
	t.Helper()
	all := allOf(t, log)
	at := map[event.Position]event.Recorded{}
	place := map[string]int{}
	revisions := map[string]event.Revision{}
	for i, e := range all {
		if i > 0 && e.Position <= all[i-1].Position {
			t.Errorf("position %d after %d", e.Position, all[i-1].Position)
		}
		at[e.Position], place[e.ID] = e, i
		if !strings.HasPrefix(e.Stream, "s-") {
			continue
		}
		if e.Revision != revisions[e.Stream] {
			t.Errorf("%s: revision %d where %d should be", e.Stream, e.Revision, revisions[e.Stream])
		}
		revisions[e.Stream]++
	}
	for p, ids := range w.acked {
		if e, ok := at[p]; !ok || e.ID != ids[len(ids)-1] {
			t.Errorf("acknowledged append at position %d is lost", p)
		}
	}
	for p, e := range w.shown {
		if strings.HasPrefix(e.Stream, mortal) || strings.HasPrefix(e.Stream, "$$") {
			continue
		}
		if got, ok := at[p]; !ok || got.ID != e.ID || got.Stream != e.Stream || got.Revision != e.Revision || string(got.Data) != string(e.Data) {
			t.Errorf("event shown at position %d is gone or another", p)
		}
	}
	for _, ids := range tried.appends {
		first, there := place[ids[0]]
		for i, id := range ids {
			n, ok := place[id]
			if ok != there || ok && n != first+i {
				t.Errorf("an append of %d events is there in part, or not in one piece", len(ids))
				break
			}
		}
	}
	for stream := range w.ended {
		if _, _, err := log.Revisions(t.Context(), stream); !errors.Is(err, event.ErrStreamDeleted) {
			t.Errorf("%s was ended and now is not: %v", stream, err)
		}
	}
	for stream, n := range revisions {
		if got := streamOf(t, log, stream, event.Backwards); len(got) != int(n) {
			t.Errorf("%s: %d events by the stream, %d by $all", stream, len(got), n)
		}
	}
}
