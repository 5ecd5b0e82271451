package follow_test

import (
	"testing"
	"time"

	"recapito/projections/follow"
)

// While ClickHouse is away, what is behind grows with the ledger and with time, also for
// a process that starts meanwhile; when it is back there is nothing behind.
func TestLagIsTrueWhileClickHouseIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		begin := time.Now()
		s.write(20)
		time.Sleep(settle)
		before := uint64(len(s.store.ledger()))
		s.house.away.Store(true)
		check := func(lag time.Duration) {
			t.Helper()
			for _, state := range s.projections.States() {
				behind := uint64(len(s.store.ledger())) - before
				// A table passes batches that hold nothing for it, before the first that does.
				if passed := state.Events - before; passed > 0 && passed < 50 && state.Behind == behind-passed && state.Lag <= lag+2*time.Second {
					continue
				}
				if state.Behind != behind || (state.Lag-lag).Abs() > 2*time.Second || state.Events != before {
					t.Errorf("%s: %d events, %d behind, lag %s; want %d, %d, %s",
						state.Projection, state.Events, state.Behind, state.Lag, before, behind, lag)
				}
			}
		}
		time.Sleep(settle)
		check(0)
		began := time.Now()
		s.write(50) // more than fits into batches of four
		for range 100 {
			time.Sleep(time.Minute)
			s.write(1)
			time.Sleep(settle)
			check(time.Since(began))
		}
		s.stop()
		s.start()
		time.Sleep(settle)
		for _, state := range s.projections.States() {
			// The last batch before it was away may stand in the checkpoint as pending only:
			// a new process does not know that it was written, and counts it.
			ledger := uint64(len(s.store.ledger()))
			if state.Events+4 < before || state.Behind != ledger-state.Events || state.Events <= before &&
				(state.Lag < time.Since(began)-2*time.Second || state.Lag > time.Since(begin)+2*time.Second) {
				t.Errorf("after a restart: %s: %d events, %d behind, lag %s; %d before, the ledger has %d, away for %s",
					state.Projection, state.Events, state.Behind, state.Lag, before, ledger, time.Since(began))
			}
		}
		s.house.away.Store(false)
		time.Sleep(settle)
		for _, state := range s.projections.States() {
			if state.Behind != 0 || state.Lag != 0 || state.Phase != follow.Live {
				t.Errorf("when it was back: %+v", state)
			}
		}
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}
