package bench

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"recapito/adapters/eventlog"
	"recapito/projections"
	"recapito/projections/follow"
)

func format(f string, args ...any) string { return fmt.Sprintf(f, args...) }

// running are projections that run until the benchmark ends, or stop.
type running struct {
	*follow.Projector
	stop func()
}

func project(b *testing.B, log *eventlog.Log, target follow.Target) running {
	b.Helper()
	p, err := follow.New(follow.Config{
		Projections: projections.All(filled.codec, nil), Source: log, Checkpoints: log, Target: target, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	r := running{Projector: p}
	r.stop = func() { cancel(); <-done }
	b.Cleanup(r.stop)
	return r
}

// settle waits until everything in the store shows.
func (r running) settle(b *testing.B, what string, events uint64) {
	b.Helper()
	settled := make(chan error, 1)
	go func() { settled <- r.Settle(b.Context()) }()
	tell, tick := progress(what), time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-settled:
			if err != nil {
				b.Fatal(err)
			}
			return
		case <-tick.C:
			least := events
			for _, s := range r.States() {
				least = min(least, s.Events)
			}
			tell(least, events)
		}
	}
}

// rates of a rebuild.
const (
	goalRate  = 150_000 // events a second
	goalShare = 0.7     // of what a raw insert of the same rows reaches
	goalBytes = 2048    // MiB of the engine
	goalGrown = 3.3     // times as long for three times as many events
)

// rebuilt is how many events are.
func rebuilt(b *testing.B) uint64 {
	b.Helper()
	asked := os.Getenv("RECAPITO_BENCH_EVENTS")
	if asked == "" {
		return sized[uint64](300_000, 10_000_000)
	}
	n, err := strconv.ParseUint(asked, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkRebuild fills every table from an empty database, then each one anew, beside
// an insert of the same rows that does nothing else; then all in one pass, and some once
// more when the store is three times as long.
func BenchmarkRebuild(b *testing.B) {
	log, events := store(b, rebuilt(b))
	models := newReadModels(b)
	target := &recorder{Target: follow.ClickHouse(models.Conn, nil)}
	w := models.watch()
	p := project(b, log, target)
	p.settle(b, "projecting into empty read models", events)
	figures.atLeast(format("all tables of %d events at once, from empty", events), w.rate(events), goalRate, "events/s")
	took := map[string]time.Duration{}
	rebuild := func(name string) (rate float64) {
		w, began := models.watch(), time.Now()
		if err := p.Rebuild(b.Context(), name, progress("rebuilding "+name)); err != nil {
			b.Fatal(err)
		}
		took[name] = time.Since(began)
		rate = w.rate(events)
		figures.atLeast(format("rebuild of %s, %d events", name, events), rate, goalRate, "events/s")
		return rate
	}
	for _, name := range projections.Names {
		target.keep(keptOfOne, name)
		rate := rebuild(name)
		if batches := target.batches[name]; len(batches) > 0 {
			insert := raw(b, models, batches)
			what := format("rebuild of %s against an insert of its rows, %.0f events/s", name, insert)
			if batches[0].kind.Sums { // a few rows stand for all events of a batch
				figures.add(what, 0, format("%.4g", rate/insert), "")
			} else {
				figures.atLeast(what, rate/insert, goalShare, "")
			}
		}
	}
	target.keep(keptOfAll, projections.Names...)
	w = models.watch()
	if err := p.RebuildAll(b.Context(), progress("rebuilding all in one pass")); err != nil {
		b.Fatal(err)
	}
	rate := w.rate(events)
	figures.atLeast(format("rebuild of all %d projections in one pass, %d events", len(projections.Names), events), rate, goalRate, "events/s")
	insert := raw(b, models, slices.Collect(maps.Values(target.batches))...)
	figures.atLeast(format("the same against an insert of the rows of all of them, %.0f events/s", insert), rate/insert, goalShare, "")
	target.keep(0)
	before := maps.Clone(took)
	p.stop() // an import bears nobody beside it
	_, events = store(b, 3*events)
	p = project(b, log, target)
	p.settle(b, "following what was added", events)
	for _, name := range grown {
		rebuild(name)
		figures.atMost(format("rebuild of %s, three times as many events", name), took[name].Seconds()/before[name].Seconds(), goalGrown, "times as long")
	}
	figures.atMost("memory of the engine, rebuilding", memory(b, models.child.PID()), goalBytes, "MiB")
	figures.add("memory of this process, rebuilding", 0, format("%.4g MiB", memory(b, os.Getpid())), "")
	b.ReportMetric(0, "ns/op")
}

// grown are rebuilt once more on the longer store: one with a row an event, one that sums.
var grown = []string{"edr", "accounting"}

// watch measures from now on.
func (r readModels) watch() stopwatch {
	return stopwatch{models: r, began: time.Now(), ours: cpuTime(), theirs: r.cpuTime()}
}

type stopwatch struct {
	models       readModels
	began        time.Time
	ours, theirs time.Duration
}

// rate is that of so many events; what they cost is said beside it.
func (w stopwatch) rate(events uint64) float64 {
	took := time.Since(w.began).Seconds()
	cost := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(events) }
	say("processor time an event: %.2f µs, and %.2f µs of the engine", cost(cpuTime()-w.ours), cost(w.models.cpuTime()-w.theirs))
	return float64(events) / took
}

// cpuTime is what this process used of all processors: on a busy machine it tells more
// than the rate.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuTime is what the engine used.
func (r readModels) cpuTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.child.PID()))
	if err != nil {
		return 0
	}
	const userTime, tick = 11, 10 * time.Millisecond // fields after the name in brackets
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	_, _ = fmt.Sscan(fields[userTime]+" "+fields[userTime+1], &user, &system)
	return time.Duration(user+system) * tick
}
