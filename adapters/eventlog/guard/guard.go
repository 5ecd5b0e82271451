package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/commands/retry"
)

// Free space of the disk.
const (
	// ReserveBytes must be free, else Full returns an error: what the database has taken
	// already needs room to be flushed and compacted.
	ReserveBytes = 256 << 20
	// reserveSlack is how much more must be free before Full returns nil again.
	reserveSlack = 64 << 20
	// openingShare: this fraction of the reserve must be free to open the database.
	openingShare = 4
	// LookEvery is how often free space is looked at, and how long a call that found none,
	// or that Pebble repeats at once, waits before it is tried again.
	LookEvery = time.Second
)

// Reserve is how much space is kept free.
type Reserve struct {
	Bytes, Slack uint64
	Every        time.Duration // between two looks
}

// Options of a guard. All but Reserve are required.
type Options struct {
	FS     vfs.FS // the one that is guarded
	Dir    string // of the database
	Name   string // of the database, in log lines
	Logger *slog.Logger
	// Failed is called when a write failed for good: the database must take nothing more.
	Failed func(error)
	// Reserve is for tests; nil means the constants.
	Reserve *Reserve
}

// FS guards a database's folder. It is a vfs.FS for Pebble.
type FS struct {
	vfs.FS
	dir     string
	name    string
	reserve uint64 // bytes
	slack   uint64 // bytes
	every   time.Duration
	logger  *slog.Logger
	fail    func(error)

	full   atomic.Bool // Full returns an error
	opened atomic.Bool

	mu      sync.Mutex
	waiting int    // calls that wait for space
	low     bool   // less than the reserve is free
	free    uint64 // when last looked
	known   bool   // the file system reports free space

	note noteFile // how far Pebble's files were synced

	life      context.Context // ends when nothing is to wait any more
	end       context.CancelFunc
	stuck     chan struct{} // closed when a call of Pebble's was stopped for ever
	stuckOnce sync.Once
	watching  sync.WaitGroup
}

// New returns the file system to give to Pebble.
func New(o Options) *FS {
	s := &FS{
		FS: o.FS, dir: o.Dir, name: o.Name, reserve: ReserveBytes, slack: reserveSlack, every: LookEvery,
		logger: o.Logger, fail: o.Failed, stuck: make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if o.Reserve != nil {
		s.reserve, s.slack, s.every = o.Reserve.Bytes, o.Reserve.Slack, o.Reserve.Every
	}
	return s
}

// Dir is the database's folder.
func (s *FS) Dir() string { return s.dir }

// isFull reports whether a call failed for want of space, in the file system or in a quota.
func isFull(err error) bool {
	const windowsHandleDiskFull, windowsDiskFull = syscall.Errno(39), syscall.Errno(112)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		runtime.GOOS == "windows" && (errors.Is(err, windowsDiskFull) || errors.Is(err, windowsHandleDiskFull))
}

// Watch looks at free space until Stop, and records how far files were synced, if they
// were. Call it once the database is open.
func (s *FS) Watch() {
	s.opened.Store(true)
	s.look()
	s.watching.Go(func() {
		for retry.Wait(s.life, s.every) == nil {
			s.look()
			if err := s.whenSpace(s.note.save); err != nil {
				s.fail(err)
			}
		}
	})
}

// Stop ends the watching. Calls that wait for space return their error.
func (s *FS) Stop() {
	s.end()
	s.watching.Wait()
}

// Close records what is left to record. Call it when Pebble is closed.
func (s *FS) Close() error { return s.note.close() }

// SaveNote records how far files were synced, if they were since the last time. Watch
// does it every LookEvery.
func (s *FS) SaveNote() error { return s.note.save() }

// Check returns an error where Pebble must not open the folder: it is damaged where Pebble
// would not notice (ErrCorrupt), or there is no room to write the contents of the
// write-ahead log to tables. The folder exists and is locked.
func (s *FS) Check() error {
	usage, err := s.GetDiskUsage(s.dir)
	if err == nil && usage.AvailBytes < s.reserve/openingShare {
		return fmt.Errorf("disk full: free %d MiB, to open it takes %d MiB", usage.AvailBytes>>20, s.reserve/openingShare>>20)
	}
	note, err := verify(s.FS, s.dir)
	if err != nil || note == nil {
		return err
	}
	s.note.current = *note
	return s.note.open(s.FS, s.dir)
}

// BeginNote makes the record of what was synced, for a database that has none.
func (s *FS) BeginNote() error {
	if s.note.file != nil {
		return nil
	}
	return s.note.open(s.FS, s.dir)
}

func (s *FS) look() {
	usage, err := s.GetDiskUsage(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return // a full disk is noticed all the same, when a call meets it
	}
	s.known, s.free = true, usage.AvailBytes
	switch {
	case s.free < s.reserve:
		s.low = true
	case s.free >= s.reserve+s.slack:
		s.low = false
	}
	s.update()
}

// update sets the state anew and logs a change of it. The caller holds mu.
func (s *FS) update() {
	full := s.low || s.waiting > 0
	if full == s.full.Load() {
		return
	}
	s.full.Store(full)
	if full {
		s.logger.Error(s.name+": the disk is full, appends are refused until there is space", "free_bytes", s.free, "needed_bytes", s.reserve+s.slack)
	} else {
		s.logger.Info(s.name+": there is space on the disk again, appends are taken", "free_bytes", s.free)
	}
}

// Waiting reports whether a call waits for space.
func (s *FS) Waiting() bool {
	if !s.full.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting > 0
}

// Full returns nil, or an error that names how much space is missing.
func (s *FS) Full() error {
	if !s.full.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return fmt.Errorf("disk full: free %d MiB, appends are taken again from %d MiB on", s.free>>20, (s.reserve+s.slack)>>20)
	}
	return errors.New("disk full: a write found no space")
}

// whenSpace does what needs space, again and again while there is none. After Stop it
// returns the error.
func (s *FS) whenSpace(do func() error) error {
	err := do()
	if !isFull(err) {
		return err
	}
	s.count(1)
	defer s.count(-1)
	for retry.Wait(s.life, s.every) == nil {
		if err = do(); !isFull(err) {
			return err
		}
	}
	return err
}

func (s *FS) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += n
	s.update()
}

// halt stops the caller for ever. If Pebble saw that its own log, its manifest or its
// folder could not be written, it would end the process, at once or when it begins its
// next log. A halted Pebble holds no lock that a read needs.
func (s *FS) halt(err error) {
	s.fail(err)
	s.stuckOnce.Do(func() { close(s.stuck) })
	select {}
}

// Stuck is closed when a call of Pebble's was stopped for ever: Pebble must be left as it
// stands, and cannot be closed.
func (s *FS) Stuck() <-chan struct{} { return s.stuck }

// IsStuck reports whether Stuck is closed.
func (s *FS) IsStuck() bool {
	select {
	case <-s.stuck:
		return true
	default:
		return false
	}
}

// Lock locks a database's folder for this process.
func Lock(fs vfs.FS, dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, fmt.Errorf("is another recapito running on this folder? It is locked: %w", err)
	}
	return lock, nil
}
