package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/event"
)

// simStore is the event store in memory: exact revisions, repeated appends recognised
// by their ids. Each call is a step; some answer that they do not know, or not at all.
type simStore struct {
	s       *scheduler
	all     []event.Recorded
	streams map[string][]int // indexes into all
	ids     map[string]int   // event id → index into all
	limits  map[string]simLimits
	gone    map[int]bool // indexes into all: hidden, and scavenged at once
	emptied []string     // deleted streams whose metadata event goes with the next event
	faults  int          // left
	any     bool         // a planted bug: expectations are not looked at
	// appended is told of every event that became durable.
	appended func(event.Recorded)
	// ended is told when the whole of an append is durable.
	ended func(stream string)
}

var _ commands.Store = (*simStore)(nil)

func newSimStore(s *scheduler, faults int) *simStore {
	return &simStore{s: s, streams: map[string][]int{}, ids: map[string]int{}, limits: map[string]simLimits{}, gone: map[int]bool{}, faults: faults}
}

// simLimits are what a stream's metadata say.
type simLimits struct {
	MaxCount int            `json:"$maxCount"`
	Before   event.Revision `json:"$tb"`
}

func (l simLimits) deleted() bool { return l.Before == event.RevisionEnd }

// hide applies a stream's limits. What is hidden is gone from $all at once, but for the
// newest event: a reader can meet a scavenge no sooner.
func (st *simStore) hide(stream string) {
	l := st.limits[stream]
	has := st.streams[stream]
	begin := int(min(l.Before, event.Revision(len(has))))
	if l.MaxCount > 0 {
		begin = max(begin, len(has)-l.MaxCount)
	}
	for _, i := range has[:begin] {
		st.gone[i] = i < len(st.all)-1 || st.gone[i]
	}
}

// describe takes a metadata event.
func (st *simStore) describe(e event.Recorded) {
	if stream, ok := strings.CutPrefix(e.Stream, event.MetadataPrefix); ok {
		var l simLimits
		_ = json.Unmarshal(e.Data, &l) // malformed ones set none
		st.limits[stream] = l
		st.hide(stream)
		if l.deleted() {
			st.emptied = append(st.emptied, stream)
		}
	}
}

// forget scavenges the metadata of streams that are deleted and of which nothing is left.
// Their revisions are known still.
func (st *simStore) forget() {
	for _, stream := range st.emptied {
		if !st.limits[stream].deleted() {
			continue // it came back
		}
		for _, i := range st.streams[event.MetadataPrefix+stream] {
			st.gone[i] = true
		}
	}
	st.emptied = st.emptied[:0]
}

// broken draws whether a call goes wrong.
func (st *simStore) broken(oneIn int) bool {
	if st.faults > 0 && st.s.chance(oneIn) {
		st.faults--
		return true
	}
	return false
}

func (st *simStore) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	st.s.step()
	if ctx.Err() != nil {
		return event.Appended{}, ctx.Err()
	}
	if len(events) == 0 || stream == "" {
		return event.Appended{}, event.ErrInvalid
	}
	if st.broken(25) {
		switch st.s.rng.IntN(3) {
		case 0:
			st.s.log("append to %s: unavailable", stream)
			return event.Appended{}, event.ErrUnavailable
		case 1:
			st.s.log("append to %s: unknown, did not happen", stream)
			return event.Appended{}, event.ErrUnknownOutcome
		}
		_, err := st.append(stream, expected, events)
		st.s.log("append to %s: unknown (in truth: %v)", stream, err)
		return event.Appended{}, event.ErrUnknownOutcome
	}
	return st.append(stream, expected, events)
}

