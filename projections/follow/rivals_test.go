package follow_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/projectionstest"
)

// Two instances share the projections: each of them is stopped, killed, started again
// or claims what the other keeps, while what they ask fails. In the end the tables are
// right, whichever of the two is left.
func TestRivalsAnywhere(t *testing.T) { projectionstest.EverySeed(t, 100, rivals) }

func rivals(t *testing.T, seed uint64) {
	inWorld(t, seed, func(t *testing.T, random *rand.Rand, store *memory, house *warehouse, author *projectionstest.Author) {
		often := []float64{0, 0.01, 0.05}[random.IntN(3)]
		start := func(i int) *process {
			return startInstance(t, fmt.Sprint("instance-", i), store, house, author.Codec, random.Uint64(), often)
		}
		both := [2]*process{start(0), start(1)}
		var late []*chaos
		again := func(i int) {
			both[i].stop()
			late = append(late, both[i].chaos)
			both[i] = start(i)
		}
		rebuilds, stopRebuilds := context.WithCancel(t.Context())
		for range 40 + random.IntN(40) {
			i := random.IntN(2)
			switch random.IntN(20) {
			case 0:
				again(i)
			case 1:
				asked, name := both[i].projections, projections.Names[random.IntN(len(projections.Names))]
				go func() { _ = asked.Rebuild(rebuilds, name, nil) }()
			case 2:
				time.Sleep(time.Duration(random.IntN(30)) * time.Second)
			default:
				for range 1 + random.IntN(6) {
					stream, events := author.Next()
					if _, err := store.Append(t.Context(), stream, event.Any(), events); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			for i, p := range both {
				select {
				case <-p.done: // it was killed
					again(i)
				default:
				}
			}
		}
		stopRebuilds()
		often = 0
		again(0)
		again(1)
		for _, c := range late {
			c.carryOutLate()
		}
		gone := random.IntN(2) // without a word: it does not release
		both[gone].chaos.set(1, false)
		both[gone].stop()
		left := both[1-gone]
		calm(t, store, left)
		for _, s := range left.projections.States() {
			if s.Phase == follow.Standby && s.Events != uint64(len(store.ledger())) {
				t.Errorf("nobody keeps %s", s.Projection)
			}
		}
		left.stop()
		house.stray = true // no view shows it; it only takes space
		house.check(t, author.Codec, store.ledger())
	})
}

// A standby says so and is well; asked for a rebuild it takes over.
func TestStandby(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(20)
		first := startInstance(t, "first", s.store, s.house, s.author.Codec, 1, 0)
		defer first.stop()
		time.Sleep(settle)
		s.process = startInstance(t, "second", s.store, s.house, s.author.Codec, 2, 0)
		time.Sleep(time.Hour)
		s.write(20)
		time.Sleep(settle)
		of := func(p *process, name string) follow.State {
			for _, state := range p.projections.States() {
				if state.Projection == name {
					return state
				}
			}
			t.Fatal(name)
			return follow.State{}
		}
		n := uint64(len(s.store.ledger()))
		if got := of(first, "edr"); got.Phase != follow.Live || got.Events != n {
			t.Errorf("the first: %+v", got)
		}
		if got := of(s.process, "edr"); got.Phase != follow.Standby || !got.Ready() || got.Events != n || got.Error != "" {
			t.Errorf("the second: %+v, want %d events", got, n)
		}
		if err := s.projections.Rebuild(t.Context(), "edr", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settle)
		if got := of(s.process, "edr"); got.Phase != follow.Live || got.Events != n {
			t.Errorf("the second after a rebuild: %+v", got)
		}
		if got := of(first, "edr"); got.Phase != follow.Standby {
			t.Errorf("the first after a rebuild by the second: %+v", got)
		}
		if got := of(first, "events"); got.Phase != follow.Live {
			t.Errorf("the first's other projection: %+v", got)
		}
	})
}

// An instance that lost its lease while it opened shows the table of an old checkpoint,
// and is killed before it can see that: whoever keeps the projection shows its own.
func TestAViewOfAnOldTableIsSetRight(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(20)
		s.process = startInstance(t, "keeper", s.store, s.house, s.author.Codec, 1, 0)
		time.Sleep(settle)
		live := s.house.view("edr")
		s.house.mu.Lock()
		s.house.tables["edr_v1_old"], s.house.views["edr"] = nil, "edr_v1_old"
		s.house.mu.Unlock()
		time.Sleep(time.Minute)
		if got := s.house.view("edr"); got != live || live == "" {
			t.Errorf("a minute later the view shows %s, not %s", got, live)
		}
		s.house.mu.Lock()
		delete(s.house.tables, "edr_v1_old")
		s.house.mu.Unlock()
	})
}

// An instance is killed after a built table became the live one and before the view shows
// it. Nothing else is left to do; the other instance shows it all the same.
func TestAViewThatTheKeeperNeverShowedIsSetRight(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(20)
		keeper := startInstance(t, "keeper", s.store, s.house, s.author.Codec, 1, 0)
		time.Sleep(settle)
		s.process = startInstance(t, "other", s.store, s.house, s.author.Codec, 2, 0)
		time.Sleep(settle)
		keeper.chaos.set(1, false) // it does not release
		keeper.stop()
		s.house.mu.Lock()
		live := s.house.views["edr"]
		s.house.tables["edr_v1_old"], s.house.views["edr"] = nil, "edr_v1_old"
		s.house.mu.Unlock()
		time.Sleep(time.Minute)
		if got := s.house.view("edr"); got != live || live == "" {
			t.Errorf("a minute later the view shows %s, not %s", got, live)
		}
		s.house.mu.Lock()
		delete(s.house.tables, "edr_v1_old")
		s.house.mu.Unlock()
	})
}
