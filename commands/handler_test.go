package commands_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"recapito/commands"
	"recapito/commands/commandstest"
	"recapito/commands/storetest/memory"
	"recapito/domain/event"
)

// A counter is the smallest aggregate with a rule, and with commands that decide nothing.
type (
	counted    struct{ By int }
	countEvent interface{ isCount() }
	count      struct {
		By    int
		UpTo  int // reaching it decides nothing; 0: no bound
		Under int // at or past it: a broken rule; 0: no rule
	}
)

func (counted) isCount() {}

var errTooMany = &event.Rule{Code: "too_many", Message: "that is too many"}

var counter = event.Decider[int, count, countEvent]{
	Initial: func() int { return 0 },
	Decide: func(s int, c count) ([]countEvent, error) {
		switch {
		case c.Under > 0 && s >= c.Under:
			return nil, errTooMany
		case c.UpTo > 0 && s >= c.UpTo:
			return nil, nil
		}
		return []countEvent{counted{c.By}}, nil
	},
	Evolve: func(s int, e countEvent) int {
		if e, ok := e.(counted); ok {
			s += e.By
		}
		return s
	},
}

type counterHandler = commands.Handler[int, count, countEvent]

func newCounter(t *testing.T, store *memory.Store, cacheSize int) *counterHandler {
	t.Helper()
	codec, err := event.NewCodec(event.Define[counted]("Counted"))
	if err != nil {
		t.Fatal(err)
	}
	h := commands.NewHandler(&commands.Ledger{Store: store, Codec: codec, Now: time.Now, CacheSize: cacheSize}, counter)
	t.Cleanup(h.CloseCache)
	return h
}

const counterStream = "recipient-a.customer@example.org"

func TestHandlerClash(t *testing.T) {
	const handlers, callers, each = 3, 8, 12
	for _, cache := range []int{-1, 0} {
		store := &memory.Store{}
		var running sync.WaitGroup
		var failed atomic.Int32
		for range handlers {
			h := newCounter(t, store, cache)
			for range callers {
				running.Go(func() {
					for range each {
						for {
							res, err := h.Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1})
							if errors.Is(err, event.ErrWrongVersion) {
								continue // a hundred clashes in a row are told to the caller
							}
							if err != nil || len(res.Events) != 1 || res.State != int(res.Revision)+1 {
								failed.Add(1)
							}
							break
						}
					}
				})
			}
		}
		running.Wait()
		l, err := newCounter(t, store, -1).Load(t.Context(), counterStream)
		if err != nil || l.State != handlers*callers*each || failed.Load() > 0 {
			t.Errorf("cache %d: counted to %d, want %d; %d calls failed; %v", cache, l.State, handlers*callers*each, failed.Load(), err)
		}
	}
}

func TestHandlerUnknownOutcome(t *testing.T) {
	for _, test := range []struct {
		name     string
		unknown  int
		happened bool
		fails    bool
	}{
		{"it happened", 2, true, false},
		{"it did not happen", 2, false, false},
		{"it stays unknown", 1000, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			left := test.unknown
			store := &memory.Store{}
			store.AppendFault = func(string, []event.New) (error, bool) {
				if left == 0 {
					return nil, false
				}
				left--
				return event.ErrUnknownOutcome, test.happened
			}
			h := newCounter(t, store, 0)
			_, err := h.Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1})
			if test.fails != errors.Is(err, event.ErrUnknownOutcome) || !test.fails && err != nil {
				t.Fatalf("error %v", err)
			}
			if tries := test.unknown - left; test.fails && tries != commands.MaxUnknown {
				t.Errorf("%d tries, want %d", tries, commands.MaxUnknown)
			}
			if n := len(store.All()); n != 1 {
				t.Errorf("appended %d times", n)
			}
		})
	}
}

// TestHandlerOthersContentIsNotOurs: two executions of the same command are two appends;
// the second never takes the first's for its own.
func TestHandlerOthersContentIsNotOurs(t *testing.T) {
	store := &memory.Store{}
	h := newCounter(t, store, 0)
	for range 2 {
		if _, err := h.Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1}); err != nil {
			t.Fatal(err)
		}
	}
	all := store.All()
	if len(all) != 2 || all[0].ID == all[1].ID {
		t.Errorf("%d events; equal ids: %v", len(all), all[0].ID == all[1].ID)
	}
}

