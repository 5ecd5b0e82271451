package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"

	"recapito/domain/event"
)

const patience = 20 * time.Second

// disk is a file system whose log syncs can be held up or fail, and that counts writes.
type disk struct {
	vfs.FS
	mem    *vfs.MemFS
	writes atomic.Int64

	mu      sync.Mutex
	gate    chan struct{} // syncs of the write-ahead log wait for it
	waiting chan struct{} // receives when one does
	broken  error         // what syncs of the write-ahead log return
}

func newDisk(mem *vfs.MemFS) *disk {
	d := &disk{mem: mem, waiting: make(chan struct{}, 1024)}
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(d.inject))
	return d
}

func (d *disk) inject(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		d.writes.Add(1)
	}
	sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	if !sync || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	d.mu.Lock()
	gate, err := d.gate, d.broken
	d.mu.Unlock()
	if gate != nil {
		d.waiting <- struct{}{}
		<-gate
		d.mu.Lock()
		err = d.broken
		d.mu.Unlock()
	}
	return err
}

// hold makes log syncs wait until release is called.
func (d *disk) hold() (release func()) {
	gate := make(chan struct{})
	d.mu.Lock()
	d.gate = gate
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.gate = nil
		d.mu.Unlock()
		close(gate)
	})
}

func (d *disk) breakWith(err error) {
	d.mu.Lock()
	d.broken = err
	d.mu.Unlock()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openOn(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	log, err := Open(Options{Dir: "log", FS: fs, CacheBytes: 1 << 20, Logger: quiet()})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func someEvents(n int) []event.New {
	events := make([]event.New, n)
	for i := range events {
		id := uuid.New()
		events[i] = event.New{ID: id.String(), Type: "Tested", Data: fmt.Appendf(nil, `{"of":%q}`, id), Metadata: []byte(`{}`)}
	}
	return events
}

func mustAppend(t testing.TB, log *Log, stream string, expected event.Expected, events ...event.New) event.Appended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := log.Append(ctx, stream, expected, events)
	if err != nil {
		t.Fatalf("append to %s: %v", stream, err)
	}
	return a
}

func allOf(t testing.TB, log *Log) []event.Recorded {
	t.Helper()
	var got []event.Recorded
	if err := log.ReadAll(context.Background(), event.AllRead{}, func(e event.Recorded) error { got = append(got, e); return nil }); err != nil {
		t.Fatalf("read $all: %v", err)
	}
	return got
}

func streamOf(t testing.TB, log *Log, stream string, d event.Direction) []event.Recorded {
	t.Helper()
	read := event.StreamRead{Stream: stream, Direction: d}
	if d == event.Backwards {
		read.From = event.RevisionEnd
	}
	var got []event.Recorded
	err := log.ReadStream(context.Background(), read, func(e event.Recorded) error { got = append(got, e); return nil })
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		t.Fatalf("read %s: %v", stream, err)
	}
	if (len(got) == 0) != errors.Is(err, event.ErrStreamNotFound) {
		t.Fatalf("read %s: %d events and error %v", stream, len(got), err)
	}
	return got
}

func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

type outcome struct {
	appended event.Appended
	err      error
}

func appendAsync(ctx context.Context, log *Log, stream string, expected event.Expected, events []event.New) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		a, err := log.Append(ctx, stream, expected, events)
		c <- outcome{a, err}
	}()
	return c
}

// randomSeed is printed, so that a failure can be replayed.
func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	var seed uint64
	for _, x := range b {
		seed = seed<<8 | uint64(x)
	}
	return seed
}
