package eventlog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

var faultRuns = flag.Int("eventlog.faults", 40, "seeds of injected faults to run")

// TestFaults injects errors of the file system at random moments under load.
func TestFaults(t *testing.T) {
	if inChild() {
		met := map[string]int{}
		for i := range uint64(*faultRuns) {
			if met[faultRun(t, *crashSeed+i)]++; t.Failed() {
				t.Fatalf("replay with -run TestFaults -eventlog.seed=%d", *crashSeed+i)
			}
		}
		t.Log(met)
		return
	}
	runs := *faultRuns
	if testing.Short() {
		runs = min(runs, 10)
	}
	base := randomSeed()
	if *crashSeed != 0 {
		base, runs = *crashSeed, 1
	}
	// A few at a time, since what gave up keeps its memory.
	const together = 100
	for done := 0; done < runs; done += together {
		apart(t, fmt.Sprintf("-eventlog.seed=%d", base+uint64(done)), fmt.Sprintf("-eventlog.faults=%d", min(together, runs-done)))
	}
}

// childTest makes the test binary run one test for another process of it.
const childTest = "EVENTLOG_TEST_APART"

func inChild() bool { return os.Getenv(childTest) != "" }

// apart runs the calling test once more, in a process of its own: one in which the log
// fails for good is stuck in Pebble, and cannot be closed.
func apart(t *testing.T, flags ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, append([]string{"-test.v", "-test.timeout=8m", "-test.run=^" + t.Name() + "$"}, flags...)...)
	child.Env = append(os.Environ(), childTest+"=1")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// faulty is a file system that begins to fail at some call.
type faulty struct {
	vfs.FS
	kind  string // of the fault: see inject
	files string // where: a part of the name

	mu    sync.Mutex
	after int // calls before the first fault
	times int // faults that are left
	hit   atomic.Bool
}

// inject returns the fault of a call, or nil.
func (f *faulty) inject(name string, sync bool) error {
	if !strings.Contains(name, f.files) || strings.HasPrefix(f.kind, "sync ") != sync {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after--; f.after >= 0 || f.times == 0 {
		return nil
	}
	f.times--
	f.hit.Store(true)
	switch f.kind {
	case "sync eio", "write eio":
		return &os.PathError{Op: "write", Path: name, Err: syscall.EIO}
	case "write short":
		return io.ErrShortWrite
	}
	return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
}

func (f *faulty) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times = 0
}

func (f *faulty) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

func (f *faulty) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: newname}, nil
}

func (f *faulty) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

func (f *faulty) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: "folder"}, nil
}

type faultyFile struct {
	vfs.File
	fs   *faulty
	name string
}

// Write writes a part, if it fails.
func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.inject(f.name, false); err != nil {
		n, writeErr := f.File.Write(p[:(len(p)+1)/2])
		return n, errors.Join(writeErr, err)
	}
	return f.File.Write(p)
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	if f.fs.kind == "write short" {
		return f.File.WriteAt(p, at)
	}
	if err := f.fs.inject(f.name, false); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.inject(f.name, true); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.fs.inject(f.name, true); err != nil {
		return err
	}
	return f.File.SyncData()
}

// faultRun: nothing is acknowledged once a sync of the write-ahead log has failed, and
// the log says that it is read-only; want of space passes; and in every case nothing
// acknowledged or shown is lost.
//
// It returns what was met.
func faultRun(t *testing.T, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 5))
	mem := vfs.NewCrashableMem()
	fs := &faulty{FS: mem,
		kind:  []string{"sync eio", "write eio", "sync full", "write full", "write short"}[rng.IntN(5)],
		files: []string{"", ".log", ".sst", "MANIFEST-", guard.NoteName, "folder"}[rng.IntN(6)],
		after: 1 << 30, // not before the log is open
		times: []int{1, 3, 1 << 30}[rng.IntN(3)],
	}
	what := fmt.Sprintf("%s in %q", fs.kind, fs.files)
	passes := !strings.HasSuffix(fs.kind, "eio")
	log := openSmall(t, fs, guard.Reserve{Every: time.Millisecond})
	fs.mu.Lock()
	if fs.after = rng.IntN(60); fs.files == ".sst" || fs.files == "MANIFEST-" || fs.files == "folder" {
		fs.after = rng.IntN(4) // of three flushes
	}
	fs.mu.Unlock()

	tried := &facts{}
	work := newLoad(log, 0, tried)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	enough := 20 + rng.IntN(120)
	var writers sync.WaitGroup
	for w := range uint64(4) {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 6+w))
			for {
				failed := fs.hit.Load() && fs.files == ".log" && !passes
				limit, done := context.WithTimeout(ctx, time.Second)
				n, err := work.append(limit, r)
				done()
				switch {
				case err == nil && failed:
					t.Errorf("%s: acknowledged after it", what)
				case err == nil && n < enough, passes && fullDisk(err):
					time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
					if fs.hit.Load() && r.IntN(20) == 0 {
						fs.heal()
					}
					continue
				case err != nil && !errors.Is(err, event.ErrUnavailable) && !errors.Is(err, event.ErrUnknownOutcome):
					t.Errorf("%s: %v", what, err)
				}
				return
			}
		})
	}
	followed := make(chan error, 1)
	go func() { followed <- work.follow(ctx) }()
	flushing := make(chan struct{})
	go func() { // stays where Pebble is stuck
		defer close(flushing)
		for range 3 {
			if log.enter() != nil {
				return
			}
			// Its end is waited for outside: a table that cannot be written is tried for
			// ever, and nobody but a test waits for that within the log.
			flushed, err := log.db.AsyncFlush()
			log.leave()
			if err != nil {
				return
			}
			select {
			case <-flushed:
			case <-ctx.Done():
				return
			}
		}
	}()
	writers.Wait()
	known := newWitness()
	known.learn(work.live)
	if passes {
		fs.heal()
		receive(t, "flushes", flushing)
		eventually(t, what+": appends are taken again", func() bool { return log.Healthy() == nil })
		mustAppend(t, log, "after", event.Any(), someEvents(1)...)
	} else if fs.hit.Load() && fs.files == ".log" {
		eventually(t, what+": it says that it is read-only", func() bool { return log.Healthy() != nil })
	}
	if n := len(allOf(t, log)); n < len(known.shown) {
		t.Errorf("%s: %d events are shown, %d were", what, n, len(known.shown))
	}
	images := []*vfs.MemFS{
		mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}),
		mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 70}[rng.IntN(3)], RNG: rng}),
	}
	if !fs.hit.Load() {
		what = "nothing"
	} else if log.readOnly() != nil {
		what += ", read-only"
	}
	closed := make(chan error, 1)
	go func() { closed <- log.Close() }()
	if err := receive(t, "close", closed); passes && err != nil {
		t.Errorf("%s: close: %v", what, err)
	}
	cancel()
	receive(t, "end of the subscription", followed)
	for _, image := range images {
		again := openOn(t, image)
		known.check(t, again, tried)
		mustAppend(t, again, "again", event.Any(), someEvents(1)...)
		if err := again.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	return what
}
