package deadlines

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands"
	"recapito/commands/lease"
	"recapito/commands/storetest/memory"
	"recapito/domain/deadline"
	"recapito/domain/event"
)

// severable is the store as one instance has it, until it is cut off.
type severable struct {
	commands.Store
	cut atomic.Bool
}

var errCut = errors.New("cut off")

func (s *severable) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if s.cut.Load() {
		return event.Appended{}, errCut
	}
	return s.Store.Append(ctx, stream, expected, events)
}

func (s *severable) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if s.cut.Load() {
		return errCut
	}
	return s.Store.ReadStream(ctx, read, visit)
}

// process is one of several instances.
type process struct {
	*Service
	store  *severable
	cancel func()
	done   chan struct{}
}

func beginProcess(t *testing.T, store *memory.Store, holder string, f *fired) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{store: &severable{Store: store}, cancel: cancel, done: make(chan struct{})}
	p.Service = New(p.store, codec(t), time.Now, quiet, func(ctx context.Context, d deadline.DeadlineSet) error {
		if p.store.cut.Load() {
			return errCut
		}
		return f.fire(ctx, d)
	})
	p.Lease = lease.New(p.store, "deadlines", holder, quiet)
	go func() {
		defer close(p.done)
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(p.end)
	return p
}

func (p *process) end() { p.cancel(); <-p.done }

// kill ends it without a word.
func (p *process) kill() {
	p.store.cut.Store(true)
	p.end()
}

// One of two instances fires; when it is killed the other does, within seconds.
func TestTheRivalOfADeadHolderFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, f := &memory.Store{}, &fired{}
		first := beginProcess(t, store, "first", f)
		time.Sleep(2 * time.Second)
		second := beginProcess(t, store, "second", f)
		time.Sleep(2 * time.Second)
		for i := range 600 { // from both, over an hour
			set(t, []*process{first, second}[i%2].Writer, 3*time.Second, fmt.Sprint("n", i))
			time.Sleep(6 * time.Second)
		}
		time.Sleep(10 * time.Minute)
		for name, times := range f.all() {
			if len(times) != 1 {
				t.Fatalf("%s was fired %d times", name, len(times))
			}
		}
		if n := len(f.all()); n != 600 {
			t.Fatalf("%d were fired", n)
		}
		before := len(store.All())
		time.Sleep(time.Hour)
		if n := len(store.All()) - before; n != 0 {
			t.Fatalf("idle, and %d events were appended", n)
		}
		set(t, second.Writer, time.Hour, "late")
		first.kill()
		time.Sleep(time.Hour + 15*time.Second)
		if got := f.all()["late"]; len(got) == 0 { // twice, if it is read and shown
			t.Fatalf("what the killed one would have fired: %v", got)
		}
		set(t, second.Writer, time.Second, "more")
		time.Sleep(1100 * time.Millisecond)
		if got := f.all()["more"]; len(got) != 1 {
			t.Fatalf("after that: %v", got)
		}
	})
}

// Instances are killed, stopped and started while deadlines are set: everything fires,
// never early.
func TestRivalsAnywhere(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			store, f := &memory.Store{}, &fired{}
			var mu sync.Mutex
			failing := 0
			f.fail = func(deadline.DeadlineSet) error {
				mu.Lock()
				defer mu.Unlock()
				if failing > 0 {
					failing--
					return errCut
				}
				return nil
			}
			both := [2]*process{beginProcess(t, store, "a", f), beginProcess(t, store, "b", f)}
			synctest.Wait()
			n := 0
			for range 60 {
				i := random.IntN(2)
				switch random.IntN(8) {
				case 0:
					both[i].kill()
					both[i] = beginProcess(t, store, string(rune('a'+i)), f)
				case 1:
					both[i].end()
					both[i] = beginProcess(t, store, string(rune('a'+i)), f)
				case 2:
					mu.Lock()
					failing = random.IntN(4)
					mu.Unlock()
				case 3:
					time.Sleep(time.Duration(random.IntN(180)) * time.Second)
				default:
					for range 1 + random.IntN(5) {
						set(t, both[i].Writer, time.Duration(random.IntN(120_000)-10_000)*time.Millisecond, fmt.Sprint("n", n))
						n++
					}
				}
				time.Sleep(time.Duration(random.IntN(8000)) * time.Millisecond)
			}
			gone := random.IntN(2)
			both[gone].kill()
			time.Sleep(10 * time.Minute)
			times := f.all()
			for i := range n {
				if len(times[fmt.Sprint("n", i)]) == 0 {
					t.Errorf("seed %d: n%d was never fired", seed, i)
				}
			}
			if len(f.early) > 0 {
				t.Errorf("seed %d: fired before their time: %v", seed, f.early)
			}
			before := len(store.All())
			time.Sleep(time.Hour)
			if more := len(store.All()) - before; more != 0 {
				t.Errorf("seed %d: idle, and %d events were appended", seed, more)
			}
		})
	}
}
