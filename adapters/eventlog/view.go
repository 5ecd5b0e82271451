package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// view is what a reader may see of a stream: what was durable, without what is hidden.
type view struct {
	stream string
	upTo   event.Position
	head   layout.Head    // may be ahead of upTo
	begin  event.Revision // those before it are hidden
	cutoff time.Time      // those created before it are hidden; zero: none is
}

// view looks at a stream as of a durable position. event.ErrStreamNotFound if it is
// deleted, event.ErrStreamDeleted if it is tombstoned. What became durable since may
// take effect, what is not yet durable does not.
func (l *Log) view(stream string, upTo event.Position) (view, error) {
	v := view{stream: stream, upTo: upTo}
	if err := l.enter(); err != nil {
		return v, err
	}
	defer l.leave()
	if original, ok := layout.LimitedBy(stream); ok {
		h, err := l.stored.Head(original)
		if err != nil {
			return v, err
		}
		if h.Tombstoned && l.isDurable(h.Last) {
			return v, &event.StreamDeleted{Stream: stream}
		}
	}
	var err error
	if v.head, err = l.stored.Head(stream); err != nil {
		return v, err
	}
	if v.head.Tombstoned && l.isDurable(v.head.Last) {
		return v, &event.StreamDeleted{Stream: stream}
	}
	limits, err := l.durableLimits(stream, v.head, upTo)
	if err != nil {
		return v, err
	}
	if limits.Deleted() {
		return v, fmt.Errorf("%w: %q", event.ErrStreamNotFound, stream)
	}
	v.begin, v.cutoff = limits.TruncateBefore, limits.Cutoff(l.now())
	if limits.MaxCount > 0 {
		next, err := l.durableNext(stream, v.head, upTo)
		if err != nil {
			return v, err
		}
		v.begin = limits.Begin(next)
	}
	return v, nil
}

func (l *Log) isDurable(p event.Position) bool { return p <= l.durable.at() }

// durableLimits are those of the head, if its metadata event is durable, else those
// that were in force before.
func (l *Log) durableLimits(stream string, h layout.Head, upTo event.Position) (layout.Limits, error) {
	if layout.IsMetadataStream(stream) {
		return layout.OfMetadataStream, nil
	}
	if l.isDurable(h.LimitedAt) {
		return h.Limits, nil
	}
	metadata := layout.MetadataOf(stream)
	var missed place
	for {
		before, found, err := l.lastUpTo(metadata, upTo)
		if err != nil {
			return layout.Limits{}, err
		}
		now := l.durable.at()
		switch {
		case found:
		case h.LimitedAt <= now: // meanwhile, and those before it were scavenged
			return h.Limits, nil
		case upTo < now:
			upTo = now
			continue
		default:
			return l.limitsGone(metadata)
		}
		rec, closer, err := l.record(metadata, before.revision, before.position)
		if errors.Is(err, errMissing) {
			if l.isDurable(h.LimitedAt) {
				return h.Limits, nil
			}
			if before != missed { // scavenged since the index was read
				missed = before
				continue
			}
		}
		if err != nil {
			return layout.Limits{}, err
		}
		defer closer.Close()
		return rec.Limits(), nil
	}
}

// limitsGone are the limits in force where no metadata event is durable: none, unless
// there was one and a scavenge took the last of them, which it does if the stream is
// deleted.
func (l *Log) limitsGone(metadata string) (layout.Limits, error) {
	h, err := l.stored.Head(metadata)
	if err != nil || h.First == 0 {
		return layout.Limits{}, err
	}
	return layout.Limits{TruncateBefore: event.RevisionEnd}, nil
}

// place is where an event stands.
type place struct {
	revision event.Revision
	position event.Position
}

// lastUpTo finds a stream's last event at or before a position, by the index.
func (l *Log) lastUpTo(stream string, upTo event.Position) (place, bool, error) {
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: layout.AppendIndexKey(nil, stream, 0),
		UpperBound: layout.AppendIndexKey(nil, stream, event.RevisionEnd), // $streamDeleted is no event of it
	})
	if err != nil {
		return place{}, false, fmt.Errorf("find the last event of stream %q: %w", stream, guard.Damage(err))
	}
	defer it.Close()
	for valid := it.Last(); valid; valid = it.Prev() {
		p, err := layout.DecodeIndex(it.Key(), it.Value())
		if err != nil {
			return place{}, false, err
		}
		if p <= upTo {
			return place{layout.RevisionOf(it.Key()), p}, true, nil
		}
	}
	if err := it.Error(); err != nil {
		return place{}, false, fmt.Errorf("find the last event of stream %q: %w", stream, guard.Damage(err))
	}
	return place{}, false, nil
}

// durableNext is the revision after the last durable event; 0 if there never was one.
func (l *Log) durableNext(stream string, h layout.Head, upTo event.Position) (event.Revision, error) {
	if h.Last <= upTo {
		return h.Next, nil
	}
	last, found, err := l.lastUpTo(stream, upTo)
	if err != nil {
		return 0, err
	}
	if found {
		return last.revision + 1, nil
	}
	return h.First, nil // all of them were removed, which only happens to durable ones
}

// gap reports whether a reader may find no event at a revision: one that a scavenge may
// have removed, or that never was. Anything else is corrupt.
func (l *Log) gap(v *view, r event.Revision) error {
	if r < v.head.First {
		return nil
	}
	h, err := l.stored.Head(v.stream) // a scavenge may have been faster than this reader
	if err != nil {
		return err
	}
	v.head.First = h.First
	if r < h.First {
		return nil
	}
	return fmt.Errorf("%w: stream %q has no revision %d", ErrCorrupt, v.stream, r)
}

// Revisions returns the first revision of a stream that is not hidden by number and the
// last one, hidden or not; first is after last if no event is left. The errors are those
// of ReadStream.
func (l *Log) Revisions(ctx context.Context, stream string) (first, last event.Revision, err error) {
	if err := checkStream(stream); err != nil {
		return 0, 0, err
	}
	if layout.IsLinkStream(stream) {
		newest := event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}
		err := l.readLinks(ctx, newest, func(e event.Recorded) error { last = e.Revision; return nil })
		return 0, last, err
	}
	v, err := l.view(stream, l.durable.at())
	if err != nil {
		return 0, 0, err
	}
	next, err := l.exists(&v)
	if err != nil {
		return 0, 0, err
	}
	return min(max(v.begin, v.head.First), next), next - 1, nil
}

// exists returns event.ErrStreamNotFound if the stream never had a durable event, or is
// a metadata stream that was emptied, else the revision after its last one.
func (l *Log) exists(v *view) (event.Revision, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	next, err := l.durableNext(v.stream, v.head, v.upTo)
	if err == nil && (next == 0 || layout.IsMetadataStream(v.stream) && next == v.head.First) {
		err = fmt.Errorf("%w: %q", event.ErrStreamNotFound, v.stream)
	}
	return next, err
}
