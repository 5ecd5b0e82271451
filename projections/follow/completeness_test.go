package follow_test

import (
	"fmt"
	"testing"
	"time"

	"recapito/projections"
	"recapito/readmodels"
)

func (w *warehouse) completeness() map[string]readmodels.Completeness {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]readmodels.Completeness{}
	for name, c := range w.complete {
		all[name] = c
	}
	return all
}

// What is said to be complete is there, at any time, also idle; nothing is appended for
// it. A restart goes on from what was said.
func TestCompleteness(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		var written []time.Time // of ledger events
		for i := range 60 {
			before := len(s.store.ledger())
			s.write(1 + i%5)
			for range len(s.store.ledger()) - before {
				written = append(written, time.Now())
			}
			time.Sleep(time.Duration(i%7) * time.Second)
			if i == 30 {
				s.stop()
				s.start()
				time.Sleep(5 * time.Second)
			}
			for name, c := range s.house.completeness() {
				n := uint64(0)
				for n < uint64(len(written)) && written[n].Before(c.Until) {
					n++
				}
				if got := s.state(name).Events; got < n {
					t.Errorf("%s is said to be complete until %v, and has %d of %d events", name, c.Until, got, n)
				}
			}
		}
		time.Sleep(time.Hour)
		appends := s.store.appendCount()
		time.Sleep(time.Hour)
		for _, name := range projections.Names {
			c := s.house.completeness()[name]
			if age := time.Since(c.Until); age > 15*time.Second || c.Seq != uint64(len(s.store.ledger())) || !s.state(name).CompleteUntil.Equal(c.Until) {
				t.Errorf("idle, %s is complete until %v ago: %+v", name, age, c)
			}
		}
		if n := s.store.appendCount(); n != appends {
			t.Errorf("idle, %d appends", n-appends)
		}
	})
}

// Read models that are emptied while nothing happens are noticed, and fill again.
func TestEmptiedWhileIdle(t *testing.T) {
	for _, remain := range []bool{false, true} {
		t.Run(fmt.Sprint("tables remain: ", remain), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *system) {
				s.start()
				s.write(30)
				time.Sleep(time.Minute)
				s.house.wipe(remain)
				time.Sleep(time.Minute)
				s.stop()
				s.house.stray = true
				s.house.check(t, s.author.Codec, s.store.ledger())
			})
		})
	}
}

// A ClickHouse that is down while nothing happens is noticed, and so is its return.
func TestDownWhileIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		s.write(30)
		time.Sleep(time.Minute)
		s.house.away.Store(true)
		time.Sleep(time.Minute)
		for _, state := range s.projections.States() {
			if state.Ready() {
				t.Errorf("down for a minute: %+v", state)
			}
		}
		s.house.away.Store(false)
		time.Sleep(time.Minute)
		for _, state := range s.projections.States() {
			if !state.Ready() || time.Since(state.CompleteUntil) > 15*time.Second {
				t.Errorf("up again: %+v", state)
			}
		}
	})
}
