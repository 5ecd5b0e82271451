package deadlines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands/storetest/memory"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
)

var quiet = slog.New(slog.DiscardHandler)

func codec(t testing.TB) *event.Codec {
	t.Helper()
	c, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fired notes what a service fires, and when.
type fired struct {
	mu    sync.Mutex
	times map[string][]time.Time // by notification
	early []string
	fail  func(deadline.DeadlineSet) error
}

func (f *fired) fire(_ context.Context, d deadline.DeadlineSet) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(d); err != nil {
			return err
		}
	}
	if time.Now().Before(d.At) {
		f.early = append(f.early, d.Notification)
	}
	if f.times == nil {
		f.times = map[string][]time.Time{}
	}
	f.times[d.Notification] = append(f.times[d.Notification], time.Now())
	return nil
}

func (f *fired) all() map[string][]time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.times)
}

// begin runs a service until the test, or stop, ends it.
func begin(t *testing.T, store *memory.Store, f *fired, limit int) (s *Service, stop func()) {
	t.Helper()
	s = New(store, codec(t), time.Now, quiet, f.fire)
	if limit > 0 {
		s.limit = limit
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	synctest.Wait()
	return s, stop
}

func set(t *testing.T, w *Writer, in time.Duration, names ...string) {
	t.Helper()
	var ds []deadline.DeadlineSet
	for _, n := range names {
		ds = append(ds, deadline.DeadlineSet{At: time.Now().Add(in), Notification: n, Attempt: 1})
	}
	if err := w.Set(t.Context(), ds...); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

func TestFiresOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fired{}
		s, stop := begin(t, &memory.Store{}, f, 0)
		start := time.Now()
		waits := []time.Duration{
			-time.Hour, 0, time.Nanosecond, 1500 * time.Microsecond, time.Second, 59 * time.Second, 61 * time.Second,
			10 * time.Minute, 5 * time.Hour, 3 * 24 * time.Hour,
		}
		for _, in := range waits {
			set(t, s.Writer, in, in.String())
		}
		for _, in := range waits {
			if at := start.Add(in); time.Now().Before(at) {
				time.Sleep(time.Until(at))
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			got := f.all()[in.String()]
			if len(got) != 1 {
				t.Fatalf("in %v: fired %d times", in, len(got))
			}
			if late := got[0].Sub(start.Add(max(in, 0))); late < 0 || late > time.Millisecond {
				t.Errorf("in %v: fired %v late", in, late)
			}
		}
		if len(f.early) > 0 {
			t.Errorf("fired before their time: %v", f.early)
		}
		stop()
		if err := s.Set(t.Context(), deadline.DeadlineSet{At: time.Now(), Notification: "n"}); !errors.Is(err, ErrEnded) {
			t.Errorf("Set after the end: %v, want ErrEnded", err)
		}
	})
}

func TestIdleAppendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		s, _ := begin(t, store, &fired{}, 0)
		set(t, s.Writer, time.Second, "a", "b", "c", "d", "e")
		set(t, s.Writer, 30*24*time.Hour, "far")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		before := len(store.All())
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if after := len(store.All()); after != before {
			t.Errorf("an idle service appended %d events", after-before)
		}
		for _, e := range store.All() {
			if e.Type == closedName && e.Revision == 0 {
				t.Errorf("an empty bucket was written: %s", e.Stream)
			}
		}
	})
}

// TestFarFutureTakesNoMemory: what is far away stands in the store alone.
func TestFarFutureTakesNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fired{}
		s, _ := begin(t, &memory.Store{}, f, 0)
		for i := range 300 {
			set(t, s.Writer, 24*time.Hour+time.Duration(i)*time.Minute, fmt.Sprint(i))
		}
		synctest.Wait()
		s.mu.Lock()
		held := s.schedule.held()
		s.mu.Unlock()
		if held != 0 {
			t.Errorf("%d far deadlines are held", held)
		}
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if len(f.all()) != 300 {
			t.Errorf("%d of 300 fired", len(f.all()))
		}
	})
}

