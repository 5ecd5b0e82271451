package follow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/projectionstest"
)

// system is a store, a warehouse and a process without chaos, in a bubble.
type system struct {
	t      *testing.T
	store  *memory
	house  *warehouse
	author *projectionstest.Author
	*process
}

func newSystem(t *testing.T) *system {
	return &system{t: t, store: newMemory(), house: newWarehouse(), author: projectionstest.NewAuthor(t, 1)}
}

func (s *system) start() {
	s.process = startProcess(s.t, s.store, s.house, s.author.Codec, 1, 0)
}

func (s *system) append(stream string, events ...event.New) {
	s.t.Helper()
	if _, err := s.store.Append(s.t.Context(), stream, event.Any(), events); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) write(appends int) {
	for range appends {
		stream, events := s.author.Next()
		s.append(stream, events...)
	}
}

func (s *system) state(name string) follow.State {
	for _, state := range s.projections.States() {
		if state.Projection == name {
			return state
		}
	}
	s.t.Fatalf("no projection %s", name)
	return follow.State{}
}

func inBubble(t *testing.T, test func(t *testing.T, s *system)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		test(t, s)
		if s.process != nil {
			s.stop()
		}
	})
}

const settle = 10 * time.Second

func TestAnEventIsInItsTableSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		time.Sleep(settle)
		for i := range 200 {
			s.write(1)
			time.Sleep(300 * time.Millisecond)
			if got, want := s.state("events").Events, uint64(len(s.store.ledger())); got != want {
				t.Fatalf("%d events are in the table, want %d", got, want)
			}
			time.Sleep(time.Duration(i*7) * time.Millisecond)
		}
	})
}

func TestSettle(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		for range 20 {
			if err := s.projections.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, state := range s.projections.States() {
				if state.Events != uint64(len(s.store.ledger())) {
					t.Fatalf("settled: %+v, the ledger has %d events", state, len(s.store.ledger()))
				}
			}
			s.write(5)
		}
		s.chaos.set(1, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.projections.Settle(ctx); err == nil {
			t.Error("settled while nothing answers")
		}
	})
}

// A known event that cannot be read is set aside by every projection that needs it, before
// what comes after it is done; the rest is as if it were not there, in a rebuild too, and
// the audit base holds it all the same.
func TestUnreadableEventsAreSetAside(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(30)
		secret := "+39333123"
		bad := func(stream, data string, metadata []byte) {
			s.append(stream, event.New{ID: s.author.ID(), Type: "NotificationSent", Data: []byte(data), Metadata: metadata})
		}
		good := s.author.Metadata("t1", time.Now())
		bad("notification-n1", `{"attempt": "`+secret+`"}`, good)
		bad("notification-n1", `{"attempt": 1, "day": "`+secret+`"}`, good)
		bad("notification-n2", `{"attempt": 1, "day": "2026-01-01"}`, []byte(`{"tenant": {"`+secret+`": 1}}`))
		s.append("audit-t1-20260101", event.New{ID: s.author.ID(), Type: "CallsRecorded", Data: []byte(`[]`), Metadata: good})
		s.write(30)
		s.start()
		time.Sleep(settle)
		for _, name := range projections.Names {
			if state := s.state(name); !state.Ready() || state.Events != uint64(len(s.store.ledger())) {
				t.Errorf("%s: %+v", name, state)
			}
		}
		want := map[string]int{"edr": 3, "notifications": 3, "accounting": 3, "rollups": 3, "audit_log": 1}
		if d := gocmp.Diff(want, s.asideBy()); d != "" {
			t.Errorf("set aside (-want +got):\n%s", d)
		}
		for _, what := range s.aside {
			if strings.Contains(what, secret) {
				t.Errorf("the record says %s", what)
			}
		}
		if err := s.projections.Settle(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.projections.Rebuild(t.Context(), "edr", nil); err != nil {
			t.Error(err)
		}
		time.Sleep(settle)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}

func TestRebuildTellsItsProgressWhileEventsArrive(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(300)
		s.start()
		time.Sleep(settle)
		before := s.house.view("edr")
		ctx, stop := context.WithCancel(t.Context())
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for ctx.Err() == nil {
				s.write(1)
				time.Sleep(3 * time.Millisecond)
			}
		}()
		var told [][2]uint64
		for range 2 { // the second builds anew
			if err := s.projections.Rebuild(t.Context(), "edr", func(done, total uint64) {
				told = append(told, [2]uint64{done, total})
			}); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		<-writing
		time.Sleep(settle)
		s.stop()
		for i, p := range told {
			if p[0] > p[1] || i > 0 && told[i-1][0] > p[0] && told[i-1][0] != told[i-1][1] {
				t.Errorf("progress %v", told)
				break
			}
		}
		if s.house.view("edr") == before || len(told) == 0 {
			t.Errorf("the view still shows %s; progress %v", before, told)
		}
		s.house.check(t, s.author.Codec, s.store.ledger())
		if err := s.projections.Rebuild(t.Context(), "nothing", nil); !errors.Is(err, follow.ErrUnknownProjection) {
			t.Error(err)
		}
	})
}

// A projection that has changed is built beside its old table, which is shown until
// then and dropped afterwards.
func TestChangedProjectionIsBuiltBesideTheOldTable(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(50)
		codec := s.author.Codec
		old := checkpoint.ProjectionCheckpointed{
			Projection: "edr", Generation: "g1",
			Live: checkpoint.Table{Name: "edr_v0_old", Done: checkpoint.Done{Events: 5, Position: 9}},
		}
		stream := checkpoint.ProjectionStream("edr")
		name, data, err := codec.Encode(t.Context(), nil, "", stream, old)
		if err != nil {
			t.Fatal(err)
		}
		s.append(stream, event.New{ID: s.author.ID(), Type: name, Data: data})
		s.house.tables["edr_v0_old"] = nil
		s.house.views["edr"] = "edr_v0_old"
		s.start()
		time.Sleep(settle)
		s.stop()
		s.house.check(t, codec, s.store.ledger())
	})
}

// Two processes that both think a projection is theirs do not spoil it.
func TestTwoProcessesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		other := startProcess(t, s.store, s.house, s.author.Codec, 2, 0)
		for range 100 {
			s.write(1)
			time.Sleep(50 * time.Millisecond)
		}
		other.stop()
		time.Sleep(settle)
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}

// ClickHouse is away for a day.
func TestClickHouseAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.start()
		time.Sleep(settle)
		s.chaos.set(1, false)
		s.write(5)
		time.Sleep(24 * time.Hour)
		if state := s.state("edr"); state.Phase != follow.Retrying || state.Error == "" || state.Ready() {
			t.Errorf("while it was away: %+v", state)
		}
		s.chaos.set(0, false)
		time.Sleep(settle)
		if state := s.state("edr"); !state.Ready() || state.Error != "" {
			t.Errorf("when it was back: %+v", state)
		}
		s.stop()
		s.house.check(t, s.author.Codec, s.store.ledger())
	})
}