func (st *simStore) append(stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	has := st.streams[stream]
	if first, again := st.ids[events[0].ID]; again && st.all[first].Stream == stream {
		last := st.all[first]
		for _, e := range events[1:] {
			if at, ok := st.ids[e.ID]; ok {
				last = st.all[at]
			}
		}
		return event.Appended{Revision: last.Revision, Position: last.Position}, nil
	}
	wrong := &event.WrongVersion{Stream: stream, Expected: expected, NoStream: len(has) == 0}
	if len(has) > 0 {
		wrong.Actual = event.Revision(len(has) - 1)
	}
	exact, isExact := expected.Exactly()
	switch {
	case st.any && strings.HasPrefix(stream, "notification-"):
	case expected.IsNoStream() && len(has) > 0 && !st.limits[stream].deleted(),
		expected.IsStreamExists() && (len(has) == 0 || st.limits[stream].deleted()),
		isExact && (len(has) == 0 || wrong.Actual != exact):
		st.s.log("append to %s: clash", stream)
		return event.Appended{}, wrong
	}
	last := st.write(stream, events)
	if st.limits[stream].deleted() {
		back := event.New{ID: uuid.NewSHA1(uuid.Nil, []byte(last.ID)).String(), Type: event.MetadataType, Data: fmt.Appendf(nil, `{"$tb":%d}`, len(has))}
		st.write(event.MetadataPrefix+stream, []event.New{back})
	}
	st.hide(stream)
	if st.ended != nil {
		st.ended(stream)
	}
	return event.Appended{Revision: last.Revision, Position: last.Position}, nil
}

func (st *simStore) write(stream string, events []event.New) event.Recorded {
	var last event.Recorded
	for _, e := range events {
		at := event.Position(st.s.rng.IntN(3))
		if n := len(st.all); n > 0 {
			at += st.all[n-1].Position + 1
		}
		last = event.Recorded{
			Stream: stream, Revision: event.Revision(len(st.streams[stream])), Position: at,
			ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, Created: st.s.now,
		}
		st.ids[e.ID] = len(st.all)
		st.streams[stream] = append(st.streams[stream], len(st.all))
		st.all = append(st.all, last)
		if st.s.tracing {
			st.s.log("%s@%d %s%s", stream, last.Revision, e.Type, facts(e.Data))
		}
		if st.appended != nil {
			st.appended(last)
		}
		st.forget() // those before it
		st.describe(last)
	}
	return last
}

func (st *simStore) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if len(st.streams[read.Stream]) > 0 || !strings.HasPrefix(read.Stream, "deadline-") {
		st.s.step()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if st.broken(60) {
		st.s.log("read of %s: unavailable", read.Stream)
		return event.ErrUnavailable
	}
	has := st.streams[read.Stream]
	if len(has) == 0 || st.limits[read.Stream].deleted() || strings.HasPrefix(read.Stream, event.MetadataPrefix) && st.gone[has[len(has)-1]] {
		return event.ErrStreamNotFound
	}
	l, begin := st.limits[read.Stream], 0
	if strings.HasPrefix(read.Stream, event.MetadataPrefix) {
		l.MaxCount = 1
	}
	begin = int(l.Before)
	if l.MaxCount > 0 {
		begin = max(begin, len(has)-l.MaxCount)
	}
	if read.Direction == event.Backwards {
		n := 0
		for i := min(len(has)-1, int(read.From)); i >= begin && (read.Limit == 0 || n < read.Limit); i-- {
			if err := visit(st.all[has[i]]); err != nil {
				return err
			}
			n++
		}
		return nil
	}
	from := max(int(read.From), begin)
	end := len(has)
	for i := from; i < end && (read.Limit == 0 || i < from+read.Limit); i++ {
		if err := visit(st.all[has[i]]); err != nil {
			return err
		}
	}
	return nil
}

// ReadAll is asked only for the newest event.
func (st *simStore) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	st.s.step()
	if read.Direction != event.Backwards || read.Limit != 1 {
		return event.ErrInvalid
	}
	if ctx.Err() != nil || len(st.all) == 0 {
		return ctx.Err()
	}
	return visit(st.all[len(st.all)-1])
}

// Subscribe is not called: the simulation feeds readers itself.
func (st *simStore) Subscribe(context.Context, event.Subscription, event.Handler) error {
	return event.ErrUnavailable
}
