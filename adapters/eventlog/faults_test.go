package eventlog

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// TestNothingShownBeforeItsSync holds up the sync of an append and looks at it in every
// way there is.
func TestNothingShownBeforeItsSync(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log := openOn(t, d)
	first, second, third := someEvents(1), someEvents(2), someEvents(1)
	mustAppend(t, log, "a", event.NoStream(), first...)
	mustAppend(t, log, "other", event.NoStream(), someEvents(1)...)

	shown, subscribed := make(chan event.Recorded, 16), make(chan struct{})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- log.Subscribe(ctx, event.Subscription{}, event.Handler{
			Event:    func(e event.Recorded) error { shown <- e; return nil },
			CaughtUp: func(event.Position) error { close(subscribed); return nil },
		})
	}()
	receive(t, "catching up", subscribed)
	before := log.Last()
	for range 2 {
		receive(t, "event", shown)
	}

	release := d.hold()
	defer release()
	held := appendAsync(t.Context(), log, "a", event.Exact(0), second)
	receive(t, "held sync", d.waiting)

	// Pebble itself shows it, a moment after its sync began: without the watermark it
	// would be seen.
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, closer, err := log.db.Get(layout.AppendPositionKey(nil, before+1))
		if err == nil {
			_ = closer.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the held event is not even in Pebble, the test tests nothing: %v", err)
		}
		runtime.Gosched()
	}
	// What builds upon it is held up too.
	pending := map[string]<-chan outcome{
		"repeated":        appendAsync(t.Context(), log, "a", event.Exact(0), second),
		"repeated by any": appendAsync(t.Context(), log, "a", event.Any(), second),
		"wrong version":   appendAsync(t.Context(), log, "a", event.Exact(0), someEvents(1)),
		"wrong no stream": appendAsync(t.Context(), log, "a", event.NoStream(), someEvents(1)),
		"next":            appendAsync(t.Context(), log, "a", event.Exact(2), third),
		"new stream":      appendAsync(t.Context(), log, "b", event.NoStream(), someEvents(1)),
	}
	// The result covers durable events alone.
	if _, err := log.Append(t.Context(), "other", event.Exact(7), someEvents(1)); !errors.Is(err, event.ErrWrongVersion) {
		t.Errorf("wrong version of another stream: %v", err)
	}
	if got := mustAppend(t, log, "a", event.NoStream(), first...); got.Revision != 0 {
		t.Errorf("repetition of a durable append: %+v", got)
	}
	for _, direction := range []event.Direction{event.Forwards, event.Backwards} {
		if n := len(streamOf(t, log, "a", direction)); n != 1 {
			t.Errorf("direction %d: stream shows %d events before the sync, want 1", direction, n)
		}
		if n := len(streamOf(t, log, "b", direction)); n != 0 {
			t.Errorf("direction %d: new stream shows %d events before the sync", direction, n)
		}
	}
	if n := len(allOf(t, log)); n != 2 {
		t.Errorf("$all shows %d events before the sync, want 2", n)
	}
	backwards := 0
	if err := log.ReadAll(t.Context(), event.AllRead{From: event.PositionEnd, Direction: event.Backwards}, func(event.Recorded) error { backwards++; return nil }); err != nil || backwards != 2 {
		t.Errorf("$all backwards shows %d events before the sync, want 2 (%v)", backwards, err)
	}
	image := d.mem.CrashClone(vfs.CrashCloneCfg{})
	// Time for a wrong reply to arrive; a right one never does while the sync is held.
	select {
	case e := <-shown:
		t.Errorf("subscription shows %s@%d before the sync", e.Stream, e.Revision)
	case o := <-held:
		t.Errorf("append replied before its sync: %+v", o)
	case <-time.After(100 * time.Millisecond):
	}
	for name, c := range pending {
		select {
		case o := <-c:
			t.Errorf("%s replied before the sync it depends on: %+v", name, o)
		default:
		}
	}
	if log.Last() != before {
		t.Errorf("watermark moved from %d to %d before the sync", before, log.Last())
	}

	release()
	b := receive(t, "reply", held)
	if b.err != nil || b.appended.Revision != 2 {
		t.Errorf("append after its sync: %+v", b)
	}
	for name, c := range pending {
		o := receive(t, name, c)
		switch name {
		case "repeated", "repeated by any":
			if o.err != nil || o.appended != b.appended {
				t.Errorf("%s: %+v, want %+v", name, o, b)
			}
		case "wrong version", "wrong no stream":
			if !errors.Is(o.err, event.ErrWrongVersion) {
				t.Errorf("%s: %+v", name, o)
			}
		default:
			if o.err != nil {
				t.Errorf("%s: %v", name, o.err)
			}
		}
	}
	for range 4 {
		receive(t, "event after the sync", shown)
	}
	cancel()
	if err := receive(t, "end of the subscription", ended); err != nil {
		t.Errorf("subscription: %v", err)
	}
	// And it was right not to show it: a crash then would have lost it.
	if n := len(allOf(t, openOn(t, image))); n != 2 {
		t.Errorf("after a crash before the sync: %d events, want 2", n)
	}
}

