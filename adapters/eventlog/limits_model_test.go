package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/adapters/eventlog/layout"
	"recapito/adapters/eventlog/maintenance"
	"recapito/domain/event"
)

// limitedModel is the specification of one stream with its metadata.
type limitedModel struct {
	created    []time.Time // of its events
	described  bool
	limits     layout.Limits
	tombstoned bool
}

// refuses returns the error of an expectation that does not hold.
func (m *limitedModel) refuses(e event.Expected) error {
	n := event.Revision(len(m.created))
	exact, isExact := e.Exactly()
	switch {
	case m.tombstoned, e.IsStreamExists() && m.limits.Deleted():
		return event.ErrStreamDeleted
	case e.IsNoStream() && n > 0 && !m.limits.Deleted(), isExact && exact+1 != n, e.IsStreamExists() && n == 0 && !m.described:
		return event.ErrWrongVersion
	}
	return nil
}

func (m *limitedModel) describe(l layout.Limits) {
	m.described = true
	if m.limits.Deleted() { // any metadata bring it back
		l.TruncateBefore = event.Revision(len(m.created))
	}
	m.limits = l
}

func (m *limitedModel) append(n int, at time.Time) {
	if m.limits.Deleted() {
		m.limits.TruncateBefore = event.Revision(len(m.created))
	}
	for range n {
		m.created = append(m.created, at)
	}
}

func (m *limitedModel) shows(now time.Time) (got []event.Revision, err error) {
	switch {
	case m.tombstoned:
		return nil, event.ErrStreamDeleted
	case len(m.created) == 0, m.limits.Deleted():
		return nil, event.ErrStreamNotFound
	}
	for i, at := range m.created {
		r := event.Revision(i)
		if r >= m.limits.Begin(event.Revision(len(m.created))) && (m.limits.MaxAge == 0 || now.Sub(at) <= m.limits.MaxAge) {
			got = append(got, r)
		}
	}
	return got, nil
}

// TestLimitsModel holds metadata, deletions, tombstones, scavenges and reopenings against
// the specification.
func TestLimitsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		now := time.Unix(1_000_000, 0)
		open := func() *Log {
			log, err := Open(Options{Dir: "log", FS: fs, CacheBytes: 1 << 20, ScavengeAfter: -1, Now: func() time.Time { return now }})
			if err != nil {
				rt.Fatal(err)
			}
			return log
		}
		log := open()
		defer func() { _ = log.Close() }()
		models := map[string]*limitedModel{"a": {}, "b": {}}
		var last event.Position
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "stream")
			m := models[name]
			expected := rapid.SampledFrom([]event.Expected{event.Any(), event.Any(), event.Any(), event.NoStream(), event.StreamExists(),
				event.Exact(event.Revision(max(len(m.created), 1) - 1)), event.Exact(event.Revision(len(m.created)))}).Draw(rt, "expected")
			var want, err error
			written := true
			switch step := rapid.IntRange(0, 19).Draw(rt, "step"); {
			case step < 8:
				n := rapid.IntRange(1, 4).Draw(rt, "events")
				if want = m.refuses(expected); want == nil {
					m.append(n, now)
				}
				_, err = log.Append(context.Background(), name, expected, someEvents(n))
			case step < 12:
				l := layout.Limits{
					MaxCount:       uint64(rapid.IntRange(0, 4).Draw(rt, "$maxCount")),
					MaxAge:         time.Duration(rapid.IntRange(0, 3).Draw(rt, "$maxAge")) * time.Minute,
					TruncateBefore: event.Revision(rapid.IntRange(0, len(m.created)+1).Draw(rt, "$tb")),
				}
				if m.tombstoned {
					want = event.ErrStreamDeleted
				} else {
					m.describe(l)
				}
				data := fmt.Sprintf(`{"$maxCount":%d,"$maxAge":%d,"$tb":%d}`, l.MaxCount, int(l.MaxAge.Seconds()), l.TruncateBefore)
				_, err = log.Append(context.Background(), "$$"+name, event.Any(), []event.New{metadataEvent(data)})
			case step < 14:
				if want = m.refuses(expected); want == nil && len(m.created) == 0 && !m.described {
					want = event.ErrWrongVersion
				}
				if want == nil {
					m.described, m.limits = true, layout.Limits{TruncateBefore: event.RevisionEnd}
				}
				_, err = log.Delete(context.Background(), name, expected)
			case step < 15:
				if want = m.refuses(expected); want == nil {
					m.tombstoned = true
				}
				_, err = log.Tombstone(context.Background(), name, expected)
			case step < 16:
				now, written = now.Add(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds"))*time.Second), false
			case step < 19:
				_, err = log.Scavenge(context.Background())
				written = false
			default:
				err = log.Close()
				log, written = open(), false
			}
			if !errors.Is(err, want) || want == nil && err != nil {
				rt.Fatalf("%v, want %v", err, want)
			}
			if p := log.Last(); p < last || !written && p != last || written && want == nil && p == last {
				rt.Fatalf("the last position went from %d to %d", last, p)
			}
			last = log.Last()
			for name, m := range models {
				want, wantErr := m.shows(now)
				for _, d := range []event.Direction{event.Forwards, event.Backwards} {
					var got []event.Revision
					err := log.ReadStream(context.Background(), event.StreamRead{Stream: name, Direction: d, From: event.RevisionEnd * event.Revision(d)}, func(e event.Recorded) error {
						if d == event.Backwards {
							got = append([]event.Revision{e.Revision}, got...)
						} else {
							got = append(got, e.Revision)
						}
						return nil
					})
					// What a scavenge took does not come back when limits are lifted.
					first := log.firstOf(rt, name)
					for len(want) > 0 && want[0] < first {
						want = want[1:]
					}
					if !errors.Is(err, wantErr) || wantErr == nil && err != nil || !cmp.Equal(append([]event.Revision{}, want...), append([]event.Revision{}, got...)) {
						rt.Fatalf("%s, direction %d, shows %v, %v, want %v, %v", name, d, got, err, want, wantErr)
					}
				}
			}
		}
		if err := log.Close(); err != nil {
			rt.Fatal(err)
		}
		if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: fs}); len(problems) > 0 {
			rt.Fatalf("%q", problems)
		}
	})
}

