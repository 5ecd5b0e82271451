package follow_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"recapito/projections"
)

func (s *system) views() map[string]string {
	all := map[string]string{}
	for _, name := range projections.Names {
		all[name] = s.house.view(name)
	}
	return all
}

func (s *system) allExchanged(before map[string]string) {
	s.t.Helper()
	for name, now := range s.views() {
		if now == before[name] || now == "" {
			s.t.Errorf("the view %s still shows %s", name, now)
		}
	}
}

// Tables that are filled at the same time are filled by one reading of the store.
func TestTheStoreIsReadOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(400)
		events := len(s.store.ledger())
		s.start()
		time.Sleep(settle)
		// Those that began a little later caught up with the others.
		if read := s.store.handedOut(); read >= len(projections.Names)*events {
			t.Errorf("%d tables took %d readings of %d events", len(projections.Names), read, events)
		}
		before, read := s.views(), s.store.handedOut()
		var last [2]uint64
		if err := s.projections.RebuildAll(t.Context(), func(done, total uint64) { last = [2]uint64{done, total} }); err != nil {
			t.Fatal(err)
		}
		if again := s.store.handedOut() - read; again != events {
			t.Errorf("rebuilding all read %d events, the ledger has %d", again, events)
		}
		if want := uint64(events * len(projections.Names)); last != [2]uint64{want, want} {
			t.Errorf("the last progress told was %v, want all of %d", last, want)
		}
		s.allExchanged(before)
		s.write(50)
		time.Sleep(settle)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}

// Killed in the middle, it goes on at the next start, together and from where it was.
func TestAPassGoesOnAfterAKill(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(400)
		events := len(s.store.ledger())
		s.start()
		time.Sleep(settle)
		before := s.views()
		s.killedRebuilding(events / 2)
		read := s.store.handedOut()
		s.start()
		time.Sleep(time.Minute)
		// What was on its way when it was killed is read again, and only that.
		if again, most := s.store.handedOut()-read, events/2+100; again > most {
			t.Errorf("going on read %d events, want at most %d of %d", again, most, events)
		}
		s.allExchanged(before)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}

// A table that fails again and again while all are built leaves the others alone, and is
// whole in the end.
func TestWhoFailsLeavesThePass(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(300)
		s.start()
		time.Sleep(settle)
		before := s.views()
		s.chaos.set(0.05, false)
		ctx, stop := context.WithCancel(t.Context())
		var built atomic.Bool
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			built.Store(s.projections.RebuildAll(ctx, nil) == nil)
		}()
		for range 100 {
			s.write(1)
			time.Sleep(100 * time.Millisecond)
		}
		s.chaos.set(0, false)
		time.Sleep(time.Minute)
		stop()
		<-finished
		if !built.Load() {
			t.Error("not all were rebuilt")
		}
		s.allExchanged(before)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}
