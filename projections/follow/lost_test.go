package follow_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

// lose drops the tables that are named, as somebody with a console does.
func (s *system) lose(names ...string) {
	s.house.mu.Lock()
	defer s.house.mu.Unlock()
	for _, name := range names {
		delete(s.house.tables, name)
		delete(s.house.spans, name)
		delete(s.house.batches, name)
	}
}

// killedRebuilding begins to rebuild all tables; the process is killed when so many events
// were handed out for them.
func (s *system) killedRebuilding(events int) {
	read, killed := s.store.handedOut(), make(chan struct{})
	onHanded := func(f func(int)) {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		s.store.onHanded = f
	}
	onHanded(func(n int) {
		if n == read+events {
			s.cancel()
			close(killed)
		}
	})
	ctx, stop := context.WithCancel(s.t.Context())
	go func() { _ = s.projections.RebuildAll(ctx, nil) }()
	<-killed
	s.stop()
	stop()
	onHanded(nil)
}

// A live table that is gone is begun anew, from the first event: noticed while nothing
// happens, and at a start. What the checkpoint says of it is no longer true.
func TestALostTableIsBegunAnew(t *testing.T) {
	for _, running := range []bool{true, false} {
		inBubble(t, func(t *testing.T, s *system) {
			s.write(100)
			s.start()
			time.Sleep(settle)
			if !running {
				s.stop()
			}
			for _, name := range projections.Names {
				s.lose(s.house.view(name))
			}
			if !running {
				s.start()
			}
			time.Sleep(time.Minute)
			s.stop()
			s.house.check(t, s.author.Codec, s.store.ledger())
		})
	}
}

// A table that was being built when the process was killed, and is gone at the next start,
// is built from the first event on: it never takes the live one's place half empty.
func TestALostRebuildIsBegunAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(400)
		s.start()
		time.Sleep(settle)
		before := s.views()
		s.killedRebuilding(len(s.store.ledger()) / 3)
		s.house.mu.Lock()
		var building []string
		for name, rows := range s.house.tables {
			live := slices.ContainsFunc(projections.Names, func(p string) bool { return before[p] == name })
			if !live && len(rows) > 0 {
				building = append(building, name)
			}
		}
		s.house.mu.Unlock()
		if len(building) < 3 {
			t.Fatalf("only %v were being built", building)
		}
		s.lose(building...)
		s.start()
		time.Sleep(time.Minute)
		s.allExchanged(before)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}

// A checkpoint whose batch the store does not have, as it is named there, is another
// store's: nothing is written by it.
func TestACheckpointOfAnotherStoreWritesNothing(t *testing.T) {
	for _, pending := range []checkpoint.Batch{
		{FirstSeq: 0, LastSeq: 3, First: 0, Last: 1_000_000},
		{FirstSeq: 0, LastSeq: 3, First: 0, Last: 1},
		{FirstSeq: 0, LastSeq: 1_000, First: 0, Last: 1_000_000},
		{FirstSeq: 3, LastSeq: 0},
	} {
		inBubble(t, func(t *testing.T, s *system) {
			s.write(50)
			table := readmodels.EDRTable.Name("x")
			said := checkpoint.ProjectionCheckpointed{
				Projection: "edr", Generation: "g1", Live: checkpoint.Table{Name: table, Version: readmodels.EDRTable.Version, Pending: &pending},
			}
			stream := checkpoint.ProjectionStream("edr")
			name, data, err := s.author.Codec.Encode(t.Context(), nil, "", stream, said)
			if err != nil {
				t.Fatal(err)
			}
			s.append(stream, event.New{ID: s.author.ID(), Type: name, Data: data})
			s.house.tables[table] = nil
			s.start()
			time.Sleep(time.Minute)
			if state := s.state("edr"); state.Ready() || state.Error == "" {
				t.Errorf("a batch %+v: %+v", pending, state)
			}
			if rows := s.house.shown("edr"); len(rows) > 0 {
				t.Errorf("a batch %+v: %d rows were written", pending, len(rows))
			}
			s.stop()
		})
	}
}
