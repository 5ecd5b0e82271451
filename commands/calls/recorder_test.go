package calls_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recapito/commands"
	"recapito/commands/calls"
	"recapito/commands/storetest/memory"
	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flaky is a store that fails on demand, before or after it has appended.
type flaky struct {
	commands.Store
	mu      sync.Mutex
	before  error
	after   error
	appends int
}

func (f *flaky) Append(ctx context.Context, stream string, at event.Expected, events []event.New) (event.Appended, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.appends++
	if f.before != nil {
		return event.Appended{}, f.before
	}
	done, err := f.Store.Append(ctx, stream, at, events)
	if err == nil && f.after != nil {
		err, f.after = f.after, nil
		return event.Appended{}, err
	}
	return done, err
}

func (f *flaky) fail(before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *flaky) tried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.appends
}

type world struct {
	store    *flaky
	codec    *event.Codec
	recorder *calls.Recorder
	stop     func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: &flaky{Store: &memory.Store{}}, codec: codec}
	w.recorder = calls.New(&commands.Ledger{Store: w.store, Codec: codec, Now: time.Now}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.recorder.Run(ctx) }()
	w.stop = func() { cancel(); <-ended }
	return w
}

func call(n int) audit.Call {
	return audit.Call{ID: fmt.Sprintf("c-%d", n), At: time.Now().UTC(), Method: "GET", Status: 200}
}

func (w *world) record(t *testing.T, of string, n int) {
	t.Helper()
	p, err := w.recorder.Admit(t.Context(), of != "")
	if err != nil {
		t.Fatal(err)
	}
	p.Record(of, call(n))
}

// recorded returns the ids in the store, an element an event, with its stream.
func (w *world) recorded(t *testing.T) (all []string) {
	t.Helper()
	err := w.store.ReadAll(t.Context(), event.AllRead{}, func(r event.Recorded) error {
		e, err := w.codec.Decode(t.Context(), nil, "", r)
		if err != nil {
			return err
		}
		line := r.Stream + ":"
		for _, c := range e.(audit.CallsRecorded).Calls {
			line += " " + c.ID
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, w.recorded(t)); diff != "" {
		t.Errorf("what is recorded (-want +got):\n%s", diff)
	}
}

func TestOneAppendASecondAndTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 3 {
			w.record(t, "acme", n)
		}
		w.record(t, "", 3)
		w.expect(t)
		time.Sleep(time.Second + time.Millisecond)
		w.record(t, "acme", 4)
		synctest.Wait()
		if got := len(w.recorded(t)); got != 2 {
			t.Errorf("%d events, want one a tenant", got)
		}
		w.stop() // what waits goes out at the end
		if got, want := len(w.recorded(t)), 3; got != want {
			t.Errorf("%d events after the end, want %d", got, want)
		}
		tried := w.store.tried()
		time.Sleep(time.Hour)
		if w.store.tried() != tried {
			t.Error("an idle recorder appends")
		}
	})
}

func TestAnUnknownOutcomeRecordsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stop()
		w.store.fail(nil, event.ErrUnavailable) // it was appended, and no one knows
		w.record(t, "acme", 0)
		time.Sleep(time.Second + time.Millisecond)
		w.record(t, "acme", 1) // must not ride on the id of what is tried again
		time.Sleep(3 * time.Second)
		w.expect(t, "audit-acme-20000101: c-0", "audit-acme-20000101: c-1")
	})
}

func TestNothingIsLostWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stop()
		w.store.fail(event.ErrUnavailable, nil)
		p, err := w.recorder.Admit(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.RecordFirst(t.Context(), "acme", call(0)); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("recorded first: %v", err)
		}
		admitted := 1
		for ; ; admitted++ {
			if p, err = w.recorder.Admit(t.Context(), true); err != nil {
				break
			}
			p.Record("acme", call(admitted))
		}
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("no place left: %v", err)
		}
		if _, err := w.recorder.Admit(t.Context(), false); err != nil {
			t.Errorf("strangers have places of their own: %v", err)
		}
		time.Sleep(time.Hour)
		w.store.fail(nil, nil)
		time.Sleep(time.Minute)
		seen := map[string]bool{}
		err = w.store.ReadAll(t.Context(), event.AllRead{}, func(r event.Recorded) error {
			e, err := w.codec.Decode(t.Context(), nil, "", r)
			for _, c := range e.(audit.CallsRecorded).Calls {
				seen[c.ID] = true
			}
			return err
		})
		if err != nil || len(seen) != admitted {
			t.Errorf("%d of %d calls are recorded: %v", len(seen), admitted, err)
		}
		if _, err := w.recorder.Admit(t.Context(), true); err != nil {
			t.Errorf("places were not given back: %v", err)
		}
	})
}

func TestRecordedFirstIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stop()
		began := time.Now()
		for n := range 3 {
			p, err := w.recorder.Admit(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.RecordFirst(t.Context(), "acme", call(n)); err != nil {
				t.Fatal(err)
			}
			if got := len(w.recorded(t)); got != n+1 {
				t.Errorf("%d events when call %d was answered", got, n)
			}
		}
		if time.Since(began) > 100*time.Millisecond {
			t.Error("who waits is not kept waiting for the second to pass")
		}
	})
}

func TestTwoInstancesShareAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stop()
		for n := range 3 {
			w.record(t, "acme", n)
			time.Sleep(2 * time.Second)
			other := calls.New(&commands.Ledger{Store: w.store, Codec: w.codec, Now: time.Now}, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			p, err := other.Admit(ctx, true)
			if err != nil {
				t.Fatal(err)
			}
			p.Record("acme", call(10+n))
			cancel()
			other.Run(ctx)
		}
		if got := len(w.recorded(t)); got != 6 {
			t.Errorf("%d events of 6", got)
		}
	})
}
