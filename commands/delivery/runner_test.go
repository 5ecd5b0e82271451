package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/commands/storetest/memory"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

var orders = event.Filter{StreamPrefixes: []string{"order-"}}

func appendOrder(t testing.TB, s *memory.Store, stream string) {
	t.Helper()
	_, err := s.Append(context.Background(), stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: "Ordered", Data: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
}

// inputs notes what a runner was given and is done with.
type inputs struct {
	t     *testing.T
	store *memory.Store

	mu    sync.Mutex
	done  map[event.Position]int
	last  map[string]event.Position // begun last, by stream
	tries map[event.Position]int
	busy  int
	most  int
}

func newInputs(t *testing.T, store *memory.Store) *inputs {
	in := &inputs{t: t, store: store, done: map[event.Position]int{}, last: map[string]event.Position{}, tries: map[event.Position]int{}}
	store.AppendFault = in.checkpoint
	return in
}

// checkpoint looks at each checkpoint before it is written: all up to it must be done.
func (in *inputs) checkpoint(stream string, events []event.New) (error, bool) {
	if stream != checkpoint.RunnerStream("test") {
		return nil, false
	}
	var c checkpoint.RunnerCheckpointed
	if err := json.Unmarshal(events[0].Data, &c); err != nil {
		in.t.Error(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, e := range in.store.All() {
		if e.Position <= c.Position && orders.Passes(e.Stream, e.Type) && in.done[e.Position] == 0 {
			in.t.Errorf("the checkpoint moves to %d, and the input at %d is not done", c.Position, e.Position)
		}
	}
	return nil, false
}

// begin and end stand round the work on an input.
func (in *inputs) begin(e event.Recorded) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.last[e.Stream] > e.Position && in.done[e.Position] == 0 {
		in.t.Errorf("an input of %s came after a later one of that stream", e.Stream)
	}
	in.last[e.Stream] = e.Position
	in.tries[e.Position]++
	in.busy++
	in.most = max(in.most, in.busy)
	return in.tries[e.Position]
}

func (in *inputs) end(e event.Recorded, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.busy--
	if done {
		in.done[e.Position]++
	}
}

func (in *inputs) undone() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for _, e := range in.store.All() {
		if orders.Passes(e.Stream, e.Type) && in.done[e.Position] == 0 {
			n++
		}
	}
	return n
}

func run(t *testing.T, store commands.Store, handle func(context.Context, event.Recorded) error) (r *delivery.Runner, stop func()) {
	t.Helper()
	return runAhead(t, store, 1000, handle)
}

// runAhead bounds how far the runner goes past an input that is not done.
func runAhead(t *testing.T, store commands.Store, ahead int, handle func(context.Context, event.Recorded) error) (r *delivery.Runner, stop func()) {
	t.Helper()
	r = &delivery.Runner{Name: "test", Store: store, Filter: orders, Handle: handle, Log: commandstest.Quiet}
	r.SetAhead(ahead)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return r, stop
}

// TestRunner: inputs take random times, fail now and then; the runner is stopped and
// started, its subscription is lost. The checkpoint never passes what is not done, the
// inputs of a stream come in order, and all get done.
func TestRunner(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			drawn := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			store := &memory.Store{}
			in := newInputs(t, store)
			if seed%2 == 0 {
				store.ReadFault = func(stream string) error {
					if drawn(400) == 0 && stream != checkpoint.RunnerStream("test") {
						return errors.New("subscription lost")
					}
					return nil
				}
			}
			handle := func(ctx context.Context, e event.Recorded) error {
				try := in.begin(e)
				time.Sleep(time.Duration(drawn(200)) * time.Millisecond)
				fails := ctx.Err() != nil || try < 3 && drawn(10) == 0
				in.end(e, !fails)
				if fails {
					return errors.New("not now")
				}
				return nil
			}
			_, stop := run(t, store, handle)
			for range 8 {
				for range 150 {
					appendOrder(t, store, fmt.Sprintf("order-%d", drawn(40)))
					appendOrder(t, store, "invoice-1")
				}
				time.Sleep(time.Duration(drawn(2000)) * time.Millisecond)
				if drawn(3) == 0 {
					stop()
					in.mu.Lock()
					clear(in.last)
					in.mu.Unlock()
					_, stop = run(t, store, handle)
				}
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := in.undone(); n > 0 {
				t.Errorf("seed %d: %d inputs are not done", seed, n)
			}
			stop()
		})
	}
}

func TestRunnerResumesAfterItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		in := newInputs(t, store)
		handle := func(_ context.Context, e event.Recorded) error {
			in.begin(e)
			in.end(e, true)
			return nil
		}
		for i := range 500 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i%7))
		}
		r, stop := run(t, store, handle)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if st := r.State(); !st.Live || st.Position != 499 || st.Failing != nil {
			t.Errorf("state %+v, want live at 499", st)
		}
		stop()
		appendOrder(t, store, "order-0")
		_, stop = run(t, store, handle)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		stop()
		for at, n := range in.done {
			if n != 1 {
				t.Errorf("the input at %d was done %d times", at, n)
			}
		}
		if in.undone() > 0 {
			t.Error("the input that came while it was stopped is not done")
		}
	})
}

func TestRunnerIdleAppendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		run(t, store, func(context.Context, event.Recorded) error { return nil })
		for i := range 20 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := len(store.All())
		appendOrder(t, store, "invoice-1") // nothing that it is given
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := len(store.All()); after != before+1 {
			t.Errorf("an idle runner appended %d events", after-before-1)
		}
	})
}

// TestRunnerStuckInput: one input that never succeeds holds up its stream and the
// checkpoint, not the others, and what is taken beside it is bounded.
func TestRunnerStuckInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		in := newInputs(t, store)
		var mu sync.Mutex
		stuck := true
		r, stop := run(t, store, func(_ context.Context, e event.Recorded) error {
			in.begin(e)
			mu.Lock()
			defer mu.Unlock()
			bad := stuck && e.Stream == "order-bad"
			in.end(e, !bad)
			if bad {
				return errors.New("still not")
			}
			return nil
		})
		appendOrder(t, store, "order-bad")
		appendOrder(t, store, "order-bad")
		for i := range 1500 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		in.mu.Lock()
		done := len(in.done)
		in.mu.Unlock()
		if done != 998 { // and two that are not
			t.Errorf("%d inputs are done beside the two that are not, the bound is 1000", done)
		}
		if r.State().Failing == nil {
			t.Error("its state does not say that an input fails")
		}
		mu.Lock()
		stuck = false
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := in.undone(); n > 0 {
			t.Errorf("%d inputs are not done", n)
		}
		if st := r.State(); st.Failing != nil {
			t.Errorf("its state still says %v", st.Failing)
		}
		stop()
	})
}

// TestRunnerWindow: of inputs that do not succeed only so many are taken.
func TestRunnerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		in := newInputs(t, store)
		_, stop := runAhead(t, store, 1<<20, func(_ context.Context, e event.Recorded) error {
			in.begin(e)
			in.end(e, false)
			return errors.New("never")
		})
		for i := range delivery.RunnerWindow + 100 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := len(in.tries); got != delivery.RunnerWindow {
			t.Errorf("%d inputs were taken, the window is %d", got, delivery.RunnerWindow)
		}
		stop()
	})
}

// TestRunnerStuckStreams: more streams that fail than there are workers hold up neither
// the others nor, when the subscription is lost, what comes after that.
func TestRunnerStuckStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lose atomic.Bool
		store := &memory.Store{}
		store.ReadFault = func(stream string) error {
			if stream != checkpoint.RunnerStream("test") && lose.Swap(false) {
				return errors.New("subscription lost")
			}
			return nil
		}
		in := newInputs(t, store)
		_, stop := run(t, store, func(_ context.Context, e event.Recorded) error {
			in.begin(e)
			bad := strings.HasPrefix(e.Stream, "order-bad")
			in.end(e, !bad)
			if bad {
				return errors.New("still not")
			}
			return nil
		})
		for i := range 200 {
			appendOrder(t, store, fmt.Sprintf("order-bad-%d", i))
		}
		for i := range 300 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := in.undone(); n != 200 {
			t.Errorf("%d inputs are not done, want the 200 that fail", n)
		}
		lose.Store(true)
		for i := range 300 {
			appendOrder(t, store, fmt.Sprintf("order-late-%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := in.undone(); n != 200 {
			t.Errorf("after the subscription was lost %d inputs are not done, want the 200 that fail", n)
		}
		stop()
	})
}

// TestRunnerRival: a checkpoint that somebody else moved ends the session; the next one
// begins where that says.
func TestRunnerRival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		in := newInputs(t, store)
		_, stop := run(t, store, func(_ context.Context, e event.Recorded) error {
			in.begin(e)
			in.end(e, true)
			return nil
		})
		for i := range 10 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if _, err := commands.AppendOperational(t.Context(), store, checkpoint.RunnerStream("test"), event.Any(), "RunnerCheckpointed", checkpoint.RunnerCheckpointed{Position: 4}); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			appendOrder(t, store, fmt.Sprintf("order-%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if n := in.undone(); n > 0 {
			t.Errorf("%d inputs are not done", n)
		}
		if in.done[7] < 2 {
			t.Error("the session did not begin again where the rival's checkpoint says")
		}
	})
}
