package eventlog

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"recapito/domain/event"
)

// eventBytes is the data of a benchmark's event; with metadata about 400 bytes.
var (
	benchData     = []byte(`"` + strings.Repeat("d", 300) + `"`)
	benchMetadata = []byte(`"` + strings.Repeat("m", 100) + `"`)
)

var benchWriters = []int{1, 64, 256}

// BenchmarkAppend appends one event of 400 bytes to a new stream each time.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range benchWriters {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			log, err := Open(Options{Dir: b.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			load(b, writers, func(n int64) error {
				events := []event.New{{ID: uuid.NewString(), Type: "NotificationRequested", Data: benchData, Metadata: benchMetadata}}
				_, err := log.Append(b.Context(), fmt.Sprintf("notification-%016d", n), event.NoStream(), events)
				return err
			})
		})
	}
}

// BenchmarkRawPebble commits the bytes of the same record, under one key, with sync.
func BenchmarkRawPebble(b *testing.B) {
	for _, writers := range benchWriters {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: pebbleLogger{}, CacheSize: defaultCacheBytes, MemTableSize: memTableBytes, FormatMajorVersion: pebble.FormatNewest})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			body := encodeBody(fmt.Sprintf("notification-%016d", 0), uuid.New(), event.New{Type: "NotificationRequested", Data: benchData, Metadata: benchMetadata})
			value := make([]byte, recordSize(body))
			load(b, writers, func(n int64) error {
				return db.Set(appendPositionKey(nil, event.Position(n)), value, pebble.Sync)
			})
		})
	}
}

// load shares b.N calls out to the writers and reports the rate and latencies.
func load(b *testing.B, writers int, do func(n int64) error) {
	var next atomic.Int64
	latencies := make([][]time.Duration, writers)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				start := time.Now()
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
				latencies[w] = append(latencies[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkReadAll scans $all.
func BenchmarkReadAll(b *testing.B) {
	log, err := Open(Options{Dir: b.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	const appends, each = 200, 500
	for n := range appends {
		events := make([]event.New, each)
		for i := range events {
			events[i] = event.New{ID: uuid.NewString(), Type: "NotificationRequested", Data: benchData, Metadata: benchMetadata}
		}
		mustAppend(b, log, fmt.Sprintf("notification-%d", n), event.NoStream(), events...)
	}
	b.ResetTimer()
	for b.Loop() {
		n := 0
		if err := log.ReadAll(b.Context(), event.AllRead{}, func(event.Recorded) error { n++; return nil }); err != nil || n != appends*each {
			b.Fatalf("%d events, %v", n, err)
		}
	}
	b.ReportMetric(float64(appends*each*b.N)/b.Elapsed().Seconds(), "events/s")
}
