package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/domain/event"
)

func testAppendAndReadBack(t *testing.T, s suite) {
	stream := s.stream("a ü/日本 {}")
	first, second := newEvents(3), newEvents(2)
	before := time.Now().Add(-time.Hour)
	a := s.mustAppend(t, stream, event.NoStream(), first...)
	b := s.mustAppend(t, stream, event.Exact(2), second...)
	if a.Revision != 2 || b.Revision != 4 {
		t.Errorf("appends ended at revisions %d and %d, want 2 and 4", a.Revision, b.Revision)
	}
	got := s.readStream(t, event.StreamRead{Stream: stream})
	sameEvents(t, stream, 0, append(first, second...), got)
	if got[2].Position != a.Position || got[4].Position != b.Position {
		t.Errorf("positions read are %d and %d, those returned %d and %d", got[2].Position, got[4].Position, a.Position, b.Position)
	}
	for _, e := range got {
		if e.Created.Before(before) || e.Created.After(time.Now().Add(time.Hour)) {
			t.Errorf("event %d was created at %v", e.Revision, e.Created)
		}
		if e.Position > event.PositionEnd {
			t.Errorf("event %d has position %d", e.Revision, e.Position)
		}
	}
}

func testEmptyData(t *testing.T, s suite) {
	stream := s.stream("empty")
	events := []event.New{{ID: newID(), Type: "Tested"}, {ID: newID(), Type: "Tested", Data: []byte(`{}`)}, {ID: newID(), Type: "Tested", Metadata: []byte(`{}`)}}
	s.mustAppend(t, stream, event.NoStream(), events...)
	sameEvents(t, stream, 0, events, s.readStream(t, event.StreamRead{Stream: stream}))
}

func testExpectations(t *testing.T, s suite) {
	tests := []struct {
		name     string
		events   int // that stand in the stream before
		expected event.Expected
		wrong    bool
	}{
		{"any, empty", 0, event.Any(), false},
		{"any, two events", 2, event.Any(), false},
		{"no stream, empty", 0, event.NoStream(), false},
		{"no stream, two events", 2, event.NoStream(), true},
		{"stream exists, empty", 0, event.StreamExists(), true},
		{"stream exists, two events", 2, event.StreamExists(), false},
		{"exact 0, empty", 0, event.Exact(0), true},
		{"exact 0, two events", 2, event.Exact(0), true},
		{"exact 1, two events", 2, event.Exact(1), false},
		{"exact 2, two events", 2, event.Exact(2), true},
		{"exact 99, two events", 2, event.Exact(99), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stream := s.stream(newID())
			var want []event.New
			if test.events > 0 {
				want = newEvents(test.events)
				s.mustAppend(t, stream, event.NoStream(), want...)
			}
			more := newEvents(2)
			appended, err := s.store.Append(s.ctx, stream, test.expected, more)
			if test.wrong {
				wantErr(t, "append", err, event.ErrWrongVersion)
			} else {
				if err != nil {
					t.Fatalf("append: %v", err)
				}
				want = append(want, more...)
				if last := event.Revision(len(want) - 1); appended.Revision != last {
					t.Errorf("append ended at revision %d, want %d", appended.Revision, last)
				}
			}
			if len(want) == 0 {
				err := s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream}, func(event.Recorded) error { return nil })
				wantErr(t, "read after a refused append", err, event.ErrStreamNotFound)
				return
			}
			sameEvents(t, stream, 0, want, s.readStream(t, event.StreamRead{Stream: stream}))
		})
	}
}

func testWrongVersionDetails(t *testing.T, s suite) {
	stream := s.stream("one")
	s.mustAppend(t, stream, event.NoStream(), newEvents(3)...)
	tests := []struct {
		name     string
		stream   string
		expected event.Expected
		noStream bool
		actual   event.Revision
	}{
		{"behind", stream, event.Exact(1), false, 2},
		{"ahead", stream, event.Exact(7), false, 2},
		{"no stream", stream, event.NoStream(), false, 2},
		{"exact on none", s.stream("none"), event.Exact(0), true, 0},
		{"exists on none", s.stream("none"), event.StreamExists(), true, 0},
	}
	for _, test := range tests {
		_, err := s.store.Append(s.ctx, test.stream, test.expected, newEvents(1))
		var wrong *event.WrongVersion
		if !errors.As(err, &wrong) {
			t.Errorf("%s: error %v, want *event.WrongVersion", test.name, err)
			continue
		}
		want := event.WrongVersion{Stream: test.stream, Expected: test.expected, NoStream: test.noStream, Actual: test.actual}
		if test.noStream {
			want.Actual = wrong.Actual // meaningless
		}
		if *wrong != want {
			t.Errorf("%s: clash %+v, want %+v", test.name, *wrong, want)
		}
	}
}

