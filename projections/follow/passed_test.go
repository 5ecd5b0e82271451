package follow_test

import (
	"errors"
	"testing"
	"time"

	"recapito/domain/event"
	"recapito/projections/follow"
	"recapito/readmodels"
)

// A reader who asks for what was just written finds it, in an instance that keeps the
// projection and in one that stands by; a position that is no ledger event's is passed
// with the one before.
func TestPassed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		first := startInstance(t, "first", s.store, s.house, s.author.Codec, 1, 0)
		defer first.stop()
		time.Sleep(settle)
		s.process = startInstance(t, "second", s.store, s.house, s.author.Codec, 2, 0)
		for range 20 {
			s.write(5)
			s.append("checkpoint-runner-x", event.New{ID: s.author.ID(), Type: "X"})
			all, _ := s.store.snapshot()
			last, ledger := all[len(all)-1].Position, s.store.ledger()
			for n, p := range []*process{s.process, first, s.process, first} {
				began := time.Now()
				wait := func() error { return p.projections.Passed(t.Context(), last) }
				if n < 2 {
					s.write(1)
					all, _ = s.store.snapshot()
					last, ledger = all[len(all)-1].Position, s.store.ledger()
					wait = func() error { return p.projections.Holds(t.Context(), uint64(len(ledger))) }
				}
				if err := wait(); err != nil {
					t.Fatal(err)
				}
				for _, state := range first.projections.States() {
					if state.Position < ledger[len(ledger)-1].Position {
						t.Errorf("%+v has not passed %d", state, last)
					}
				}
				if wait := time.Since(began); p == first && wait > time.Second || wait > 5*time.Second {
					t.Errorf("waited for %v", wait)
				}
			}
			if err := first.projections.Passed(t.Context(), last+1_000_000, "edr"); !errors.Is(err, readmodels.ErrNoSuchPosition) {
				t.Errorf("of the future: %v", err)
			}
			if err := first.projections.Passed(t.Context(), event.Position(1<<64-1)); !errors.Is(err, readmodels.ErrNoSuchPosition) {
				t.Errorf("of the far future: %v", err)
			}
			time.Sleep(time.Second)
		}
		if err := first.projections.Passed(t.Context(), 1, "edr", "nothing"); !errors.Is(err, follow.ErrUnknownProjection) {
			t.Errorf("unknown: %v", err)
		}
		var behind *readmodels.Behind
		if err := first.projections.Holds(t.Context(), 1_000_000, "edr"); !errors.As(err, &behind) || behind.Projection != "edr" {
			t.Errorf("more than there is: %v", err)
		}
	})
}

// While ClickHouse is down, waiting ends after a while with how far the table is.
func TestPassedIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		s.write(10)
		time.Sleep(settle)
		was := s.state("edr").Position
		s.house.away.Store(true)
		s.write(10)
		ledger := s.store.ledger()
		last := ledger[len(ledger)-1].Position
		if last <= was {
			t.Fatal("nothing was written")
		}
		var behind *readmodels.Behind
		began := time.Now()
		err := s.projections.Passed(t.Context(), ledger[len(ledger)-1].Position, "edr")
		if !errors.As(err, &behind) || behind.Projection != "edr" || behind.Position >= uint64(ledger[len(ledger)-1].Position) {
			t.Errorf("%v", err)
		}
		if wait := time.Since(began); wait > 11*time.Second {
			t.Errorf("waited for %v", wait)
		}
		s.house.away.Store(false)
		time.Sleep(time.Minute)
		if err := s.projections.Passed(t.Context(), last, "edr"); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}
