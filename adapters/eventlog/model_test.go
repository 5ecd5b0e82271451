package eventlog

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
)

// modelStream is what a stream must hold: ids in order, and the positions returned.
type modelStream []modelEvent

type modelEvent struct {
	id       string
	position event.Position
}

// reply is the specification of an append at an exact revision or to no stream.
func (s modelStream) reply(expected event.Expected, ids []string) (fits bool, repeated *event.Appended) {
	next := 0
	if r, ok := expected.Exactly(); ok {
		next = int(r) + 1
		fits = len(s) > 0 && next == len(s)
	} else {
		fits = len(s) == 0
	}
	if fits || next+len(ids) > len(s) {
		return fits, nil
	}
	for i, id := range ids {
		if s[next+i].id != id {
			return false, nil
		}
	}
	last := next + len(ids) - 1
	return false, &event.Appended{Revision: event.Revision(last), Position: s[last].position}
}

// TestModel holds random appends, repetitions among them, and reopenings against the
// specification.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		log := openOn(t, fs)
		streams := map[string]modelStream{}
		pool := make([]string, 6) // few ids, so that repetitions happen
		for i := range pool {
			pool[i] = uuid.NewString()
		}
		steps := rapid.IntRange(1, 40).Draw(rt, "steps")
		for range steps {
			if rapid.IntRange(0, 15).Draw(rt, "reopen") == 0 {
				if err := log.Close(); err != nil {
					rt.Fatal(err)
				}
				log = openOn(t, fs)
			}
			name := fmt.Sprintf("s-%d", rapid.IntRange(0, 1).Draw(rt, "stream"))
			ids := rapid.SliceOfN(rapid.SampledFrom(pool), 1, 3).Draw(rt, "ids")
			expected := event.NoStream()
			if r := rapid.IntRange(-1, len(streams[name])+1).Draw(rt, "expected"); r >= 0 {
				expected = event.Exact(event.Revision(r))
			}
			events := make([]event.New, len(ids))
			for i, id := range ids {
				events[i] = event.New{ID: id, Type: "Tested"}
			}
			fits, repeated := streams[name].reply(expected, ids)
			got, err := log.Append(t.Context(), name, expected, events)
			switch {
			case fits:
				if err != nil || got.Revision != event.Revision(len(streams[name])+len(ids)-1) {
					rt.Fatalf("append that fits: %+v, %v", got, err)
				}
				for i, id := range ids {
					streams[name] = append(streams[name], modelEvent{id, got.Position - event.Position(len(ids)-1-i)})
				}
			case repeated != nil:
				if err != nil || got != *repeated {
					rt.Fatalf("repeated append: %+v, %v, want %+v", got, err, *repeated)
				}
			default:
				var wrong *event.WrongVersion
				if !errors.As(err, &wrong) {
					rt.Fatalf("append that does not fit: %+v, %v", got, err)
				}
				if n := len(streams[name]); wrong.NoStream != (n == 0) || n > 0 && int(wrong.Actual) != n-1 {
					rt.Fatalf("%d events, told %+v", n, *wrong)
				}
			}
		}
		for name, want := range streams {
			got := streamOf(t, log, name, event.Forwards)
			if len(got) != len(want) {
				rt.Fatalf("%s has %d events, want %d", name, len(got), len(want))
			}
			for i, e := range got {
				if e.ID != want[i].id || e.Position != want[i].position || e.Revision != event.Revision(i) {
					rt.Fatalf("%s, event %d: %s at %d, want %s at %d", name, i, e.ID, e.Position, want[i].id, want[i].position)
				}
			}
		}
		if err := log.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