func testRepeatedAppend(t *testing.T, s suite) {
	stream := s.stream("repeated")
	first, second, third := newEvents(2), newEvents(3), newEvents(1)
	a := s.mustAppend(t, stream, event.NoStream(), first...)
	if again := s.mustAppend(t, stream, event.NoStream(), first...); again != a {
		t.Errorf("repeated at once: %+v, want %+v", again, a)
	}
	b := s.mustAppend(t, stream, event.Exact(1), second...)
	s.mustAppend(t, stream, event.Any(), third...)
	if again := s.mustAppend(t, stream, event.NoStream(), first...); again != a {
		t.Errorf("repeated after more events: %+v, want %+v", again, a)
	}
	if again := s.mustAppend(t, stream, event.Exact(1), second...); again != b {
		t.Errorf("repeated at an exact revision after more events: %+v, want %+v", again, b)
	}
	want := append(append(first, second...), third...)
	sameEvents(t, stream, 0, want, s.readStream(t, event.StreamRead{Stream: stream}))
}

func testRepeatedInPart(t *testing.T, s suite) {
	stream := s.stream("part")
	have := newEvents(3)
	s.mustAppend(t, stream, event.NoStream(), have...)
	tests := []struct {
		name     string
		expected event.Expected
		events   []event.New
	}{
		{"the same and one more", event.NoStream(), append(append([]event.New{}, have...), newEvent("Tested"))},
		{"the last and one more", event.Exact(1), []event.New{have[2], newEvent("Tested")}},
		{"another first", event.NoStream(), []event.New{newEvent("Tested"), have[1]}},
		{"another last", event.NoStream(), []event.New{have[0], newEvent("Tested")}},
		{"another order", event.NoStream(), []event.New{have[1], have[0], have[2]}},
		{"another revision", event.Exact(0), []event.New{have[0], have[1]}},
		{"all new", event.Exact(0), newEvents(1)},
	}
	for _, test := range tests {
		_, err := s.store.Append(s.ctx, stream, test.expected, test.events)
		wantErr(t, test.name, err, event.ErrWrongVersion)
	}
	sameEvents(t, stream, 0, have, s.readStream(t, event.StreamRead{Stream: stream}))
}

// testRepeatedInFlight sends the same append many times at once: all get one result.
func testRepeatedInFlight(t *testing.T, s suite) {
	stream := s.stream("twins")
	events := newEvents(2)
	const twins = 32
	results := make([]event.Appended, twins)
	errs := make([]error, twins)
	var wg sync.WaitGroup
	for i := range twins {
		wg.Go(func() { results[i], errs[i] = s.store.Append(s.ctx, stream, event.NoStream(), events) })
	}
	wg.Wait()
	for i := range twins {
		if errs[i] != nil || results[i] != results[0] {
			t.Errorf("append %d: %+v, %v, want %+v", i, results[i], errs[i], results[0])
		}
	}
	sameEvents(t, stream, 0, events, s.readStream(t, event.StreamRead{Stream: stream}))
}

func testInvalidAppend(t *testing.T, s suite) {
	stream := s.stream("invalid")
	with := func(id, typ string) []event.New { return []event.New{{ID: id, Type: typ, Data: []byte(`{}`)}} }
	tests := []struct {
		name   string
		stream string
		events []event.New
	}{
		{"no events", stream, nil},
		{"empty stream name", "", newEvents(1)},
		{"empty id", stream, with("", "Tested")},
		{"id no UUID", stream, with("not-a-uuid", "Tested")},
		{"id too short", stream, with(newID()[1:], "Tested")},
		{"no type", stream, with(newID(), "")},
		{"second event bad", stream, append(newEvents(1), with("x", "Tested")...)},
	}
	for _, test := range tests {
		_, err := s.store.Append(s.ctx, test.stream, event.Any(), test.events)
		wantErr(t, test.name, err, event.ErrInvalid)
	}
	err := s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream}, func(event.Recorded) error { return nil })
	wantErr(t, "read after refused appends", err, event.ErrStreamNotFound)
}