// TestRecoveredEventsAreDurable opens the files of a log whose process was killed
// between write and sync: what the new one shows must survive a crash of the machine.
func TestRecoveredEventsAreDurable(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log := openSmall(t, d, guard.Reserve{Every: time.Hour}) // it does nothing more once it is killed
	mustAppend(t, log, "a", event.NoStream(), someEvents(1)...)
	release := d.hold()
	held := appendAsync(t.Context(), log, "a", event.Exact(0), someEvents(3))
	receive(t, "held sync", d.waiting)

	// Tables are slow to write, so that it matters whether Open waits for them.
	second := openOn(t, errorfs.Wrap(unlocked{d.mem}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			time.Sleep(200 * time.Millisecond)
		}
		return nil
	})))
	shown := allOf(t, second)
	if len(shown) != 4 {
		t.Fatalf("the second process finds %d events, want 4: the test tests nothing", len(shown))
	}
	image := d.mem.CrashClone(vfs.CrashCloneCfg{})
	if n := len(allOf(t, openOn(t, image))); n != len(shown) {
		t.Errorf("%d events shown, %d left after a crash", len(shown), n)
	}
	release()
	receive(t, "reply", held)
}

// unlocked stands for a killed process, whose lock the system has released.
type unlocked struct{ vfs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func TestFailedSync(t *testing.T) {
	if !inChild() {
		apart(t)
		return
	}
	d := newDisk(vfs.NewCrashableMem())
	log := openOn(t, d)
	first := someEvents(2)
	mustAppend(t, log, "a", event.NoStream(), first...)
	release := d.hold()
	defer release()
	inFlight := appendAsync(t.Context(), log, "a", event.Exact(1), someEvents(1))
	receive(t, "held sync", d.waiting)
	wrong := appendAsync(t.Context(), log, "a", event.Exact(0), someEvents(1))
	after := appendAsync(t.Context(), log, "b", event.NoStream(), someEvents(1))
	// Both are in the next batch, or in the queue before it.
	brokenSync := errors.New("input/output error")
	d.breakWith(brokenSync)
	release()

	if o := receive(t, "reply", inFlight); !errors.Is(o.err, event.ErrUnknownOutcome) {
		t.Errorf("append whose sync failed: %+v, want event.ErrUnknownOutcome", o)
	}
	for name, c := range map[string]<-chan outcome{"wrong version on top": wrong, "other stream": after} {
		if o := receive(t, name, c); !errors.Is(o.err, event.ErrUnavailable) {
			t.Errorf("%s: %+v, want event.ErrUnavailable", name, o)
		}
	}
	for range 3 {
		if _, err := log.Append(t.Context(), "c", event.Any(), someEvents(1)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("append after a failed sync: %v, want event.ErrUnavailable", err)
		}
	}
	if err := log.Healthy(); !errors.Is(err, event.ErrUnavailable) || !errors.Is(err, brokenSync) {
		t.Errorf("healthy after a failed sync: %v", err)
	}
	if got := allOf(t, log); len(got) != 2 {
		t.Errorf("%d events shown after a failed sync, want the 2 before it", len(got))
	}
	if err := log.Close(); !errors.Is(err, brokenSync) {
		t.Errorf("close: %v", err)
	}

	again := openOn(t, d.mem.CrashClone(vfs.CrashCloneCfg{}))
	if err := again.Healthy(); err != nil {
		t.Errorf("after reopening: %v", err)
	}
	if got := streamOf(t, again, "a", event.Forwards); len(got) < 2 || got[0].ID != first[0].ID || got[1].ID != first[1].ID {
		t.Errorf("after reopening: %d events in the stream, the acknowledged ones missing", len(got))
	}
	mustAppend(t, again, "a", event.Any(), someEvents(1)...)
}

// TestContextEndsInFlight: once the writer took an append, the end of its context
// leaves its outcome open, and repeating it tells.
func TestContextEndsInFlight(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log := openOn(t, d)
	events := someEvents(1)
	release := d.hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	held := appendAsync(ctx, log, "a", event.NoStream(), events)
	receive(t, "held sync", d.waiting)
	cancel()
	if o := receive(t, "reply", held); !errors.Is(o.err, event.ErrUnknownOutcome) || !errors.Is(o.err, context.Canceled) {
		t.Errorf("ended in flight: %+v", o)
	}
	repeated := appendAsync(t.Context(), log, "a", event.NoStream(), events)
	release()
	if o := receive(t, "reply", repeated); o.err != nil || o.appended.Revision != 0 {
		t.Errorf("repeated: %+v", o)
	}
	if n := len(allOf(t, log)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// TestCloseFinishesWhatItTook: appends accepted before Close return as written.
func TestCloseFinishesWhatItTook(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log := openOn(t, d)
	subscription := make(chan error, 1)
	caughtUp := make(chan struct{})
	go func() {
		subscription <- log.Subscribe(t.Context(), event.Subscription{}, event.Handler{
			CaughtUp: func(event.Position) error { close(caughtUp); return nil },
		})
	}()
	receive(t, "catching up", caughtUp)
	release := d.hold()
	held := appendAsync(t.Context(), log, "a", event.NoStream(), someEvents(1))
	receive(t, "held sync", d.waiting)
	closed := make(chan error, 1)
	go func() { closed <- log.Close() }()
	for log.Healthy() == nil {
		time.Sleep(time.Millisecond)
	}
	release()
	if o := receive(t, "reply", held); o.err != nil {
		t.Errorf("append taken before Close: %v", o.err)
	}
	if err := receive(t, "close", closed); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := receive(t, "end of the subscription", subscription); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("subscription of a closed log ended with %v", err)
	}
	if _, err := log.Append(t.Context(), "a", event.Any(), someEvents(1)); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("append to a closed log: %v", err)
	}
	if err := log.ReadAll(t.Context(), event.AllRead{}, nil); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("read of a closed log: %v", err)
	}
	if n := len(allOf(t, openOn(t, d))); n != 1 {
		t.Errorf("%d events after reopening, want 1", n)
	}
}

func TestIdleLogWritesNothing(t *testing.T) {
	d := newDisk(vfs.NewCrashableMem())
	log := openSmall(t, d, guard.Reserve{Every: 5 * time.Millisecond})
	mustAppend(t, log, "a", event.NoStream(), someEvents(1)...)
	// The one write that follows an append: how far the files were synced.
	if err := log.guard.SaveNote(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // forty looks of the guard
	defer cancel()
	before := d.writes.Load()
	if err := log.Subscribe(ctx, event.Subscription{}, event.Handler{}); err != nil { // follows for a while
		t.Fatal(err)
	}
	if n := d.writes.Load() - before; n != 0 {
		t.Errorf("%d writes of an idle log", n)
	}
}
