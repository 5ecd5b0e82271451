package persistent_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

var seedFlag = flag.Uint64("persistent.seed", 0, "run the crash test with this seed only")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	quiet    = 300 * time.Millisecond
)

// TestCrash loses power while consumers take, acknowledge, refuse, skip, park, replay,
// come and go; afterwards every event is acknowledged or skipped by then, parked, or
// comes again.
func TestCrash(t *testing.T) {
	runs := uint64(6)
	if testing.Short() {
		runs = 2
	}
	seed := uint64(time.Now().UnixNano())
	if *seedFlag != 0 {
		seed, runs = *seedFlag, 1
	}
	for i := range runs {
		crashRun(t, seed+i)
		if t.Failed() {
			t.Fatalf("replay with -run TestCrash -persistent.seed=%d", seed+i)
		}
	}
}

// world is a log with a group on it, and what consumers did.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	log    *eventlog.Log
	groups *persistent.Manager
	key    persistent.Key

	mu   sync.Mutex
	done map[string]bool // acknowledged or skipped: may stay away
}

func open(t *testing.T, fs vfs.FS) (*eventlog.Log, *persistent.Manager) {
	t.Helper()
	return openWith(t, fs, func(log *eventlog.Log) persistent.Log { return log })
}

func openWith(t *testing.T, fs vfs.FS, seen func(*eventlog.Log) persistent.Log) (*eventlog.Log, *persistent.Manager) {
	t.Helper()
	quietly := slog.New(slog.DiscardHandler)
	log, err := eventlog.Open(eventlog.Options{Dir: "log", FS: fs, Logger: quietly})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := persistent.Open(t.Context(), persistent.Options{
		Log: seen(log), Logger: quietly, Now: time.Now,
		Resolve: func(ctx context.Context, link event.Recorded) (target event.Recorded, found bool, err error) {
			var revision uint64
			var stream string
			if _, err := fmt.Sscanf(string(link.Data), "%d@%s", &revision, &stream); err != nil {
				return target, false, err
			}
			err = log.ReadStream(ctx, event.StreamRead{Stream: stream, From: event.Revision(revision), Limit: 1}, func(e event.Recorded) error {
				target, found = e, true
				return nil
			})
			return target, found, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return log, groups
}

func crashRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	w := &world{t: t, rng: rng, done: map[string]bool{}}
	w.log, w.groups = open(t, fs)
	s := persistent.Settings{
		Stream: []string{"s", persistent.All}[rng.IntN(2)], Group: "g",
		MessageTimeoutMS: 5 + rng.IntN(50), LiveBufferSize: 1 + rng.IntN(50), HistoryBufferSize: 1 + rng.IntN(50), MaxRetryCount: rng.IntN(4),
		ReadBatchSize: 1 + rng.IntN(20), CheckpointAfterMS: rng.IntN(20), MinCheckpoint: rng.IntN(10), MaxCheckpoint: 1 + rng.IntN(20),
		Strategy: []string{persistent.RoundRobin, persistent.DispatchToSingle, persistent.Pinned, persistent.PinnedByCorrelation}[rng.IntN(4)],
	}
	w.key = s.Key()
	if err := w.groups.Create(t.Context(), "admin", s); err != nil {
		t.Fatal(err)
	}
	var all []string // ids, appended before the crash
	for range 2 {
		all = append(all, w.live(100+rng.IntN(200))...)
		w.mu.Lock()
		done := maps.Clone(w.done)
		w.mu.Unlock()
		image := fs
		if rng.IntN(3) > 0 { // a crash, else a proper end
			image = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		}
		w.groups.Close()
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
		if image == fs {
			done = w.done
		}
		w.done, fs = done, image
		w.log, w.groups = open(t, fs)
	}
	w.drain()
	for _, id := range all {
		if !w.done[id] {
			t.Errorf("seed %d, %+v: an event is lost", seed, s)
			break
		}
	}
	w.groups.Close()
	if err := w.log.Close(); err != nil {
		t.Error(err)
	}
}

// live appends n events while consumers work on them, and returns their ids.
func (w *world) live(n int) []string {
	ctx, cancel := context.WithCancel(w.t.Context())
	var working sync.WaitGroup
	for i := range 3 {
		r := rand.New(rand.NewPCG(w.rng.Uint64(), uint64(i)))
		working.Go(func() {
			for ctx.Err() == nil {
				w.work(ctx, r)
			}
		})
	}
	var ids []string
	for range n {
		id := uuid.NewString()
		ids = append(ids, id)
		if _, err := w.log.Append(w.t.Context(), "s", event.Any(), []event.New{{ID: id, Type: "A", Data: []byte(`{}`)}}); err != nil {
			w.t.Error(err)
		}
	}
	cancel()
	working.Wait()
	return ids
}

// work is a consumer's life.
func (w *world) work(ctx context.Context, r *rand.Rand) {
	c, err := w.groups.Connect(w.key, persistent.Connection{Slots: 1 + r.IntN(20)})
	if err != nil {
		w.t.Error(err)
		return
	}
	defer c.Leave()
	for range r.IntN(60) {
		d, err := c.Next(ctx)
		if errors.Is(err, persistent.ErrDropped) || ctx.Err() != nil {
			return
		}
		if err != nil {
			w.t.Error(err)
			return
		}
		id := []string{d.Event.ID}
		switch r.IntN(12) {
		case 0: // forgotten
		case 1:
			c.Refuse(persistent.Retry, "", id)
		case 2:
			c.Refuse(persistent.Park, "why", id)
		case 3:
			c.Refuse(persistent.Stop, "", nil)
		case 4:
			w.finished(d)
			c.Refuse(persistent.Skip, "", id)
		case 5:
			if err := w.groups.Replay(w.key, -1); err != nil {
				w.t.Error(err)
			}
		default:
			w.finished(d)
			c.Acknowledge(id)
		}
	}
}

func (w *world) finished(d persistent.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Target != nil {
		w.done[d.Target.ID] = true
	}
	w.done[d.Event.ID] = true
}

// drain acknowledges everything, the parked too, until nothing is left.
func (w *world) drain() {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c, err := w.groups.Connect(w.key, persistent.Connection{Slots: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Leave()
	for {
		if err := w.groups.Replay(w.key, -1); err != nil {
			w.t.Fatal(err)
		}
		wait, stop := context.WithTimeout(ctx, quiet)
		d, err := c.Next(wait)
		stop()
		if err == nil {
			w.finished(d)
			c.Acknowledge([]string{d.Event.ID})
			continue
		}
		i, infoErr := w.groups.Info(w.key)
		if infoErr != nil || ctx.Err() != nil {
			w.t.Fatal(err, infoErr, i)
		}
		if i.Parked == 0 && i.Outstanding+i.Retry+i.Read+i.Live == 0 {
			return
		}
	}
}

// ends are where the goroutines of a group may be while it is ended.
func TestGroupsEndWhereverTheyAre(t *testing.T) {
	log, groups := open(t, vfs.NewMem())
	for i := range 20 {
		s := persistent.Settings{Stream: "s", Group: fmt.Sprint(i), LiveBufferSize: 1, HistoryBufferSize: 1, ReadBatchSize: 1, MaxCheckpoint: 1, Strategy: persistent.RoundRobin}
		if err := groups.Create(t.Context(), "admin", s); err != nil {
			t.Fatal(err)
		}
		c, err := groups.Connect(s.Key(), persistent.Connection{Slots: 1 + i})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
	}
	events := make([]event.New, 50)
	for i := range events {
		events[i] = event.New{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`)}
	}
	if _, err := log.Append(t.Context(), "s", event.Any(), events); err != nil {
		t.Fatal(err)
	}
	groups.Close()
	groups.Close()
	if _, err := groups.List(""); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// fullLog takes no appends while it is full.
type fullLog struct {
	*eventlog.Log
	full    atomic.Bool
	refused atomic.Int64
}

func (l *fullLog) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if l.full.Load() {
		l.refused.Add(1)
		return event.Appended{}, event.ErrUnavailable
	}
	return l.Log.Append(ctx, stream, expected, events)
}

// While the log takes no writes, what cannot be parked is kept and the rest goes on; it
// is written when the log takes it again.
func TestALogThatTakesNoWrites(t *testing.T) {
	var full *fullLog
	log, groups := openWith(t, vfs.NewMem(), func(log *eventlog.Log) persistent.Log {
		full = &fullLog{Log: log}
		return full
	})
	s := persistent.Settings{Stream: "s", Group: "g", LiveBufferSize: 10, HistoryBufferSize: 10, ReadBatchSize: 1, MaxCheckpoint: 1, Strategy: persistent.RoundRobin}
	if err := groups.Create(t.Context(), "admin", s); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := log.Append(t.Context(), "s", event.Any(), []event.New{{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`)}}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := groups.Connect(s.Key(), persistent.Connection{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Leave()
	full.full.Store(true)
	for i := range 3 {
		d, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			c.Refuse(persistent.Park, "", []string{d.Event.ID})
		} else {
			c.Acknowledge([]string{d.Event.ID})
		}
	}
	info := func(what string, holds func(persistent.Info) bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
			i, err := groups.Info(s.Key())
			if err == nil && holds(i) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: not so: %+v %v", what, i, err)
			}
		}
	}
	info("refused", func(i persistent.Info) bool {
		return full.refused.Load() > 0 && i.Outstanding == 1 && i.Parked == 0 && i.Checkpoint == ""
	})
	full.full.Store(false)
	info("written", func(i persistent.Info) bool { return i.Outstanding == 0 && i.Parked == 1 && i.Checkpoint == "2" })
	groups.Close()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// A log that is closed under the groups, as when a process ends in a hurry.
func TestTheLogIsClosedFirst(t *testing.T) {
	log, groups := open(t, vfs.NewMem())
	s := persistent.Settings{Stream: persistent.All, Group: "g", HistoryBufferSize: 1, ReadBatchSize: 1, MaxCheckpoint: 1, Strategy: persistent.RoundRobin}
	if err := groups.Create(t.Context(), "admin", s); err != nil {
		t.Fatal(err)
	}
	c, err := groups.Connect(s.Key(), persistent.Connection{Slots: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Leave()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = c.Next(t.Context())
	}
	if !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("the consumer ended with %v", err)
	}
	groups.Close()
}
