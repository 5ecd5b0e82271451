package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Sizes of Pebble's own memory.
const (
	defaultCacheBytes = 64 << 20
	memTableBytes     = 32 << 20
	memTables         = 2 // one being filled, one being written out
	bloomBitsPerKey   = 10
)

// stuckPatience is how long Close waits for a Pebble that could not write its manifest.
const stuckPatience = time.Second

// slowDisk is how long a call of the file system may take before it is logged.
const slowDisk = 5 * time.Second

// Options of a log. Only Dir is required.
type Options struct {
	Dir        string // created if absent; locked while the log is open
	CacheBytes int64  // block cache, besides memTables * memTableBytes; 0 means 64 MiB
	// Uncompressed stores blocks as they are, so that a test may search the files.
	Uncompressed bool
	// ScavengeAfter is how long after an append a scavenge begins by itself; 0 means 10
	// minutes, less never.
	ScavengeAfter time.Duration

	FS     vfs.FS           // nil means the operating system's
	Logger *slog.Logger     // nil means slog.Default
	Now    func() time.Time // for Recorded.Created; nil means time.Now

	reserve *guard.Reserve // for tests; nil means the guard's own
}

// Log is an open event log. It implements commands.Store and is safe for use by many
// goroutines.
type Log struct {
	stored  layout.Reader // looks single things up in db
	db      *pebble.DB
	guard   *guard.FS
	lock    io.Closer // of the folder; nil if Pebble has it
	disk    io.Closer // of our own file system; nil if one was given
	logger  *slog.Logger
	now     func() time.Time
	durable watermark
	failure atomic.Pointer[error] // why the log is read-only

	// mu guards closed: held for reading while queue or db is used, so that Close can
	// wait for those who do.
	mu     sync.RWMutex
	ending atomic.Bool // set before mu is waited for
	closed bool
	queue  chan *request
	done   chan struct{} // the writer has ended
	broken atomic.Bool   // Pebble panicked inside a write

	links links

	scavenging chan struct{} // holds a token while a pass runs
	scavenged  sync.WaitGroup
	stop       context.CancelFunc // ends the scavenging
}

// Open opens or creates the log in a folder.
func Open(o Options) (*Log, error) {
	if o.Dir == "" {
		return nil, errors.New("open event log: no folder given")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{
		logger: o.Logger,
		now:    o.Now,
		queue:  make(chan *request, maxQueuedAppends),
		done:   make(chan struct{}),
		links:  links{counts: newGenerations[string, uint64](cachedLinkNames)},

		scavenging: make(chan struct{}, 1),
	}
	if o.FS == nil {
		o.FS, l.disk = vfs.WithDiskHealthChecks(vfs.Default, slowDisk, nil, func(info vfs.DiskSlowInfo) {
			o.Logger.Warn("event log: slow disk", "operation", info.OpType.String(), "duration", info.Duration)
		})
	}
	l.guard = guard.New(guard.Options{FS: o.FS, Dir: o.Dir, Name: "event log", Logger: o.Logger, Failed: l.fail, Reserve: o.reserve})
	o.FS = l.guard
	var w *writer
	err := l.openPebble(o)
	if err == nil {
		w, err = l.start(o)
	}
	if err != nil {
		l.guard.Stop()
		return nil, errors.Join(fmt.Errorf("open event log in %s: %w", o.Dir, err), l.release())
	}
	l.guard.Watch()
	go w.run()
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	if o.ScavengeAfter == 0 {
		o.ScavengeAfter = scavengeAfter
	}
	if o.ScavengeAfter > 0 {
		l.scavenged.Go(func() { l.scavenge(ctx, o.ScavengeAfter) })
	}
	return l, nil
}

// openPebble locks the folder, verifies what Pebble would not, and returns even where
// Pebble would not: it ends the process, or never comes back, where it cannot write its
// manifest.
func (l *Log) openPebble(o Options) error {
	po := pebbleOptions(o, l)
	if _, err := o.FS.Stat(o.Dir); err == nil { // else Pebble makes it, and syncs its parents
		lock, err := guard.Lock(o.FS, o.Dir)
		if err != nil {
			return err
		}
		l.lock, po.Lock = lock, lock
		if err := l.guard.Check(); err != nil {
			return err
		}
	}
	type opening struct {
		db  *pebble.DB
		err error
	}
	opened := make(chan opening, 1)
	go func() { // ends with Open, or with the process
		defer func() {
			if p := recover(); p != nil {
				opened <- opening{err: fmt.Errorf("pebble gave up: %v", p)}
			}
		}()
		db, err := pebble.Open(o.Dir, po)
		opened <- opening{db, guard.Damage(err)}
	}()
	select {
	case done := <-opened:
		l.db, l.stored = done.db, layout.Reader{DB: done.db}
		return done.err
	case <-l.guard.Stuck():
		return l.readOnly()
	}
}

// release closes Pebble and unlocks the folder, unless Pebble is stuck: then it is left as
// it stands, with its files.
func (l *Log) release() error {
	if l.guard.IsStuck() {
		return nil
	}
	var problems []error
	if l.db != nil {
		problems = append(problems, l.db.Close())
	}
	problems = append(problems, l.guard.Close())
	if l.lock != nil {
		problems = append(problems, l.lock.Close())
	}
	if l.disk != nil {
		problems = append(problems, l.disk.Close())
	}
	return errors.Join(problems...)
}

// start finds where the log ends. All of it is durable: what Pebble found in its own log
// may have been in the page cache only, if a process was killed between write and sync,
// but its Open returns when that is in synced tables (TestRecoveredEventsAreDurable).
func (l *Log) start(o Options) (*writer, error) {
	if err := l.guard.BeginNote(); err != nil {
		return nil, err
	}
	if err := l.checkFormat(); err != nil {
		return nil, err
	}
	if err := l.removeCheckpoints(); err != nil {
		return nil, err
	}
	w := newWriter(l, o.Now)
	last, err := w.recover()
	if err != nil {
		return nil, err
	}
	l.durable.advance(last)
	return w, nil
}

func (l *Log) checkFormat() error {
	value, closer, err := l.db.Get(layout.FormatKey)
	switch {
	case err == nil:
		defer closer.Close()
		return layout.KnownFormat(value)
	case !errors.Is(err, pebble.ErrNotFound):
		return fmt.Errorf("read the format: %w", err)
	}
	it, err := l.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("look for foreign keys: %w", err)
	}
	foreign := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("look for foreign keys: %w", err)
	}
	if foreign {
		return errors.New("the folder holds a Pebble database that is not an event log")
	}
	if err := l.db.Set(layout.FormatKey, []byte(layout.Format), pebble.Sync); err != nil {
		return fmt.Errorf("write the format: %w", err)
	}
	return nil
}