// TestHandlerCacheBehind: what is remembered may be behind; only the store may say no.
func TestHandlerCacheBehind(t *testing.T) {
	store := &memory.Store{}
	mine, other := newCounter(t, store, 0), newCounter(t, store, 0)
	do := func(h *counterHandler, c count) commands.Result[int, countEvent] {
		t.Helper()
		res, err := h.Handle(t.Context(), commandstest.Origin, counterStream, c)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	do(mine, count{By: 5})
	do(other, count{By: -4})
	if res := do(mine, count{By: 1, UpTo: 5}); len(res.Events) != 1 || res.State != 2 {
		t.Errorf("a state from memory decided nothing: %d events, state %d", len(res.Events), res.State)
	}
	do(other, count{By: 10})
	do(other, count{By: -11})
	do(mine, count{By: 20})
	do(other, count{By: -20})
	if res := do(mine, count{By: 1, Under: 3}); res.State != 2 {
		t.Errorf("a state from memory broke a rule that holds: state %d", res.State)
	}
	do(other, count{By: 7})
	l, err := mine.LoadAt(t.Context(), counterStream, 0)
	if err != nil || l.Revision < 6 {
		t.Errorf("LoadAt 0 answers revision %d, %v; it knew of 6", l.Revision, err)
	}
	if l, err = mine.LoadAt(t.Context(), counterStream, 8); err != nil || l.State != 9 || l.Revision < 8 {
		t.Errorf("LoadAt 8 answers %d at revision %d, %v", l.State, l.Revision, err)
	}
	if l, err = mine.Load(t.Context(), "recipient-none"); err != nil || l.Exists {
		t.Errorf("a stream without events exists: %v, %v", l.Exists, err)
	}
}

// TestHandlerStoreAway: a store that does not answer is not an empty one.
func TestHandlerStoreAway(t *testing.T) {
	store := &memory.Store{}
	h := newCounter(t, store, 0)
	store.ReadFault = func(string) error { return event.ErrUnavailable }
	_, err := h.Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1})
	if !errors.Is(err, event.ErrUnavailable) || len(store.All()) != 0 {
		t.Fatalf("error %v, %d events", err, len(store.All()))
	}
	if strings.Contains(err.Error(), "customer") {
		t.Error("the error holds the stream's id")
	}
	store.ReadFault = nil
	store.AppendFault = func(string, []event.New) (error, bool) { return event.ErrTooLarge, false }
	_, err = h.Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1})
	if !errors.Is(err, event.ErrTooLarge) || strings.Contains(err.Error(), "customer") {
		t.Errorf("error %v", err)
	}
}

func TestHandlerClashesForEver(t *testing.T) {
	store := &memory.Store{}
	tries := 0
	store.AppendFault = func(stream string, _ []event.New) (error, bool) {
		tries++
		return &event.WrongVersion{Stream: stream}, false
	}
	_, err := newCounter(t, store, 0).Handle(t.Context(), commandstest.Origin, counterStream, count{By: 1})
	if !errors.Is(err, event.ErrWrongVersion) || tries > 1000 {
		t.Errorf("error %v after %d tries", err, tries)
	}
}

func TestHandlerMetadata(t *testing.T) {
	store := &memory.Store{}
	o := commands.Origin{Tenant: "acme", Actor: "key:1", Correlation: "c", Causation: "e", Traceparent: "00-1", Test: true}
	if _, err := newCounter(t, store, 0).Handle(context.Background(), o, counterStream, count{By: 1}); err != nil {
		t.Fatal(err)
	}
	m, err := event.DecodeMetadata(store.All()[0].Metadata)
	if err != nil {
		t.Fatal(err)
	}
	if m.Tenant != "acme" || m.Actor != "key:1" || m.CorrelationID != "c" || m.CausationID != "e" || m.Traceparent != "00-1" ||
		!m.Test || m.RecordedAt.IsZero() || m.OccurredAt.IsZero() {
		t.Errorf("metadata %+v", m)
	}
}
