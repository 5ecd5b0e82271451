package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// BenchmarkAppend is the log against its peers, one after the other at each number of
// writers, so that a slow minute of the machine is shared fairly.
func BenchmarkAppend(b *testing.B) {
	engines := []struct {
		name  string
		bench func(b *testing.B, writers int)
		most  int // writers
	}{
		{"file", rawFile, 1},
		{"eventlog", inProcess, 256},
		{"pebble", rawPebble, 256},
		{"pebble-keys", rawPebbleKeys, 256},
		{"grpc-append", overAppend, 256},
		{"grpc-batch", overBatchAppend, 256},
		{"bbolt", rawBbolt, 256},
	}
	for _, writers := range []int{1, 64, 256} {
		for _, e := range engines {
			if writers <= e.most {
				b.Run(fmt.Sprintf("writers=%d/engine=%s", writers, e.name), func(b *testing.B) { e.bench(b, writers) })
			}
		}
	}
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func openLog(b *testing.B, dir string) *eventlog.Log {
	log, err := eventlog.Open(eventlog.Options{Dir: dir, Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close() })
	return log
}

func inProcess(b *testing.B, writers int) {
	log := openLog(b, b.TempDir())
	load(b, writers, func(int) work { return appendTo(b, log) })
}

func appendTo(b *testing.B, log *eventlog.Log) work {
	return func(_ int64, in input) error {
		// As the ledger does it: every call has a deadline.
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		_, err := log.Append(ctx, in.stream, in.expected(), []event.New{in.event})
		return err
	}
}

// rawPebble commits an append's bytes under one key, each higher than the last: the
// least that Pebble can be asked for.
func rawPebble(b *testing.B, writers int) {
	db := openPebble(b)
	load(b, writers, func(int) work {
		var key [8]byte
		var value []byte
		return func(n int64, in input) error {
			binary.BigEndian.PutUint64(key[:], uint64(n))
			value = in.bytes(value[:0])
			return db.Set(key[:], value, pebble.Sync)
		}
	})
}

// rawPebbleKeys commits the keys that an event store needs: the event by its position,
// its position by stream and revision, and where the stream ends.
func rawPebbleKeys(b *testing.B, writers int) {
	db := openPebble(b)
	load(b, writers, func(int) work {
		var key, value []byte
		return func(n int64, in input) error {
			batch := db.NewBatch()
			key, value = binary.BigEndian.AppendUint64(append(key[:0], 'e'), uint64(n)), in.bytes(value[:0])
			_ = batch.Set(key, value, nil)
			value = binary.BigEndian.AppendUint64(value[:0], uint64(n))
			key = binary.BigEndian.AppendUint64(append(append(key[:0], 's'), in.stream...), uint64(in.revision))
			_ = batch.Set(key, value, nil)
			value = binary.BigEndian.AppendUint64(value, uint64(in.revision))
			key = append(append(key[:0], 'h'), in.stream...)
			_ = batch.Set(key, value, nil)
			if err := batch.Commit(pebble.Sync); err != nil {
				return err
			}
			return batch.Close()
		}
	})
}

// openPebble opens Pebble with as much memory as the log gives it.
func openPebble(b *testing.B) *pebble.DB {
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}, CacheSize: 64 << 20, MemTableSize: 32 << 20, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }

var bucket = []byte("events")

// rawBbolt gathers the writers' appends into one transaction with bbolt's own Batch,
// which one writer alone would only wait for.
func rawBbolt(b *testing.B, writers int) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bolt"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	db.MaxBatchSize = max(writers/2, 1) // as many as wait while the others are synced
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		b.Fatal(err)
	}
	commit := db.Batch
	if writers == 1 {
		commit = db.Update
	}
	load(b, writers, func(int) work {
		return func(n int64, in input) error {
			key, value := binary.BigEndian.AppendUint64(nil, uint64(n)), in.bytes(nil)
			return commit(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, value) })
		}
	})
}

// rawFile is the floor: one file, a write and a sync for each append.
func rawFile(b *testing.B, writers int) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	load(b, writers, func(int) work {
		var value []byte
		return func(_ int64, in input) error {
			value = in.bytes(value[:0])
			if _, err := f.Write(value); err != nil {
				return err
			}
			return unix.Fdatasync(int(f.Fd()))
		}
	})
}
