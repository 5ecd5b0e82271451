package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// smallDisk is a file system on which bytes run out. What is deleted gives none back.
type smallDisk struct {
	vfs.FS
	mu       sync.Mutex
	left     int
	syncFull bool // syncs find no space, and lose what was written
	broken   func(name string) error
}

func newSmallDisk(fs vfs.FS, left int) *smallDisk { return &smallDisk{FS: fs, left: left} }

func (d *smallDisk) set(left int, syncFull bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.syncFull = left, syncFull
}

// take returns how many of n bytes there is room for.
func (d *smallDisk) take(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, d.left)
	d.left -= n
	return n
}

func (d *smallDisk) fault(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == nil {
		return nil
	}
	return d.broken(name)
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: uint64(d.left)}, nil
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if d.take(1) == 0 {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	f, err := d.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &smallDiskFile{File: f, disk: d, name: name}, nil
}

func (d *smallDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return &smallDiskFile{File: f, disk: d, name: newname}, nil
}

type smallDiskFile struct {
	vfs.File
	disk         *smallDisk
	name         string
	size, synced int64
}

func (f *smallDiskFile) Write(p []byte) (int, error) {
	if err := f.disk.fault(f.name); err != nil {
		return 0, err
	}
	room := f.disk.take(len(p))
	n, err := f.File.Write(p[:room])
	f.size += int64(n)
	if err == nil && n < len(p) {
		err = &os.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return n, err
}

func (f *smallDiskFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *smallDiskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *smallDiskFile) sync(do func() error) error {
	f.disk.mu.Lock()
	full := f.disk.syncFull
	f.disk.mu.Unlock()
	if full {
		// As Linux does it: what could not be written is forgotten.
		if _, err := f.WriteAt(make([]byte, f.size-f.synced), f.synced); err != nil {
			return err
		}
		return &os.PathError{Op: "fsync", Path: f.name, Err: syscall.EDQUOT}
	}
	f.synced = f.size
	return do()
}

func openSmall(t testing.TB, fs vfs.FS, r guard.Reserve) *Log {
	t.Helper()
	log, err := Open(Options{Dir: "log", FS: fs, CacheBytes: 1 << 20, Logger: quiet(), reserve: &r})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// eventually polls.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func fullDisk(err error) bool {
	var r *event.Refusal
	return errors.As(err, &r) && errors.Is(err, event.ErrUnavailable) && strings.HasPrefix(r.Reason, "disk full: ")
}

// TestDiskFull lets a write and a sync of the write-ahead log run out of space: nothing
// breaks, nothing is acknowledged, and it goes on when there is space.
func TestDiskFull(t *testing.T) {
	for name, full := range map[string]func(*smallDisk){
		"write": func(d *smallDisk) { d.set(100, false) },
		"sync":  func(d *smallDisk) { d.set(1<<30, true) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			d := newSmallDisk(mem, 1<<30)
			log := openSmall(t, d, guard.Reserve{Every: time.Millisecond})
			mustAppend(t, log, "a", event.NoStream(), someEvents(2)...)
			full(d)
			events := someEvents(3)
			ctx, cancel := context.WithCancel(t.Context())
			held := appendAsync(ctx, log, "a", event.Exact(1), events)
			eventually(t, "the disk is seen to be full", func() bool { return fullDisk(log.Healthy()) })
			for range 3 {
				began := time.Now()
				if _, err := log.Append(t.Context(), "b", event.Any(), someEvents(1)); !fullDisk(err) {
					t.Errorf("append to a full disk: %v", err)
				}
				if d := time.Since(began); d > patience/2 {
					t.Errorf("refused after %v", d)
				}
			}
			if n := len(allOf(t, log)); n != 2 {
				t.Errorf("%d events shown, want the 2 that are durable", n)
			}
			image := mem.CrashClone(vfs.CrashCloneCfg{})
			cancel()
			if o := receive(t, "reply", held); !errors.Is(o.err, event.ErrUnknownOutcome) {
				t.Errorf("append in hand: %+v", o)
			}

			d.set(1<<30, false)
			eventually(t, "appends are taken again", func() bool { return log.Healthy() == nil })
			if a := mustAppend(t, log, "a", event.Exact(1), events...); a.Revision != 4 {
				t.Errorf("repeated: %+v", a)
			}
			mustAppend(t, log, "b", event.NoStream(), someEvents(1)...)
			if n := len(allOf(t, log)); n != 6 {
				t.Errorf("%d events, want 6", n)
			}
			after := mem.CrashClone(vfs.CrashCloneCfg{})
			if n := len(allOf(t, openOn(t, image))); n != 2 {
				t.Errorf("after a crash of the full disk: %d events, want 2", n)
			}
			if n := len(allOf(t, openOn(t, after))); n != 6 {
				t.Errorf("after a crash since: %d events, want 6", n)
			}
		})
	}
}

