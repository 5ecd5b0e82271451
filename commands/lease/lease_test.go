package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands/lease"
	"recapito/commands/storetest/memory"
	"recapito/domain/event"
	domain "recapito/domain/lease"
)

// job is work that two instances could do: done follows wanted while somebody works.
type job struct {
	mu           sync.Mutex
	wanted, done uint64
	stuck        bool
	dead         map[string]bool // they hold, and do nothing
	working      map[string]bool
}

func (j *job) waiting(context.Context) (uint64, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done, j.done < j.wanted, nil
}

func (j *job) set(change func(*job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
}

func (j *job) finished() (n uint64) {
	j.set(func(j *job) { n = j.done })
	return n
}

func (j *job) do(name string) func(context.Context) {
	return func(ctx context.Context) {
		j.set(func(j *job) { j.working[name] = true })
		defer j.set(func(j *job) { delete(j.working, name) })
		for ctx.Err() == nil {
			j.set(func(j *job) {
				if !j.dead[name] && !j.stuck {
					j.done = j.wanted
				}
			})
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

type world struct {
	t     *testing.T
	store *memory.Store
	job   *job
}

func newWorld(t *testing.T) *world {
	return &world{t, &memory.Store{}, &job{dead: map[string]bool{}, working: map[string]bool{}}}
}

// start runs an instance; the answer stops it and waits.
func (w *world) start(name, holder string) (*lease.Lease, func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	l := lease.New(w.store, "job", holder, slog.New(slog.DiscardHandler))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Hold(ctx, w.job.waiting, w.job.do(name))
	}()
	return l, func() { cancel(); <-ended }
}

func (w *world) after(d time.Duration, working string) {
	w.t.Helper()
	sleep(d)
	w.job.mu.Lock()
	defer w.job.mu.Unlock()
	if !w.job.working[working] || len(w.job.working) != 1 {
		w.t.Fatalf("after %s %v work, want %s", d, w.job.working, working)
	}
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) history() (told []string) {
	err := w.store.ReadAll(w.t.Context(), event.AllRead{Filter: event.Filter{StreamPrefixes: []string{domain.Stream("job")}}}, func(e event.Recorded) error {
		told = append(told, fmt.Sprintf("%s %s", e.Type, e.Data))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return told
}

func TestOneWorksUntilItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, stopA := w.start("a", "A")
		w.after(2*time.Second, "a")
		b, stopB := w.start("b", "B")
		w.job.set(func(j *job) { j.wanted = 5 })
		w.after(time.Hour, "a") // work is being done, then there is none
		if w.job.finished() != 5 || !a.Held() || b.Held() {
			t.Fatal("the holder does not do the work")
		}
		stopA()
		w.after(2*time.Second, "b") // at once
		stopB()
		want := []string{
			`LeaseTaken {"holder":"A","epoch":1}`, `LeaseReleased {"holder":"A","epoch":1}`,
			`LeaseTaken {"holder":"B","epoch":2}`, `LeaseReleased {"holder":"B","epoch":2}`,
		}
		if diff := cmp.Diff(want, w.history()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWorkThatWaitsIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stopA := w.start("a", "A")
		defer stopA()
		w.after(2*time.Second, "a")
		_, stopB := w.start("b", "B")
		defer stopB()
		w.job.set(func(j *job) { j.dead["a"] = true })
		w.after(time.Hour, "a") // there is no work: no one can tell
		w.job.set(func(j *job) { j.wanted = 1 })
		w.after(9*time.Second, "a")
		w.after(4*time.Second, "b")
		if w.job.finished() != 1 {
			t.Fatal("the rival does not do the work")
		}
		w.job.set(func(j *job) { j.dead["a"] = false })
		w.job.set(func(j *job) { j.wanted = 2 })
		w.after(time.Hour, "b") // what was lost is not taken back
	})
}

// Where no one can work, the lease goes from hand to hand, more and more rarely.
func TestWorkThatNobodyCanDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stopA := w.start("a", "A")
		defer stopA()
		w.after(2*time.Second, "a")
		_, stopB := w.start("b", "B")
		defer stopB()
		w.job.set(func(j *job) { j.stuck, j.wanted = true, 1 })
		sleep(6 * time.Hour)
		if n := len(w.history()); n < 50 || n > 100 {
			t.Errorf("%d events in six hours", n)
		}
		w.job.set(func(j *job) { j.stuck = false })
		sleep(time.Minute)
		if w.job.finished() != 1 {
			t.Error("what is possible again is not done")
		}
		w.job.set(func(j *job) { j.dead["a"], j.dead["b"] = j.working["a"], j.working["b"] })
		sleep(time.Minute)
		w.job.set(func(j *job) { j.wanted = 2 })
		sleep(15 * time.Second)
		if w.job.finished() != 2 {
			t.Error("after that a rival is patient for too long")
		}
	})
}

// After a crash an instance has its own leases at once: its id says so.
func TestStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.AppendFault = func(_ string, events []event.New) (error, bool) {
			if events[0].Type == "LeaseReleased" { // crashed
				return event.ErrUnavailable, false
			}
			return nil, false
		}
		_, crash := w.start("a", "A")
		w.after(2*time.Second, "a")
		crash()
		_, stopB := w.start("b", "B")
		defer stopB()
		_, stopA := w.start("a2", "A")
		defer stopA()
		w.after(2*time.Second, "a2")
		want := []string{`LeaseTaken {"holder":"A","epoch":1}`, `LeaseTaken {"holder":"A","epoch":2}`}
		if diff := cmp.Diff(want, w.history()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, stopA := w.start("a", "A")
		defer stopA()
		w.after(2*time.Second, "a")
		b, stopB := w.start("b", "B")
		defer stopB()
		b.Claim()
		w.after(2*time.Second, "b")
		b.Claim() // it is held
		w.after(time.Hour, "b")
		a.Claim()
		w.after(2*time.Second, "a")
	})
}

// While the store is away no one is taken for dead; a taking that was written without
// an answer counts.
func TestTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var away atomic.Bool
		w.store.ReadFault = func(string) error {
			if away.Load() {
				return errors.New("away")
			}
			return nil
		}
		lost := true
		w.store.AppendFault = func(string, []event.New) (error, bool) {
			if lost {
				lost = false
				return event.ErrUnknownOutcome, true
			}
			return nil, false
		}
		_, stopA := w.start("a", "A")
		defer stopA()
		w.after(3*time.Second, "a")
		_, stopB := w.start("b", "B")
		defer stopB()
		w.job.set(func(j *job) { j.dead["a"] = true })
		w.job.set(func(j *job) { j.wanted = 1 })
		sleep(8 * time.Second)
		away.Store(true)
		w.after(time.Minute, "a")
		away.Store(false)
		w.after(8*time.Second, "a")
		w.after(5*time.Second, "b")
	})
}
