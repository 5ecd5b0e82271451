package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// Sizes of the logs that are compared, in streams of one event each. The large one takes
// minutes to fill, and is only made if RECAPITO_BENCH_FULL is set.
const (
	smallLog = 100_000
	someLog  = 1_000_000
	largeLog = 10_000_000
)

func sizes() []int {
	if os.Getenv("RECAPITO_BENCH_FULL") != "" {
		return []int{smallLog, largeLog}
	}
	return []int{smallLog, someLog}
}

var (
	scratch string           // where filled logs are; TestMain removes it
	filled  = map[int]bool{} // by size
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "bench-eventlog"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// folder returns one with a log of so many streams, filled when first asked for. What
// benchmarks append to it stays.
func folder(b *testing.B, streams int) string {
	dir := filepath.Join(scratch, fmt.Sprint(streams))
	if filled[streams] {
		return dir
	}
	began, cpu := time.Now(), cpuTime()
	fill(b, dir, streams)
	took := time.Since(began)
	b.Logf("filled with %d streams in %v, %.0f/s, %.1f µs of processor time each", streams, took.Round(time.Second), float64(streams)/took.Seconds(), micros(cpuTime()-cpu)/float64(streams))
	filled[streams] = true
	return dir
}

// fill adds streams of one event, by an import: it has many appends on their way at a time.
func fill(b *testing.B, dir string, streams int) {
	log, err := eventlog.Open(eventlog.Options{Dir: dir, Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	from, n := newSource(streams), 0
	_, err = log.Import(b.Context(), func() (eventlog.Imported, error) {
		if n == streams {
			return eventlog.Imported{}, io.EOF
		}
		n++
		from.stream = ""
		in := from.next()
		return eventlog.Imported{Recorded: event.Recorded{Stream: in.stream, ID: in.event.ID, Type: in.event.Type, Data: in.event.Data, Metadata: in.event.Metadata}, AtRevision: true}, nil
	})
	if err := errors.Join(err, log.Close()); err != nil {
		b.Fatal(err)
	}
}

func eachSize(b *testing.B, bench func(b *testing.B, dir string, streams int)) {
	for _, streams := range sizes() {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { bench(b, folder(b, streams), streams) })
	}
}

// restartAfter is what was appended since Pebble last wrote its memory out: a restart
// reads it back from the write-ahead log.
const restartAfter = 40_000

// BenchmarkRestart opens a log as its last process left it, until it takes appends.
func BenchmarkRestart(b *testing.B) {
	eachSize(b, func(b *testing.B, dir string, _ int) {
		for b.Loop() {
			b.StopTimer()
			fill(b, dir, restartAfter)
			b.StartTimer()
			log, err := eventlog.Open(eventlog.Options{Dir: dir, Logger: silent})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(resident(), "resident-MiB")
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// warmUp is how many appends are not measured after a log was opened: they read what the
// caches then keep.
const warmUp = 20_000

// BenchmarkAppendAtSize appends to new streams and to those lately begun, as
// BenchmarkAppend does, in a log that has many already.
func BenchmarkAppendAtSize(b *testing.B) {
	eachSize(b, func(b *testing.B, dir string, _ int) {
		log := openLog(b, dir)
		appendAll(b, log, warmUp)
		load(b, 64, func(int) work { return appendTo(b, log) })
		b.ReportMetric(resident(), "resident-MiB")
	})
}

// appendAll appends without measuring.
func appendAll(b *testing.B, log *eventlog.Log, appends int) {
	var wg sync.WaitGroup
	const writers = 64
	for w := range writers {
		wg.Go(func() {
			do, from := appendTo(b, log), newSource(w)
			for n := range appends / writers {
				if err := do(int64(n), from.next()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkReadAll scans $all.
func BenchmarkReadAll(b *testing.B) {
	eachSize(b, func(b *testing.B, dir string, _ int) {
		log := openLog(b, dir)
		n, cpu := 0, cpuTime()
		for b.Loop() {
			if err := log.ReadAll(b.Context(), event.AllRead{}, func(event.Recorded) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(micros(cpuTime()-cpu)/float64(n), "cpu-µs/event")
		b.ReportMetric(resident(), "resident-MiB")
	})
}

// BenchmarkReadStream reads one stream: a short one, as the ledger does for every
// command, and a long one. The log holds a tenth of a million other events.
func BenchmarkReadStream(b *testing.B) {
	for _, events := range []int{5, 10_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			log := openLog(b, folder(b, smallLog))
			from := newSource(events)
			name := "read-" + from.uuid()
			for n := range events {
				in := from.next()
				expected := event.NoStream()
				if n > 0 {
					expected = event.Exact(event.Revision(n - 1))
				}
				if _, err := log.Append(b.Context(), name, expected, []event.New{in.event}); err != nil {
					b.Fatal(err)
				}
			}
			n := 0
			for b.Loop() {
				if err := log.ReadStream(b.Context(), event.StreamRead{Stream: name}, func(event.Recorded) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkDisk measures what an event takes: as the log was left, and when everything is
// compacted.
func BenchmarkDisk(b *testing.B) {
	eachSize(b, func(b *testing.B, dir string, _ int) {
		events := float64(openedAt(b, dir))
		left := diskBytes(b, dir)
		po := &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest}
		for i := range po.Levels {
			po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
		db, err := pebble.Open(dir, po)
		if err != nil {
			b.Fatal(err)
		}
		err = db.Compact(context.Background(), []byte{0}, []byte{0xff}, true)
		if err := errors.Join(err, db.Close()); err != nil {
			b.Fatal(err)
		}
		for b.Loop() { // nothing is timed
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(left/events, "left-B/event")
		b.ReportMetric(diskBytes(b, dir)/events, "compacted-B/event")
	})
}

// openedAt returns how many events a log has.
func openedAt(b *testing.B, dir string) event.Position {
	log, err := eventlog.Open(eventlog.Options{Dir: dir, Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	last := log.Last()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	return last
}

func diskBytes(b *testing.B, dir string) float64 {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(sum)
}

// resident is what this process has in memory, Pebble's caches and memtables too.
func resident() float64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