// TestDiskFullAnywhere runs out of space at every kind of file, tables and manifest too.
func TestDiskFullAnywhere(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := newSmallDisk(mem, 1<<30)
	log := openSmall(t, d, guard.Reserve{Every: time.Millisecond})
	count := 0
	for left := 1; left < 40_000; left += left/3 + 13 {
		mustAppend(t, log, "a", event.Any(), someEvents(20)...)
		count += 20
		d.set(left, false)
		flushed := make(chan error, 1)
		go func() { flushed <- log.db.Flush() }()
		eventually(t, fmt.Sprintf("with %d bytes left the flush is done or the disk full", left), func() bool {
			return len(flushed) > 0 || fullDisk(log.Healthy())
		})
		d.set(1<<30, false)
		if err := receive(t, "flush", flushed); err != nil {
			t.Fatalf("flush with %d bytes left: %v", left, err)
		}
		eventually(t, "appends are taken again", func() bool { return log.Healthy() == nil })
	}
	if n := len(allOf(t, openOn(t, mem.CrashClone(vfs.CrashCloneCfg{})))); n != count {
		t.Errorf("%d events after a crash, want %d", n, count)
	}
}

// TestReserve: appends are refused before a call finds no space, and taken again with
// some more.
func TestReserve(t *testing.T) {
	const mib = 1 << 20
	d := newSmallDisk(vfs.NewCrashableMem(), 1<<30)
	log := openSmall(t, d, guard.Reserve{Bytes: 100 * mib, Slack: 10 * mib, Every: time.Millisecond})
	for _, step := range []struct {
		left  int
		taken bool
	}{{101 * mib, true}, {99 * mib, false}, {105 * mib, false}, {111 * mib, true}, {105 * mib, true}, {99 * mib, false}} {
		d.set(step.left, false)
		eventually(t, fmt.Sprintf("with %d MiB taken is %v", step.left/mib, step.taken), func() bool { return (log.Healthy() == nil) == step.taken })
		_, err := log.Append(t.Context(), "a", event.Any(), someEvents(1))
		if step.taken && err != nil || !step.taken && !fullDisk(err) {
			t.Errorf("append with %d MiB left: %v", step.left/mib, err)
		}
	}
	if err := log.Healthy(); !strings.Contains(err.Error(), "free 98 MiB, appends are taken again from 110 MiB on") &&
		!strings.Contains(err.Error(), "free 99 MiB, appends are taken again from 110 MiB on") {
		t.Errorf("it says %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	d.set(10*mib, false)
	if log, err := Open(Options{Dir: "log", FS: d, reserve: &guard.Reserve{Bytes: 100 * mib, Every: time.Millisecond}}); err == nil || !strings.Contains(err.Error(), "disk full: free 10 MiB, to open it takes 25 MiB") {
		t.Errorf("open on a full disk: %v, %v", log, err)
	}
}

// TestCloseOnAFullDisk does not wait for space.
func TestCloseOnAFullDisk(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := newSmallDisk(mem, 1<<30)
	log := openSmall(t, d, guard.Reserve{Every: time.Hour})
	mustAppend(t, log, "a", event.NoStream(), someEvents(2)...)
	d.set(0, false)
	held := appendAsync(t.Context(), log, "a", event.Exact(1), someEvents(1))
	eventually(t, "the disk is seen to be full", func() bool { return fullDisk(log.Healthy()) })
	closed := make(chan error, 1)
	go func() { closed <- log.Close() }()
	receive(t, "close", closed)
	if o := receive(t, "reply", held); !errors.Is(o.err, event.ErrUnknownOutcome) {
		t.Errorf("append in hand: %+v", o)
	}
	if n := len(allOf(t, openOn(t, mem.CrashClone(vfs.CrashCloneCfg{})))); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// TestManifestFails: the log is read-only then, and goes on serving reads.
func TestManifestFails(t *testing.T) {
	if !inChild() {
		apart(t)
		return
	}
	mem := vfs.NewCrashableMem()
	d := newSmallDisk(mem, 1<<40)
	log := openSmall(t, d, guard.Reserve{Every: time.Millisecond})
	mustAppend(t, log, "a", event.NoStream(), someEvents(2)...)
	d.mu.Lock()
	d.broken = func(name string) error {
		if strings.Contains(name, "MANIFEST-") {
			return syscall.EIO
		}
		return nil
	}
	d.mu.Unlock()
	go func() { _ = log.db.Flush() }() // ends with the process
	eventually(t, "it is read-only", func() bool { return log.Healthy() != nil })
	var refusal *event.Refusal
	if err := log.Healthy(); !errors.As(err, &refusal) || !errors.Is(err, syscall.EIO) {
		t.Errorf("healthy: %v", err)
	}
	if _, err := log.Append(t.Context(), "b", event.Any(), someEvents(1)); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	for range 100 {
		if n := len(streamOf(t, log, "a", event.Forwards)); n != 2 {
			t.Fatalf("%d events read, want 2", n)
		}
	}
	if err := log.Close(); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("close: %v", err)
	}
	if log, err := Open(Options{Dir: "new", FS: d, Logger: quiet()}); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("open where no manifest can be written: %v, %v", log, err)
	}
	image := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	if n := len(allOf(t, openOn(t, image))); n != 2 {
		t.Errorf("%d events after a restart, want 2", n)
	}
}
