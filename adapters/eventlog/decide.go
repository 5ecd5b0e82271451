package eventlog

import (
	"fmt"

	"github.com/google/uuid"

	"recapito/domain/event"
)

// verdict on an append: write it after head, or answer when everything up to a position
// is durable.
type verdict struct {
	write  bool
	head   head
	answer answer
	upTo   event.Position
}

// decide holds an append against its stream, as EventStoreDB does: an expectation that
// is met writes; one that is behind is an idempotent success if the events that stand
// there have the very ids, in order and all of them; everything else is a wrong version.
// An error means that it could not be decided and nothing was written.
func (w *writer) decide(b *batch, r *request) (verdict, error) {
	h, err := w.head(b, r.stream)
	if err != nil {
		return verdict{}, err
	}
	wrong := verdict{answer: answer{err: wrongVersion(r, h)}, upTo: h.last}
	exact, isExact := r.expected.Exactly()
	var first event.Revision // where a repetition would have its first event
	switch {
	case isExact && h.next == exact+1, r.expected.IsNoStream() && !h.exists():
		return verdict{write: true, head: h}, nil
	case isExact:
		first = exact + 1
	case r.expected.IsNoStream():
		first = 0
	case r.expected.IsStreamExists() && !h.exists():
		return wrong, nil
	default: // any, or a stream that does exist
		seen := false
		if first, seen = w.seen(r); !seen {
			return verdict{write: true, head: h}, nil
		}
	}
	count := event.Revision(len(r.ids))
	if first >= h.next || h.next-first < count {
		return wrong, nil
	}
	var last event.Position
	for i, id := range r.ids {
		stands, position, err := w.idAt(b, r.stream, first+event.Revision(i))
		if err != nil {
			return verdict{}, err
		}
		if stands != id {
			return wrong, nil
		}
		last = position
	}
	appended := event.Appended{Revision: first + count - 1, Position: last}
	return verdict{answer: answer{appended: appended}, upTo: last}, nil
}

func wrongVersion(r *request, h head) error {
	e := &event.WrongVersion{Stream: r.stream, Expected: r.expected, NoStream: !h.exists()}
	if h.exists() {
		e.Actual = h.next - 1
	}
	return e
}

// seen looks for any of the request's ids among the recent events of its stream and
// answers where its first event would then stand. An impossible place (beyond the end)
// stands for ids that were seen in another order.
func (w *writer) seen(r *request) (event.Revision, bool) {
	for i, id := range r.ids {
		revision, ok := w.recent.get(recentID{id, r.stream})
		switch {
		case !ok:
		case revision < event.Revision(i):
			return event.RevisionEnd, true
		default:
			return revision - event.Revision(i), true
		}
	}
	return 0, false
}

// idAt answers the id and position of an event that stands in the stream, be it in the
// batch, applied or durable.
func (w *writer) idAt(b *batch, stream string, r event.Revision) (uuid.UUID, event.Position, error) {
	if s := b.streams[stream]; s != nil && r >= s.first {
		i := int(r - s.first)
		return s.ids[i], s.at[i], nil
	}
	key := appendIndexKey(w.key[:0], stream, r)
	value, closer, err := w.log.db.Get(key)
	if err != nil {
		return uuid.Nil, 0, fmt.Errorf("find event %d of stream %q: %w", r, stream, damage(err))
	}
	position, err := decodeIndex(key, value)
	_ = closer.Close()
	if err != nil {
		return uuid.Nil, 0, err
	}
	rec, closer, err := w.log.record(stream, r, position)
	if err != nil {
		return uuid.Nil, 0, err
	}
	defer closer.Close()
	return rec.id, position, nil
}
