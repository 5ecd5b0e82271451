package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/domain/event"
)

// Free space of the disk.
const (
	// reserveBytes must be free, else appends are refused: what is appended already
	// needs room to be flushed and compacted.
	reserveBytes = 256 << 20
	// reserveSlack is how much more must be free before appends are taken again.
	reserveSlack = 64 << 20
	// openingPart of the reserve must be free to open the log.
	openingPart = 4
	// spaceEvery is how often free space is looked at, and how long a call that found
	// none, or that Pebble will repeat at once, is held before it is tried again.
	spaceEvery = time.Second
)

// space is the file system that Pebble is given. Pebble cannot go on after a write of
// its own log or of its manifest has failed, so such a failure is never shown to it. A call
// that finds no space is held, and goes on where it stopped once there is some. Meanwhile
// the log refuses appends and serves reads. It refuses them before that already, while
// less than the reserve is free. Any other failure makes the log read-only for good, and
// stops Pebble where it stands.
type space struct {
	vfs.FS
	dir     string
	reserve uint64 // bytes
	slack   uint64 // bytes
	every   time.Duration
	logger  *slog.Logger
	fail    func(error) // makes the log read-only

	full   atomic.Bool // appends are refused
	opened atomic.Bool

	mu   sync.Mutex
	held int    // calls that wait for space
	low  bool   // less than the reserve is free
	free uint64 // when last looked
	told bool   // the file system tells free space

	synced synced // how far Pebble's files are

	closing   chan struct{} // closed when nothing is to wait any more
	closeOnce sync.Once
	stuck     chan struct{} // closed when a call of Pebble's was stopped for ever
	stuckOnce sync.Once
	watching  sync.WaitGroup
}

func newSpace(fs vfs.FS, o Options, fail func(error)) *space {
	s := &space{
		FS: fs, dir: o.Dir, reserve: reserveBytes, slack: reserveSlack, every: spaceEvery,
		logger: o.Logger, fail: fail, closing: make(chan struct{}), stuck: make(chan struct{}),
	}
	if o.reserve != nil {
		s.reserve, s.slack, s.every = o.reserve.bytes, o.reserve.slack, o.reserve.every
	}
	return s
}

// isFull says whether a call failed for want of space, in the file system or in a quota.
func isFull(err error) bool {
	const windowsHandleDiskFull, windowsDiskFull = syscall.Errno(39), syscall.Errno(112)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		runtime.GOOS == "windows" && (errors.Is(err, windowsDiskFull) || errors.Is(err, windowsHandleDiskFull))
}

// watch looks at free space until the log is closed, and notes what was synced, if
// anything was.
func (s *space) watch() {
	s.opened.Store(true)
	s.look()
	s.watching.Go(func() {
		t := time.NewTicker(s.every)
		defer t.Stop()
		for {
			select {
			case <-s.closing:
				return
			case <-t.C:
				s.look()
				if err := s.hold(s.synced.save); err != nil {
					s.fail(err)
				}
			}
		}
	})
}

// end stops the watching and lets go of what is held.
func (s *space) end() {
	s.closeOnce.Do(func() { close(s.closing) })
	s.watching.Wait()
}

// opens refuses to open a log that is damaged where Pebble would not notice, and where
// there is not even room for that: what was in the write-ahead log is written to tables
// then. The folder is there and locked.
func (s *space) opens() error {
	usage, err := s.GetDiskUsage(s.dir)
	if err == nil && usage.AvailBytes < s.reserve/openingPart {
		return fmt.Errorf("disk full: free %d MiB, to open it takes %d MiB", usage.AvailBytes>>20, s.reserve/openingPart>>20)
	}
	note, err := verify(s.FS, s.dir)
	if err != nil || note == nil {
		return err
	}
	s.synced.note = *note
	return s.synced.open(s.FS, s.dir)
}

// keepNote begins the note of a log that has none.
func (s *space) keepNote() error {
	if s.synced.file != nil {
		return nil
	}
	return s.synced.open(s.FS, s.dir)
}

func (s *space) look() {
	usage, err := s.GetDiskUsage(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return // a full disk is noticed all the same, when a call meets it
	}
	s.told, s.free = true, usage.AvailBytes
	switch {
	case s.free < s.reserve:
		s.low = true
	case s.free >= s.reserve+s.slack:
		s.low = false
	}
	s.tell()
}

// tell sets the state anew and logs a change of it. The caller holds mu.
func (s *space) tell() {
	full := s.low || s.held > 0
	if full == s.full.Load() {
		return
	}
	s.full.Store(full)
	if full {
		s.logger.Error("event log: the disk is full, appends are refused until there is space", "free_bytes", s.free, "needed_bytes", s.reserve+s.slack)
	} else {
		s.logger.Info("event log: there is space on the disk again, appends are taken", "free_bytes", s.free)
	}
}

// waiting says whether a call waits for space.
func (s *space) waiting() bool {
	if !s.full.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held > 0
}

// refusal answers why appends are refused, or nil.
func (s *space) refusal() error {
	if !s.full.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := "disk full: a write found no space"
	if s.told {
		reason = fmt.Sprintf("disk full: free %d MiB, appends are taken again from %d MiB on", s.free>>20, (s.reserve+s.slack)>>20)
	}
	return &event.Refusal{Reason: reason}
}

// hold does what needs space, again and again while there is none. When the log is being
// closed the error goes through.
func (s *space) hold(do func() error) error {
	err := do()
	if !isFull(err) {
		return err
	}
	s.count(1)
	defer s.count(-1)
	for s.pause() {
		if err = do(); !isFull(err) {
			return err
		}
	}
	return err
}

func (s *space) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held += n
	s.tell()
}

// pause waits a moment, and answers false if the log is being closed.
func (s *space) pause() bool {
	t := time.NewTimer(s.every)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closing:
		return false
	}
}

// park stops the caller for ever. If Pebble were told that its own log, its manifest or
// its folder could not be written, it would end the process, at once or when it next goes
// on to another log. As it is it holds no lock that a read needs.
func (s *space) park(err error) {
	s.fail(err)
	s.stuckOnce.Do(func() { close(s.stuck) })
	select {}
}

func (s *space) isStuck() bool {
	select {
	case <-s.stuck:
		return true
	default:
		return false
	}
}