// TestLargeMinute: of a minute that holds many more deadlines than the limit, only a
// bounded part is in memory, whether they were there before or come while it is near.
func TestLargeMinute(t *testing.T) {
	const limit, many = 20, 1500
	for _, when := range []string{"set before", "set live", "found after a long stop"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, f := &memory.Store{}, &fired{}
				most := 0
				s, stop := begin(t, store, f, limit)
				f.fail = func(deadline.DeadlineSet) error { return nil }
				in := 10 * time.Minute
				if when == "set live" {
					in = 65 * time.Second
				}
				for i := range many {
					// In one shard, and in no order.
					d := deadline.DeadlineSet{At: time.Now().Add(in + time.Duration(i*7919%many)*20*time.Millisecond), Notification: "n", Attempt: i + 1}
					if when == "found after a long stop" {
						d.At = d.At.Add(time.Duration(i%9) * time.Minute)
					}
					if err := s.Set(t.Context(), d); err != nil {
						t.Fatal(err)
					}
				}
				if when == "found after a long stop" {
					stop()
					time.Sleep(time.Hour)
					s, _ = begin(t, store, f, limit)
				}
				for range 2000 {
					time.Sleep(500 * time.Millisecond)
					synctest.Wait()
					s.mu.Lock()
					most = max(most, s.schedule.held())
					s.mu.Unlock()
				}
				if got := len(f.all()["n"]); got < many || len(f.early) > 0 {
					t.Errorf("%d of %d fired, %d early", got, many, len(f.early))
				}
				if most > 4*limit {
					t.Errorf("up to %d deadlines held, the limit of one read is %d", most, limit)
				}
			})
		})
	}
}

// TestLateLandsInAPassedMinute: a deadline that was computed long before it is written
// fires, also if the service ends as it comes.
func TestLateLandsInAPassedMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		s, stop := begin(t, store, f, 0)
		set(t, s.Writer, time.Second, "first") // so that there is a checkpoint past it
		time.Sleep(5 * time.Minute)
		stop()
		w := NewWriter(store, codec(t), time.Now)
		for _, d := range []deadline.DeadlineSet{
			{At: time.Now().Add(-3*time.Minute - 10*time.Second), Notification: "in an unwritten bucket"},
			{At: time.Now().Add(-5*time.Minute + time.Second), Notification: "first", Attempt: 2}, // in a closed one
		} {
			if err := w.SetNow(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		_, stop = begin(t, store, f, 0)
		time.Sleep(2 * time.Second)
		stop()
		got := f.all()
		if len(got["in an unwritten bucket"]) == 0 || len(got["first"]) < 2 {
			t.Errorf("late deadlines are lost: %d and %d fired", len(got["in an unwritten bucket"]), len(got["first"])-1)
		}
		closed := map[string]bool{}
		for _, e := range store.All() {
			if bucket, ok := strings.CutPrefix(e.Stream, event.MetadataPrefix); ok && closed[bucket] {
				closed[bucket] = false // discarded: as if it had never been
				continue
			}
			if closed[e.Stream] {
				t.Errorf("%s was written after it was closed", e.Stream)
			}
			closed[e.Stream] = e.Type == closedName
		}
		for bucket, is := range closed {
			if is {
				t.Errorf("%s was closed and not discarded", bucket)
			}
		}
	})
}

// TestEqualDeadlinesFireOnce: copies of one deadline are one, wherever they stand.
func TestEqualDeadlinesFireOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		var given []bool
		f.fail = func(d deadline.DeadlineSet) error {
			given = append(given, d.GivenBack)
			return nil
		}
		s, _ := begin(t, store, f, 0)
		at := time.Now().Add(30 * time.Second)
		for _, d := range []deadline.DeadlineSet{
			{At: at, Notification: "n", Attempt: 1, GivenBack: true}, {At: at, Notification: "n", Attempt: 1},
			{At: at, Notification: "n", Attempt: 1, GivenBack: true}, {At: at, Notification: "n", Attempt: 2, GivenBack: true},
		} {
			if err := s.Set(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(given) != 2 || given[0] == given[1] {
			t.Errorf("fired with GivenBack %v, want one of each attempt, the first one as a watchdog", given)
		}
		for _, e := range store.All() {
			if e.Type == closedName {
				return
			}
		}
		t.Error("the bucket was not closed")
	})
}

// TestFiresAgain: what failed is fired until it succeeds, and its bucket stays open
// until then.
func TestFiresAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		broken, tries := true, 0
		f.fail = func(deadline.DeadlineSet) error {
			if tries++; broken {
				return event.ErrUnavailable
			}
			return nil
		}
		s, stop := begin(t, store, f, 0)
		set(t, s.Writer, time.Second, "n")
		time.Sleep(5 * time.Minute)
		stop()
		s, _ = begin(t, store, f, 0)
		set(t, s.Writer, time.Hour, "other")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range store.All() {
			if e.Type == closedName {
				t.Fatalf("%s was closed over an open deadline", e.Stream)
			}
		}
		f.mu.Lock()
		broken = false
		f.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(f.all()["n"]) != 1 || tries < 10 {
			t.Errorf("fired %d times after %d tries", len(f.all()["n"]), tries)
		}
	})
}

