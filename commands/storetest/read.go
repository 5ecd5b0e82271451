package storetest

import (
	"errors"
	"fmt"
	"testing"

	"recapito/domain/event"
)

func testStreamNotFound(t *testing.T, s suite) {
	for _, d := range []event.Direction{event.Forwards, event.Backwards} {
		read := event.StreamRead{Stream: s.stream("none"), From: 3, Direction: d}
		err := s.store.ReadStream(s.ctx, read, func(event.Recorded) error {
			t.Error("an event of a stream that is not there")
			return nil
		})
		wantErr(t, fmt.Sprintf("direction %d", d), err, event.ErrStreamNotFound)
	}
}

func testReadStream(t *testing.T, s suite) {
	const n = 25
	stream := s.stream("read")
	all := s.fill(t, stream, n)
	s.fill(t, stream+"x", 2) // a longer name is another stream
	s.fill(t, stream[:len(stream)-1], 2)
	for _, from := range []event.Revision{0, 1, 7, n - 1, n, n + 5, event.RevisionEnd} {
		for _, limit := range []int{0, 1, 3, n, n + 1} {
			var forwards, backwards []event.Recorded
			if from < n {
				forwards = cut(all[from:], limit)
			}
			backwards = cut(reversed(all[:min(n, from+1)]), limit)
			what := fmt.Sprintf("from %d, limit %d", from, limit)
			got := s.readStream(t, event.StreamRead{Stream: stream, From: from, Limit: limit})
			sameRecorded(t, "forwards "+what, forwards, got)
			got = s.readStream(t, event.StreamRead{Stream: stream, From: from, Limit: limit, Direction: event.Backwards})
			sameRecorded(t, "backwards "+what, backwards, got)
		}
	}
}

// cut is the first events up to a limit; 0 means all. None is nil.
func cut(events []event.Recorded, limit int) []event.Recorded {
	if limit > 0 && limit < len(events) {
		events = events[:limit]
	}
	if len(events) == 0 {
		return nil
	}
	return events
}

func testReadAllOrder(t *testing.T, s suite) {
	var mine []event.Recorded
	for i := range 4 {
		stream := s.stream(fmt.Sprint(i % 2))
		s.mustAppend(t, stream, event.Any(), newEvents(3)...)
		mine = append(mine, s.readStream(t, event.StreamRead{Stream: stream, From: event.Revision(i / 2 * 3)})...)
	}
	found, last, whole := 0, event.Position(0), errors.New("seen all")
	err := s.store.ReadAll(s.ctx, event.AllRead{From: mine[0].Position}, func(e event.Recorded) error {
		if last > 0 && e.Position <= last {
			t.Errorf("position %d after %d", e.Position, last)
		}
		last = e.Position
		if e.ID == mine[found].ID {
			if found++; found == len(mine) {
				return whole
			}
		}
		return nil
	})
	if !errors.Is(err, whole) {
		t.Errorf("found %d of %d events in the order they were appended: %v", found, len(mine), err)
	}
	got := s.readAll(t, event.AllRead{From: mine[0].Position, Filter: s.filter()})
	sameRecorded(t, "$all", mine, got)
}

func testReadAllFromAnywhere(t *testing.T, s suite) {
	const n = 12
	all := s.fill(t, s.stream("all"), n)
	for i, e := range all {
		for _, limit := range []int{0, 1, 5} {
			what := fmt.Sprintf("from event %d, limit %d", i, limit)
			got := s.readAll(t, event.AllRead{From: e.Position, Limit: limit, Filter: s.filter()})
			sameRecorded(t, "forwards "+what, cut(all[i:], limit), got)
			got = s.readAll(t, event.AllRead{From: e.Position, Limit: max(limit, 1), Filter: s.filter(), Direction: event.Backwards})
			if i > 0 {
				sameRecorded(t, "backwards "+what, cut(reversed(all[:i]), max(limit, 1))[:min(i, max(limit, 1))], got)
			} else if len(got) != 0 {
				t.Errorf("backwards %s: %d events before the first", what, len(got))
			}
		}
	}
	got := s.readAll(t, event.AllRead{From: event.PositionEnd, Limit: n, Filter: s.filter(), Direction: event.Backwards})
	sameRecorded(t, "backwards from the end", reversed(all), got)
	if got := s.readAll(t, event.AllRead{From: event.PositionEnd, Filter: s.filter()}); len(got) != 0 {
		t.Errorf("forwards from the end: %d events", len(got))
	}
	got = s.readAll(t, event.AllRead{Filter: s.filter()})
	sameRecorded(t, "forwards from the beginning", all, got)
}

func testReadAllFilters(t *testing.T, s suite) {
	var all []event.Recorded
	for i, typ := range []string{"A", "B", "AB", "A", "C", "B", "A"} {
		stream := s.stream([]string{"x-1", "y-1", "xx-1"}[i%3])
		a := s.mustAppend(t, stream, event.Any(), newEvent(typ))
		all = append(all, s.readStream(t, event.StreamRead{Stream: stream, From: a.Revision})...)
	}
	tests := []struct {
		name     string
		prefixes []string
		types    []string
	}{
		{"one prefix", []string{"x-"}, nil},
		{"a prefix of two", []string{"x"}, nil},
		{"two prefixes", []string{"x-", "y-"}, nil},
		{"prefix of nothing", []string{"z"}, nil},
		{"one type", []string{""}, []string{"A"}},
		{"two types", []string{""}, []string{"B", "C"}},
		{"both", []string{"x-", "y-"}, []string{"A"}},
		{"type of nothing", []string{""}, []string{"D"}},
	}
	for _, test := range tests {
		filter := event.Filter{Types: test.types}
		for _, p := range test.prefixes {
			filter.StreamPrefixes = append(filter.StreamPrefixes, s.stream(p))
		}
		var want []event.Recorded
		for _, e := range all {
			if filter.Passes(e.Stream, e.Type) {
				want = append(want, e)
			}
		}
		sameRecorded(t, test.name, want, s.readAll(t, event.AllRead{From: all[0].Position, Filter: filter}))
		sameRecorded(t, test.name+", limit 2", cut(want, 2), s.readAll(t, event.AllRead{From: all[0].Position, Filter: filter, Limit: 2}))
		if len(want) > 0 {
			got := s.readAll(t, event.AllRead{From: event.PositionEnd, Filter: filter, Limit: len(want), Direction: event.Backwards})
			sameRecorded(t, test.name+", backwards", reversed(want), got)
		}
	}
}

func testVisitorError(t *testing.T, s suite) {
	stream := s.stream("visited")
	all := s.fill(t, stream, 5)
	enough := errors.New("enough")
	visits := 0
	visit := func(event.Recorded) error {
		if visits++; visits == 3 {
			return enough
		}
		return nil
	}
	err := s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream}, visit)
	if !errors.Is(err, enough) || visits != 3 {
		t.Errorf("stream: %v after %d visits", err, visits)
	}
	visits = 0
	err = s.store.ReadAll(s.ctx, event.AllRead{From: all[0].Position, Filter: s.filter()}, visit)
	if !errors.Is(err, enough) || visits != 3 {
		t.Errorf("$all: %v after %d visits", err, visits)
	}
}
