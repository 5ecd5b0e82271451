package marks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands/storecopy"
	memorystore "recapito/commands/storetest/memory"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/domain/mark"
	"recapito/projections/marks"
	"recapito/projections/projectionstest"
)

// marker is an instance that writes marks, with a clock of its own.
type marker struct {
	*marks.Timeline
	now  func() time.Time
	stop func()
}

func startMarker(t *testing.T, store *memorystore.Store, ahead time.Duration) *marker {
	t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	m, err := marks.New(marks.Config{Source: store, Store: store, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	return &marker{Timeline: m, now: now, stop: func() { cancel(); running.Wait() }}
}

// scribe appends ledger events, and others, stamped by the clock it is given.
type scribe struct {
	t      *testing.T
	store  *memorystore.Store
	random *rand.Rand
}

func (s scribe) write(now time.Time, n int) {
	for range n {
		stream := fmt.Sprintf("notification-n%d", s.random.IntN(5))
		if s.random.IntN(4) == 0 {
			stream = "checkpoint-runner-x"
		}
		metadata, err := event.EncodeMetadata(event.Metadata{Tenant: "t1", RecordedAt: now, OccurredAt: now})
		if err != nil {
			s.t.Fatal(err)
		}
		e := event.New{ID: event.UUIDv5("scribe", fmt.Sprint(s.random.Uint64())), Type: "X", Data: []byte(`{}`), Metadata: metadata}
		if _, err := s.store.Append(context.Background(), stream, event.Any(), []event.New{e}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func ledgerOf(store *memorystore.Store) []event.Recorded {
	return slices.DeleteFunc(slices.Clone(store.All()), func(e event.Recorded) bool { return !catalogue.IsLedger(e.Stream) })
}

// Whoever asks whenever, through which instance and in a copy, for a time that was
// answered once: the answer is the same. Instances write marks at the same time with
// clocks that differ, are stopped and started, and what they append fails at times.
func TestAnAnswerOfThePastNeverChanges(t *testing.T) { projectionstest.EverySeed(t, 30, pastStands) }

func pastStands(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 11))
		store := &memorystore.Store{}
		var faults sync.Mutex
		faulty := rand.New(rand.NewPCG(seed, 13)) // of its own: instances append at the same time
		often := []float64{0, 0.05}[random.IntN(2)]
		store.AppendFault = func(stream string, _ []event.New) (error, bool) {
			faults.Lock()
			defer faults.Unlock()
			if stream == mark.Stream && faulty.Float64() < often {
				return event.ErrUnknownOutcome, faulty.IntN(2) == 0
			}
			return nil, false
		}
		skew := func() time.Duration { return time.Duration(random.IntN(4001)-2000) * time.Millisecond }
		s := scribe{t, store, rand.New(rand.NewPCG(seed, 12))}
		instances := []*marker{startMarker(t, store, skew()), startMarker(t, store, 0), startMarker(t, store, skew())}
		answers := map[time.Time]uint64{}
		ask := func(by *marker, asOf time.Time) {
			cut, err := by.Resolve(t.Context(), asOf)
			switch {
			case errors.Is(err, marks.ErrFuture):
				if !asOf.After(by.now()) {
					t.Errorf("%v is no future", asOf)
				}
				return
			case errors.As(err, new(*marks.BeforeMarks)), errors.Is(err, event.ErrUnknownOutcome):
				return
			case err != nil:
				t.Fatal(err)
			}
			if before, asked := answers[asOf]; asked && before != cut.Seq {
				t.Fatalf("as of %v: %d events, then %d", asOf, before, cut.Seq)
			}
			answers[asOf] = cut.Seq
			if cut.MarkTime.After(asOf) || cut.Position != nil && ledgerOf(store)[cut.Seq-1].Position != *cut.Position {
				t.Errorf("as of %v: %+v", asOf, cut)
			}
		}
		for range 40 + random.IntN(40) {
			i := random.IntN(len(instances))
			switch random.IntN(8) {
			case 0:
				instances[i].stop()
				instances[i] = startMarker(t, store, skew())
			case 1, 2:
				ask(instances[i], time.Now().Add(-time.Duration(random.IntN(30_000))*time.Millisecond))
			case 3:
				ask(instances[i], instances[i].now())
			case 4:
				if n := len(answers); n > 0 {
					ask(instances[i], slices.Collect(maps.Keys(answers))[random.IntN(n)])
				}
			default:
				s.write(instances[i].now(), random.IntN(6))
			}
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		}
		for _, one := range instances {
			one.stop()
		}
		often = 0
		marksAreWell(t, store)
		target := &memorystore.Store{}
		for range 2 { // again after the source has grown
			if _, err := storecopy.Copy(t.Context(), store, target, quiet); err != nil {
				t.Fatal(err)
			}
			s.write(time.Now(), 3)
		}
		store, s.store = target, target
		again := startMarker(t, target, skew())
		s.write(time.Now(), 5)
		time.Sleep(10 * time.Second)
		for asOf := range answers {
			ask(again, asOf)
		}
		again.stop()
		marksAreWell(t, target)
	})
}

func quiet(storecopy.Progress) {}

// marksAreWell: times increase, counts do not fall, and each counts what it says.
func marksAreWell(t *testing.T, store *memorystore.Store) {
	t.Helper()
	ledger := ledgerOf(store)
	var before mark.Marked
	for _, m := range marksOf(t, store) {
		if !m.Time.After(before.Time) || m.Seq < before.Seq || m.Time != m.Time.Truncate(mark.Tick) {
			t.Errorf("%+v follows %+v", m, before)
		}
		if m.Seq > 0 && ledger[m.Seq-1].ID != m.LastID {
			t.Errorf("%+v: the event that it counts last is another", m)
		}
		before = m
	}
}

func marksOf(t *testing.T, store *memorystore.Store) []mark.Marked {
	t.Helper()
	var all []mark.Marked
	for _, r := range store.Stream(mark.Stream) {
		decoded, err := projectionstest.NewCodec(t).Decode(t.Context(), nil, "", r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, decoded.(mark.Marked))
	}
	return all
}

// About one mark a second while there is something new, none else; the last at the stop.
func TestMarksAreMadeWhileThereIsSomethingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memorystore.Store{}
		s := scribe{t, store, rand.New(rand.NewPCG(1, 1))}
		m := startMarker(t, store, 0)
		time.Sleep(time.Hour)
		if n := len(store.All()); n != 0 {
			t.Errorf("idle, %d events were appended", n)
		}
		for range 100 {
			s.write(time.Now(), 5)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		n := len(marksOf(t, store))
		if n < 9 || n > 12 {
			t.Errorf("%d marks in 10 s", n)
		}
		time.Sleep(time.Hour)
		if after := len(marksOf(t, store)); after != n {
			t.Errorf("idle, %d marks became %d", n, after)
		}
		s.write(time.Now(), 20)
		time.Sleep(100 * time.Millisecond)
		s.write(time.Now(), 20)
		m.stop()
		marks := marksOf(t, store)
		if last := marks[len(marks)-1]; last.Seq != uint64(len(ledgerOf(store))) {
			t.Errorf("%d of %d events are marked after the stop", last.Seq, len(ledgerOf(store)))
		}
	})
}