func testTooLarge(t *testing.T, s suite) {
	// More than any store's limit that we know of, and than one gRPC message.
	const tooLarge = 20 << 20
	stream := s.stream("large")
	big := newEvent("Tested")
	big.Data = []byte(`"` + strings.Repeat("x", tooLarge) + `"`)
	_, err := s.store.Append(s.ctx, stream, event.Any(), []event.New{newEvent("Tested"), big})
	wantErr(t, "append of 20 MiB", err, event.ErrTooLarge)
	err = s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream}, func(event.Recorded) error { return nil })
	wantErr(t, "read after it", err, event.ErrStreamNotFound)

	big.Data = append(append([]byte(`"`), bytes.Repeat([]byte("y"), 512<<10)...), '"')
	s.mustAppend(t, stream, event.NoStream(), big)
	sameEvents(t, stream, 0, []event.New{big}, s.readStream(t, event.StreamRead{Stream: stream}))
}

func testEndedContext(t *testing.T, s suite) {
	stream := s.stream("ended")
	events := newEvents(1)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := s.store.Append(ctx, stream, event.NoStream(), events); !errors.Is(err, event.ErrUnavailable) && !errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("append under an ended context: %v, want event.ErrUnavailable or event.ErrUnknownOutcome", err)
	}
	if err := s.store.ReadAll(ctx, event.AllRead{Limit: 1}, func(event.Recorded) error { return nil }); err == nil {
		t.Error("read under an ended context: no error")
	}
	s.mustAppend(t, stream, event.NoStream(), events...) // the way out of an unknown outcome
	sameEvents(t, stream, 0, events, s.readStream(t, event.StreamRead{Stream: stream}))
}

func testManyInFlight(t *testing.T, s suite) {
	const writers, rounds = 256, 4
	appended := make([][rounds]event.Appended, writers)
	events := make([][]event.New, writers)
	errs := make([]error, writers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		events[w] = newEvents(rounds)
		wg.Go(func() {
			<-start
			expected := event.NoStream()
			for r := range rounds {
				a, err := s.store.Append(s.ctx, s.stream(events[w][0].ID), expected, events[w][r:r+1])
				if err != nil {
					errs[w] = err
					return
				}
				appended[w][r], expected = a, event.Exact(a.Revision)
			}
		})
	}
	close(start)
	wg.Wait()
	for w := range writers {
		if errs[w] != nil {
			t.Fatalf("writer %d: %v", w, errs[w])
		}
		stream := s.stream(events[w][0].ID)
		got := s.readStream(t, event.StreamRead{Stream: stream})
		sameEvents(t, stream, 0, events[w], got)
		for r, a := range appended[w] {
			if a.Revision != got[r].Revision || a.Position != got[r].Position {
				t.Errorf("writer %d, append %d returned %+v, reads as %d at %d", w, r, a, got[r].Revision, got[r].Position)
			}
		}
	}
}

// testOneWins lets many writers append to one stream, each at the revision it believes
// in: each revision is won once, the others get the stream's revision.
func testOneWins(t *testing.T, s suite) {
	const writers, each = 16, 8
	stream := s.stream("contended")
	s.mustAppend(t, stream, event.NoStream(), newEvent("Tested"))
	var mu sync.Mutex
	won := map[event.Revision]string{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			at := event.Revision(0)
			for n := 0; n < each; {
				e := newEvent("Tested")
				a, err := s.store.Append(s.ctx, stream, event.Exact(at), []event.New{e})
				var wrong *event.WrongVersion
				switch {
				case errors.As(err, &wrong):
					if wrong.NoStream || wrong.Actual <= at {
						t.Errorf("expected revision %d, got %+v", at, *wrong)
						return
					}
					at = wrong.Actual
				case err != nil:
					t.Errorf("append: %v", err)
					return
				default:
					mu.Lock()
					if other := won[a.Revision]; other != "" || a.Revision != at+1 {
						t.Errorf("revision %d after %d, won before by %q", a.Revision, at, other)
					}
					won[a.Revision] = e.ID
					mu.Unlock()
					at = a.Revision
					n++
				}
			}
		})
	}
	wg.Wait()
	got := s.readStream(t, event.StreamRead{Stream: stream})
	if len(got) != 1+writers*each {
		t.Fatalf("%d events, want %d", len(got), 1+writers*each)
	}
	for i, e := range got[1:] {
		if e.Revision != event.Revision(i+1) || won[e.Revision] != e.ID {
			t.Errorf("event %d is %s at revision %d, which %s won", i+1, e.ID, e.Revision, won[e.Revision])
		}
	}
}