func (l *Log) firstOf(t *rapid.T, stream string) event.Revision {
	h, err := l.stored.Head(stream)
	if err != nil {
		t.Fatal(err)
	}
	return h.First
}

// TestCrashWhileScavenging loses power while appends, deletions and scavenges go on: what
// is left fits together, nothing acknowledged is lost and nothing deleted is shown.
func TestCrashWhileScavenging(t *testing.T) {
	base := randomSeed()
	for i := range uint64(8) {
		seed := base + i
		rng := rand.New(rand.NewPCG(seed, 3))
		fs := vfs.NewCrashableMem()
		log := openOn(t, fs)
		mustAppend(t, log, "$$counted", event.Any(), metadataEvent(`{"$maxCount":3}`))
		ctx, stop := context.WithCancel(t.Context())
		scavenged := make(chan struct{})
		go func() {
			defer close(scavenged)
			for ctx.Err() == nil {
				if _, err := log.Scavenge(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
			}
		}()
		var counted event.Revision
		deleted := 0
		for n := range 5 + rng.IntN(40) {
			counted = mustAppend(t, log, "counted", event.Any(), someEvents(1+rng.IntN(4))...).Revision
			stream := fmt.Sprintf("deleted-%d", n)
			mustAppend(t, log, stream, event.NoStream(), someEvents(2)...)
			end := log.Delete
			if n%2 == 1 {
				end = log.Tombstone
			}
			mustEnd(t, end, stream, event.Exact(1))
			deleted++
		}
		image := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 40, 100}[rng.IntN(3)], RNG: rng})
		stop()
		<-scavenged
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openOn(t, image)
		if got, err := shows(t, log, "counted"); err != nil || !cmp.Equal(got, []event.Revision{counted - 2, counted - 1, counted}) {
			t.Errorf("seed %d: shows %v, %v, the last is %d", seed, got, err, counted)
		}
		for n := range deleted {
			_, err := shows(t, log, fmt.Sprintf("deleted-%d", n))
			if n%2 == 0 && !errors.Is(err, event.ErrStreamNotFound) || n%2 == 1 && !errors.Is(err, event.ErrStreamDeleted) {
				t.Errorf("seed %d: stream %d is not deleted: %v", seed, n, err)
			}
		}
		mustScavenge(t, log)
		if r := mustScavenge(t, log); r.Events > 0 || r.Streams > 2 {
			t.Errorf("seed %d: a pass after the last finds %+v", seed, r)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if _, problems := checkOf(t, maintenance.Options{Dir: "log", FS: image}); len(problems) > 0 {
			t.Errorf("seed %d: %q", seed, problems)
		}
	}
}