// With clocks that agree, what was durable a second before the time asked for is known,
// and nothing that was recorded after it, whoever was there to mark.
func TestACutIsWhereItsTimeIs(t *testing.T) {
	for _, marked := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := &memorystore.Store{}
			s := scribe{t, store, rand.New(rand.NewPCG(2, 2))}
			m := startMarker(t, store, 0)
			s.write(time.Now(), 8)
			time.Sleep(5 * time.Second)
			if !marked {
				m.stop()
			}
			var asked []time.Time
			for range 50 {
				s.write(time.Now(), 1)
				time.Sleep(130 * time.Millisecond)
				asked = append(asked, time.Now())
				time.Sleep(130 * time.Millisecond)
			}
			s.write(time.Now().Add(time.Millisecond), 3)
			for _, asOf := range asked {
				cut, err := m.Resolve(t.Context(), asOf)
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range ledgerOf(store) {
					md, err := event.DecodeMetadata(e.Metadata)
					if err != nil {
						t.Fatal(err)
					}
					in := uint64(i) < cut.Seq
					if in && md.RecordedAt.After(asOf) {
						t.Errorf("as of %v it knows what was recorded %v later", asOf, md.RecordedAt.Sub(asOf))
					}
					late := 2 * time.Second
					if !marked {
						late = 0
					}
					if !in && md.RecordedAt.Before(asOf.Add(-late)) {
						t.Errorf("as of %v it does not know what was recorded %v before", asOf, asOf.Sub(md.RecordedAt))
					}
				}
			}
			if marked {
				m.stop()
			}
		})
	}
}

func TestTimesThatCannotBeAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memorystore.Store{}
		m := startMarker(t, store, 0)
		defer m.stop()
		scribe{t, store, rand.New(rand.NewPCG(3, 3))}.write(time.Now(), 9)
		time.Sleep(time.Minute)
		if _, err := m.Resolve(t.Context(), time.Now().Add(time.Microsecond)); !errors.Is(err, marks.ErrFuture) {
			t.Errorf("the future: %v", err)
		}
		var before *marks.BeforeMarks
		if _, err := m.Resolve(t.Context(), time.Now().Add(-time.Hour)); !errors.As(err, &before) {
			t.Fatalf("before the ledger: %v", err)
		}
		first := marksOf(t, store)[0]
		if !before.First.Equal(first.Time) {
			t.Errorf("before the ledger: the first mark is said to be of %v and is of %v", before.First, first.Time)
		}
		if _, err := m.Resolve(t.Context(), first.Time.Add(-mark.Tick)); !errors.As(err, &before) {
			t.Errorf("just before the first mark: %v", err)
		}
		// Equal to a mark, from then until the next one, and in whatever zone it is said.
		for _, asOf := range []time.Time{
			first.Time, first.Time.In(time.FixedZone("", -5*3600)), first.Time.Add(mark.Tick - 1), first.Time.Add(time.Millisecond),
		} {
			if cut, err := m.Resolve(t.Context(), asOf); err != nil || cut.Seq != first.Seq || cut.MarkTime.Before(first.Time) || cut.MarkTime.After(asOf) {
				t.Errorf("as of %v, the first mark being of %v: %+v, %v", asOf, first.Time, cut, err)
			}
		}
		if cut, err := m.Resolve(t.Context(), time.Now()); err != nil || cut.Seq != uint64(len(ledgerOf(store))) {
			t.Errorf("now: %+v, %v", cut, err)
		}
	})
}

// A ledger that was never marked, or that is a copy, is counted from a checkpoint or from
// its beginning; marks that count what is not there are not believed.
func TestMarksOfAnotherLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memorystore.Store{}
		s := scribe{t, store, rand.New(rand.NewPCG(4, 4))}
		s.write(time.Now(), 50)
		m := startMarker(t, store, 0)
		time.Sleep(time.Second)
		m.stop()
		if got := marksOf(t, store); len(got) != 1 || got[0].Seq != uint64(len(ledgerOf(store))) {
			t.Errorf("%+v", got)
		}
		other := &memorystore.Store{}
		s.store = other
		s.write(time.Now(), 50)
		for _, r := range store.Stream(mark.Stream) {
			if _, err := other.Append(t.Context(), mark.Stream, event.Any(), []event.New{{ID: r.ID, Type: r.Type, Data: r.Data}}); err != nil {
				t.Fatal(err)
			}
		}
		m = startMarker(t, other, 0)
		defer m.stop()
		time.Sleep(3 * time.Second)
		if m.Failing() == nil {
			t.Error("marks of another ledger are believed")
		}
		if _, err := m.Resolve(t.Context(), time.Now()); err == nil {
			t.Error("a time was answered by marks of another ledger")
		}
		if diff := cmp.Diff(marksOf(t, store), marksOf(t, other)); diff != "" {
			t.Error(diff)
		}
	})
}
