package eventlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// action is what a request asks of the writer.
type action uint8

const (
	appends action = iota
	deletes
	tombstones
	removes // a scavenge
)

// Delete hides all events of a stream, and lets them be scavenged. The stream is as if
// it were not there, but for its revisions: the next append goes on where it ended. What
// is returned is the metadata event that records it. The errors are those of Append; a
// stream that never was is event.ErrWrongVersion for every expectation.
func (l *Log) Delete(ctx context.Context, stream string, expected event.Expected) (event.Appended, error) {
	if err := checkDelete(stream, expected); err != nil {
		return event.Appended{}, err
	}
	along := metadataRequest(stream, fmt.Appendf(nil, `{"$tb":%d}`, event.RevisionEnd))
	return l.submit(ctx, &request{stream: stream, expected: expected, ids: along.ids, does: deletes, along: along, reply: make(chan reply, 1)})
}

// Tombstone ends a stream for ever, also one that never was: reads and appends, of its
// metadata too, return event.ErrStreamDeleted. What is returned is the event that records
// it, at event.RevisionEnd. The errors are those of Append.
func (l *Log) Tombstone(ctx context.Context, stream string, expected event.Expected) (event.Appended, error) {
	if err := checkDelete(stream, expected); err != nil {
		return event.Appended{}, err
	}
	id := uuid.New()
	r := newRequest(stream, expected, []uuid.UUID{id}, []event.New{{ID: id.String(), Type: layout.TombstoneType, Binary: true}})
	r.does = tombstones
	return l.submit(ctx, r)
}

func checkDelete(stream string, expected event.Expected) error {
	if err := checkAppendable(stream); err != nil {
		return err
	}
	return checkExpected(expected)
}

// metadataRequest encodes a metadata event of a stream. It decides nothing by itself.
func metadataRequest(stream string, data []byte) *request {
	id := uuid.New()
	return newRequest(layout.MetadataOf(stream), event.Any(), []uuid.UUID{id}, []event.New{{ID: id.String(), Type: layout.MetadataType, Data: data}})
}

// alongside reads what must be known to write the metadata that go along with a request:
// those of a deletion, and those by which an append to a deleted stream, or to its
// metadata, brings the stream back.
func (w *writer) alongside(b *batch, r *request, v *verdict) (err error) {
	stream, h, data := r.stream, v.head, r.data
	if original, ok := layout.LimitedBy(r.stream); ok && r.does == appends {
		stream, h = original, v.original
	}
	back := r.does == appends && r.imported == nil && h.Limits.Deleted() && !layout.IsMetadataStream(stream)
	if !back && r.does != deletes {
		return nil
	}
	if stream == r.stream {
		if v.metadata, err = w.head(b, layout.MetadataOf(stream)); err != nil {
			return err
		}
	}
	if !back {
		return nil
	}
	switch {
	case stream != r.stream:
	case v.metadata.Emptied(): // the scavenger took the event, since the head has all that it held
		data = h.Limits.Metadata()
	default:
		if data, err = w.metadataAt(b, stream, v.metadata, h.LimitedAt); err != nil {
			return err
		}
	}
	if changed, ok := layout.WithTruncateBefore(data, h.Next); ok {
		v.undelete = metadataRequest(stream, changed)
	}
	return nil
}

// metadataAt reads the metadata event that stands at a position.
func (w *writer) metadataAt(b *batch, stream string, h layout.Head, p event.Position) ([]byte, error) {
	metadata := layout.MetadataOf(stream)
	if s := b.streams[metadata]; s != nil && len(s.at) > 0 && s.at[len(s.at)-1] == p {
		return s.data, nil
	}
	rec, closer, err := w.log.record(metadata, h.Next-1, p)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), rec.Data...), nil
}

// perform writes what was decided. What it places besides the request itself comes after
// it, and is in the same batch.
func (w *writer) perform(b *batch, r *request, v verdict) event.Appended {
	var appended event.Appended
	switch r.does {
	case deletes:
		return w.placeMetadata(b, r.along, v.metadata, v.head)
	case removes:
		w.remove(b, r, v.head)
		return event.Appended{}
	case tombstones:
		appended = w.bury(b, r, v.head)
	default:
		appended = w.place(b, r, v.head)
	}
	if original, ok := layout.LimitedBy(r.stream); ok {
		w.pending(b, r.stream, v.head).data = r.data
		w.limit(b, original, v.original, r.limits, appended.Position)
		if v.undelete != nil {
			w.placeMetadata(b, v.undelete, v.head, v.original)
		}
	} else if v.undelete != nil {
		w.placeMetadata(b, v.undelete, v.metadata, v.head)
	} else if layout.IsMetadataStream(r.stream) {
		w.list(b, strings.TrimPrefix(r.stream, layout.MetadataPrefix))
	}
	return appended
}

// placeMetadata places a metadata event; metadata and original are the heads of the
// metadata stream and of the one it limits, as they were before the batch.
func (w *writer) placeMetadata(b *batch, r *request, metadata, original layout.Head) event.Appended {
	a := w.place(b, r, metadata)
	w.pending(b, r.stream, metadata).data = r.data
	if stream, ok := layout.LimitedBy(r.stream); ok {
		w.limit(b, stream, original, r.limits, a.Position)
	}
	return a
}

// limit sets the limits of a stream, and notes it for the scavenger.
func (w *writer) limit(b *batch, stream string, h layout.Head, l layout.Limits, at event.Position) {
	s := w.pending(b, stream, h)
	s.head.Limits, s.head.LimitedAt = l, at
	w.list(b, stream)
}

// list notes that a scavenge may find something to do.
func (w *writer) list(b *batch, stream string) {
	b.notes = true
	key := layout.AppendLimitedKey(w.key[:0], stream)
	op := b.pebble.SetDeferred(len(key), layout.SumSize)
	copy(op.Key, key)
	layout.Seal(key, op.Value)
	_ = op.Finish()
}

// bury places a stream's last event.
func (w *writer) bury(b *batch, r *request, h layout.Head) event.Appended {
	s := w.pending(b, r.stream, h)
	created := b.created
	if r.imported != nil {
		w.next, created = r.imported.at(0, created)
	}
	w.put(b, event.RevisionEnd, r.flags[0], created, r.bodies[0])
	b.index(layout.AppendIndexKey(w.key[:0], r.stream, event.RevisionEnd), w.next)
	s.head.Last, s.head.Tombstoned = w.next, true
	b.last = w.next
	w.next++
	w.list(b, r.stream)
	return event.Appended{Revision: event.RevisionEnd, Position: b.last}
}
