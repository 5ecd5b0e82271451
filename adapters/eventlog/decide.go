package eventlog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// verdict on a request: do it, or reply when everything up to a position is durable.
type verdict struct {
	write    bool
	head     layout.Head // of its stream
	metadata layout.Head // of the metadata stream, if something is placed there too
	original layout.Head // if its stream is a metadata stream: of the one it limits
	undelete *request
	reply    reply
	upTo     event.Position
}

// decide holds a request against its stream, as EventStoreDB does: an expectation that
// is met writes; one that is behind is an idempotent success if the events that stood
// there have the very ids, in order and all of them; everything else is a wrong version.
// A deleted stream goes on where it ended, also for who expects no stream; a tombstoned
// one is gone. An error means that it could not be decided and nothing was written.
func (w *writer) decide(b *batch, r *request) (verdict, error) {
	h, err := w.head(b, r.stream)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{write: true, head: h}
	if r.does == removes {
		return v, r.removal.check(h)
	}
	if original, ok := layout.LimitedBy(r.stream); ok {
		if v.original, err = w.head(b, original); err != nil {
			return verdict{}, err
		}
	}
	deleted := verdict{reply: reply{err: &event.StreamDeleted{Stream: r.stream}}, upTo: max(h.Known(), v.original.Known())}
	if h.Tombstoned || v.original.Tombstoned {
		return deleted, nil
	}
	if err := w.alongside(b, r, &v); err != nil {
		return verdict{}, err
	}
	wrong := verdict{reply: reply{err: wrongVersion(r, h)}, upTo: h.Known()}
	if r.does == deletes && !h.Exists() && h.LimitedAt == 0 {
		return wrong, nil // there is nothing to delete
	}
	exact, isExact := r.expected.Exactly()
	var first event.Revision // where a repetition would have its first event
	switch {
	case isExact && h.Next == exact+1, r.expected.IsNoStream() && !h.Exists():
		return v, nil
	case isExact:
		first = exact + 1
	case r.expected.IsNoStream():
		first = 0
	case r.expected.IsStreamExists() && h.Limits.Deleted():
		return deleted, nil
	case r.expected.IsStreamExists() && !h.Exists() && h.LimitedAt == 0:
		return wrong, nil
	default: // any, or a stream that does exist
		seen := false
		if first, seen = w.seen(r); !seen {
			return v, nil
		}
	}
	var last event.Position
	for i, id := range r.ids {
		at := first + event.Revision(i)
		stands, position := false, event.Position(0)
		if at >= first && at < h.Next {
			if stands, position, err = w.standsAt(b, r.stream, id, at, h.First); err != nil {
				return verdict{}, err
			}
		}
		switch {
		case stands:
			last = position
		case i == 0 && r.expected.IsNoStream() && h.Limits.Deleted():
			return v, nil
		default:
			return wrong, nil
		}
	}
	appended := event.Appended{Revision: first + event.Revision(len(r.ids)) - 1, Position: last}
	return verdict{reply: reply{appended: appended}, upTo: last}, nil
}

func wrongVersion(r *request, h layout.Head) error {
	e := &event.WrongVersion{Stream: r.stream, Expected: r.expected, NoStream: !h.Exists()}
	if h.Exists() {
		e.Actual = h.Next - 1
	}
	return e
}

// seen looks for any of the request's ids among the recent events of its stream and
// returns where its first event would then stand. An impossible place (beyond the end)
// stands for ids that were seen in another order.
func (w *writer) seen(r *request) (event.Revision, bool) {
	for i, id := range r.ids {
		at, ok := w.recent.get(recentID{id, r.stream})
		switch {
		case !ok:
		case at.revision < event.Revision(i):
			return event.RevisionEnd, true
		default:
			return at.revision - event.Revision(i), true
		}
	}
	return 0, false
}

// standsAt reports whether an event stands at a revision of the stream, be it in the batch,
// applied or durable, and returns its position. One that was removed stands there as
// long as it is remembered; of others nothing is known below the stream's first revision.
func (w *writer) standsAt(b *batch, stream string, id uuid.UUID, r, first event.Revision) (bool, event.Position, error) {
	if s := b.streams[stream]; s != nil && r >= s.first {
		i := int(r - s.first)
		return s.ids[i] == id, s.at[i], nil
	}
	if at, ok := w.recent.get(recentID{id, stream}); ok && at.revision == r {
		return true, at.position, nil
	}
	key := layout.AppendIndexKey(w.key[:0], stream, r)
	value, closer, err := w.log.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) && r < first {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, fmt.Errorf("find event %d of stream %q: %w", r, stream, guard.Damage(err))
	}
	position, err := layout.DecodeIndex(key, value)
	_ = closer.Close()
	if err != nil {
		return false, 0, err
	}
	rec, closer, err := w.log.record(stream, r, position)
	if err != nil {
		return false, 0, err
	}
	defer closer.Close()
	return rec.Id == id, position, nil
}
