package guard_test

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/guard"
)

// disk is a file system that can be full, and a write-ahead log of which can fail.
type disk struct {
	*vfs.MemFS
	full, broken atomic.Bool
}

func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.MemFS.Create(name, category)
	return &diskFile{f, d, strings.HasSuffix(name, ".log")}, err
}

type diskFile struct {
	vfs.File
	disk *disk
	log  bool
}

func (f *diskFile) Write(p []byte) (int, error) {
	switch {
	case f.disk.full.Load():
		return 0, syscall.ENOSPC
	case f.log && f.disk.broken.Load():
		return 0, syscall.EIO
	}
	return f.File.Write(p)
}

// store is any Pebble database, opened as the package comment says.
type store struct {
	db     *pebble.DB
	guard  *guard.FS
	failed chan error
}

func open(t *testing.T, fs vfs.FS) (*store, error) {
	t.Helper()
	s := &store{failed: make(chan error, 1)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s.guard = guard.New(guard.Options{
		FS: fs, Dir: "db", Name: "store", Logger: quiet, Failed: func(err error) { s.failed <- err },
		Reserve: &guard.Reserve{Bytes: 1 << 20, Every: time.Millisecond},
	})
	options := &pebble.Options{FS: s.guard, Logger: noLog{}}
	if _, err := fs.Stat("db"); err == nil {
		lock, err := pebble.LockDirectory("db", s.guard)
		if err != nil {
			t.Fatal(err)
		}
		options.Lock = lock
		t.Cleanup(func() { _ = lock.Close() })
		if err := s.guard.Check(); err != nil {
			s.guard.Stop()
			return nil, err
		}
	}
	var err error
	if s.db, err = pebble.Open("db", options); err != nil {
		t.Fatal(err)
	}
	if err := s.guard.BeginNote(); err != nil {
		t.Fatal(err)
	}
	s.guard.Watch()
	return s, nil
}

type noLog struct{}

func (noLog) Infof(string, ...any)  {}
func (noLog) Errorf(string, ...any) {}
func (noLog) Fatalf(format string, _ ...any) {
	panic("pebble would end the process: " + format)
}

func (s *store) close(t *testing.T) {
	t.Helper()
	s.guard.Stop()
	if err := errors.Join(s.db.Close(), s.guard.Close()); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAWriteWaitsForSpace(t *testing.T) {
	d := &disk{MemFS: vfs.NewMem()}
	s, err := open(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close(t)
	d.full.Store(true)
	written := make(chan error, 1)
	go func() { written <- s.db.Set([]byte("k"), []byte("v"), pebble.Sync) }()
	until(t, "the write waits", s.guard.Waiting)
	if s.guard.Full() == nil {
		t.Error("Full returned nil while a write waits for space")
	}
	select {
	case err := <-written:
		t.Errorf("the write returned %v without space", err)
	default:
	}
	d.full.Store(false)
	if err := <-written; err != nil {
		t.Error(err)
	}
	until(t, "there is space again", func() bool { return s.guard.Full() == nil })
}

func TestAFailedLogStopsPebbleAndLeavesReads(t *testing.T) {
	d := &disk{MemFS: vfs.NewMem()}
	s, err := open(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.guard.Stop()
	if err := s.db.Set([]byte("k"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	d.broken.Store(true)
	go func() { _ = s.db.Set([]byte("l"), nil, pebble.Sync) }() // never returns
	if err := <-s.failed; !errors.Is(err, syscall.EIO) {
		t.Errorf("failed with %v, want EIO", err)
	}
	<-s.guard.Stuck()
	value, closer, err := s.db.Get([]byte("k"))
	if err != nil || string(value) != "v" {
		t.Fatalf("read %q, %v", value, err)
	}
	_ = closer.Close()
}

func TestADamagedManifestIsFoundBeforePebbleOpensIt(t *testing.T) {
	mem := vfs.NewMem()
	s, err := open(t, mem)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set([]byte("k"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	s.close(t)
	found, err := pebble.Peek("db", mem)
	if err != nil {
		t.Fatal(err)
	}
	info, err := mem.Stat(found.ManifestFilename)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite(found.ManifestFilename, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	last[0] ^= 1
	if _, err := f.WriteAt(last, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if err := guard.Verify(mem, "db"); !errors.Is(err, guard.ErrCorrupt) {
		t.Errorf("Verify returned %v, want ErrCorrupt", err)
	}
	if _, err := open(t, mem); !errors.Is(err, guard.ErrCorrupt) {
		t.Errorf("Check returned %v, want ErrCorrupt", err)
	}
}