// TestFailingHoldNothingUp: more deadlines that fail than are fired side by side do not
// keep the others waiting.
func TestFailingHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		f.fail = func(d deadline.DeadlineSet) error {
			if d.Notification != "good" {
				return event.ErrUnavailable
			}
			return nil
		}
		s, stop := begin(t, store, f, 0)
		for i := range 3 * firing {
			set(t, s.Writer, time.Second, fmt.Sprintf("bad-%d", i))
		}
		set(t, s.Writer, time.Minute, "good")
		due := time.Now().Add(time.Minute)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if times := f.all()["good"]; len(times) != 1 || times[0].Sub(due) > maxSleep {
			t.Errorf("fired at %v, due at %v", times, due)
		}
		stop()
	})
}

// TestStoreFaults: appends of unknown outcome and lost subscriptions lose nothing.
func TestStoreFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, reads := 0, 0
		store, f := &memory.Store{}, &fired{}
		var mu sync.Mutex
		store.AppendFault = func(string, []event.New) (error, bool) {
			mu.Lock()
			defer mu.Unlock()
			switch n++; n % 7 {
			case 3:
				return event.ErrUnknownOutcome, true
			case 5:
				return event.ErrUnknownOutcome, false
			}
			return nil, false
		}
		store.ReadFault = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if reads++; reads%97 == 0 {
				return errors.New("subscription lost")
			}
			return nil
		}
		s, _ := begin(t, store, f, 0)
		for i := range 200 {
			set(t, s.Writer, time.Duration(i)*time.Second, fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := len(f.all()); got != 200 || len(f.early) > 0 {
			t.Errorf("%d of 200 fired, %d early", got, len(f.early))
		}
	})
}

// TestRivals: two writers and callers side by side, each deadline in a bucket once.
func TestRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		s, _ := begin(t, store, f, 0)
		ctx, cancel := context.WithCancel(t.Context())
		other := NewWriter(store, codec(t), time.Now)
		var running, callers sync.WaitGroup
		running.Go(func() { other.run(ctx) })
		for i := range 64 {
			w := s.Writer
			if i%2 == 0 {
				w = other
			}
			callers.Go(func() {
				for j := range 10 {
					set(t, w, time.Duration(j)*time.Second, fmt.Sprintf("%d-%d", i, j))
				}
			})
		}
		callers.Wait()
		cancel()
		running.Wait()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(f.all()) != 640 {
			t.Errorf("%d of 640 fired", len(f.all()))
		}
		seen := map[string]bool{}
		for _, e := range store.All() {
			if strings.HasPrefix(e.Stream, deadline.StreamPrefix) && seen[e.ID] {
				t.Errorf("%s stands twice", e.ID)
			}
			seen[e.ID] = true
		}
	})
}

func TestLiveOnceCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		s := New(store, codec(t), time.Now, quiet, (&fired{}).fire)
		if s.Live() {
			t.Error("live before it began")
		}
		s, _ = begin(t, store, &fired{}, 0)
		if !s.Live() {
			t.Error("not live though there is nothing to catch up with")
		}
	})
}

// TestCheckpointHoldsBackWhatIsOpen: a checkpoint never passes a deadline that was not
// fired.
func TestCheckpointHoldsBackWhatIsOpen(t *testing.T) {
	late := item{DeadlineSet: deadline.DeadlineSet{Notification: "late"}, bucket: key{90, 0}}
	s := newSchedule(80, 10)
	for range 40 * Shards {
		k, _, ok := s.wanted(100, 119)
		if !ok {
			t.Fatal("nothing wanted")
		}
		s.loaded(k, newSlice(10, nil), event.NoStream(), false)
	}
	if at := s.advance(100); at != 100 {
		t.Fatalf("advanced to %d, want 100", at)
	}
	seen := event.Position(50)
	if at := s.after(&seen); at == nil || *at != 50 {
		t.Errorf("nothing is open, and a start is shown what came after %v", at)
	}
	s.add(late, 47)
	if at := s.after(&seen); at == nil || *at != 46 {
		t.Errorf("a start is shown what came after %v, and the open one stands at 47", at)
	}
	it, ok := s.pop(time.Now())
	if !ok {
		t.Fatal("the late one is not due")
	}
	s.done(it)
	if !s.mayClose(late.bucket, 100) {
		t.Fatal("its bucket cannot be closed")
	}
	s.closed(late.bucket)
	if at := s.after(&seen); at == nil || *at != 50 {
		t.Errorf("all is done, and a start is shown what came after %v", at)
	}
	s.add(late, 0)
	if at := s.after(&seen); at != nil {
		t.Errorf("a start is shown what came after %d, and the open one stands at 0", *at)
	}
}