// Close ends subscriptions, finishes the appends that were accepted, and releases the
// folder. What waits for space on a full disk is given up. Later calls return
// event.ErrUnavailable; a second Close does nothing.
func (l *Log) Close() error {
	l.ending.Store(true)
	l.stop()
	l.guard.Stop()
	ended := make(chan error, 1)
	go func() { ended <- l.close() }() // ends, unless Pebble is stuck
	select {
	case err := <-ended:
		return err
	case <-l.guard.Stuck():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(stuckPatience):
		return fmt.Errorf("close event log: %w", l.readOnly())
	}
}

func (l *Log) close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	<-l.done
	l.scavenged.Wait()
	l.durable.advance(l.durable.at())
	if l.broken.Load() || l.guard.IsStuck() {
		// Pebble holds locks for ever and cannot be closed. The end of the process
		// releases the folder.
		return fmt.Errorf("close event log: %w", l.readOnly())
	}
	if err := l.release(); err != nil {
		return fmt.Errorf("close event log: %w", err)
	}
	return nil
}

// Healthy returns nil if the log takes appends, else an error that wraps
// event.ErrUnavailable and the reason (*event.Refusal).
func (l *Log) Healthy() error {
	if l.ending.Load() {
		return errClosed
	}
	return l.refusal()
}

// Last returns the position up to which everything is durable; 0 if there is nothing.
func (l *Log) Last() event.Position { return l.durable.at() }

var errClosed = fmt.Errorf("%w: event log is closed", event.ErrUnavailable)

// enter keeps the log open until leave.
func (l *Log) enter() error {
	if l.ending.Load() {
		return errClosed
	}
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return errClosed
	}
	return nil
}

func (l *Log) leave() { l.mu.RUnlock() }

// fail makes the log read-only. The first reason stays.
func (l *Log) fail(cause error) {
	err := error(&event.Refusal{Reason: "event log is read-only since a write failed; restart it when the disk is mended", Cause: cause})
	if l.failure.CompareAndSwap(nil, &err) {
		l.logger.Error("event log became read-only: a write failed, nothing more is acknowledged", "cause", cause)
	}
}

// readOnly returns why the log takes nothing more until it is opened anew, or nil.
func (l *Log) readOnly() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// refusal returns why appends are refused, for good or while the disk is full, or nil.
func (l *Log) refusal() error {
	if err := l.readOnly(); err != nil {
		return err
	}
	return l.full()
}

// full returns why appends are refused while the disk is full, or nil.
func (l *Log) full() error {
	if err := l.guard.Full(); err != nil {
		return &event.Refusal{Reason: err.Error()}
	}
	return nil
}

// refuses is refusal, but for what gives space back: that goes on below the reserve.
func (l *Log) refuses(r *request) error {
	if r.does != removes {
		return l.refusal()
	}
	if err := l.readOnly(); err != nil {
		return err
	}
	if l.guard.Waiting() {
		return l.full()
	}
	return nil
}

func pebbleOptions(o Options, l *Log) *pebble.Options {
	po := &pebble.Options{
		FS:                 o.FS,
		Logger:             pebbleLogger{l},
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          o.CacheBytes,
		MemTableSize:       memTableBytes,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { o.Logger.Warn("event log: background work failed", "error", err) },
			// The read that met it gets the error; Pebble's default would end the process.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				o.Logger.Error("event log: corrupt file", "path", info.Path, "error", info.Details)
			},
		},
	}
	if po.CacheSize == 0 {
		po.CacheSize = defaultCacheBytes
	}
	po.CacheSize += memTables * memTableBytes // Pebble takes them from it
	po.Experimental.SpanPolicyFunc = spaceOf
	for i := range po.Levels {
		// Most appends create their stream: the filter spares looking for its head, on
		// the last level too (writer.head).
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		if o.Uncompressed {
			po.Levels[i].Compression = func() *block.CompressionProfile { return block.NoCompression }
		}
	}
	return po
}

// spaceOf keeps each key space in tables of its own: the events, whose keys only rise, then
// move down the levels as they are instead of being merged with the streams' keys, which
// come in any order.
func spaceOf(key []byte) (pebble.SpanPolicy, []byte, error) {
	return pebble.SpanPolicy{}, []byte{key[0] + 1}, nil
}

// pebbleLogger passes on what an operator can use. Pebble's chatter about flushes and
// compactions is dropped.
type pebbleLogger struct{ log *Log }

func (pebbleLogger) Infof(string, ...any) {}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.log.logger.Error("event log: pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble cannot go on after it, with locks held. To end the
// process is safe, since everything acknowledged is on disk, and leaves no half-alive
// store behind.
func (p pebbleLogger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	p.log.fail(errors.New(message))
	panic("event log: pebble cannot go on: " + message)
}
