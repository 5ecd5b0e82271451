package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/commands/retry"
	"recapito/domain/event"
)

// How a scavenge spares the disk and those who append.
const (
	// scavengeAfter is how long after an append a pass begins, so that many appends are
	// one pass.
	scavengeAfter = 10 * time.Minute
	// scavengeRate is how many bytes of records a pass looks at in a second, and
	// scavengeBurst how many at once.
	scavengeRate  = 16 << 20
	scavengeBurst = 1 << 20
	// scavengeEvents and scavengeBytes are removed in one batch at most.
	scavengeEvents = 512
	scavengeBytes  = 1 << 20
	// scavengeStreams is how many names of streams are held at a time, and lookCost as
	// how many bytes a look at one of them counts.
	scavengeStreams = 256
	lookCost        = 1 << 10
)

// ScavengeResult is what a pass did.
type ScavengeResult struct {
	Streams uint64 // looked at
	Events  uint64 // removed
	Bytes   uint64 // of their records, as they were written
}

// errMeanwhile: a stream is no longer as it was when its removal was prepared.
var errMeanwhile = errors.New("the stream changed meanwhile")

// Scavenge removes, in every stream that has limits or was deleted, the events before the
// first one that is shown. Positions and revisions stay as they are. The last event of
// $all always stays, since it determines the next position, and so do the head of a stream,
// its last metadata event, and $streamDeleted. Of a deleted stream of which no event is left
// the last metadata event goes too, unless it holds more than the stream's head does.
//
// It removes a bounded number of events at a time, each time through the writer and in one
// synced batch with the stream's new beginning, so that it may be cut short anywhere, and
// no faster than scavengeRate. One pass runs at a time. Only what is hidden by something
// durable is removed. A stream that is corrupt is left as it is and named in the error; the
// others are not.
func (l *Log) Scavenge(ctx context.Context) (ScavengeResult, error) {
	select {
	case l.scavenging <- struct{}{}:
		defer func() { <-l.scavenging }()
	case <-ctx.Done():
		return ScavengeResult{}, fmt.Errorf("scavenge: %w", context.Cause(ctx))
	}
	s := scavenger{log: l}
	err := s.pass(ctx)
	if err != nil {
		err = fmt.Errorf("scavenge: %w", err)
	}
	return s.result, err
}

// scavenge runs a pass some time after something was appended, until ctx ends. Nothing
// is appended by a pass, so that an idle log stays idle.
func (l *Log) scavenge(ctx context.Context, after time.Duration) {
	var done event.Position
	for {
		woken := l.durable.next()
		if l.durable.at() == done {
			select {
			case <-woken:
				continue
			case <-ctx.Done():
				return
			}
		}
		if retry.Wait(ctx, after) != nil {
			return
		}
		done = l.durable.at()
		result, err := l.Scavenge(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.logger.Warn("event log: a scavenge was not finished", "error", err)
		case result.Events > 0:
			l.logger.Info("event log: scavenged", "events", result.Events, "bytes", result.Bytes, "streams", result.Streams)
		}
	}
}

type scavenger struct {
	log    *Log
	result ScavengeResult
	spent  uint64 // bytes since the last rest
}

// maxScavengeErrors is how many streams' errors a pass keeps.
const maxScavengeErrors = 8

// pass goes through the list of streams.
func (s *scavenger) pass(ctx context.Context) error {
	var errs []error
	after := []byte{layout.SpaceLimited}
	for {
		streams, err := s.log.limitedStreams(after)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if len(streams) == 0 {
			return errors.Join(errs...)
		}
		for _, stream := range streams {
			s.result.Streams++
			err := s.stream(ctx, stream)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, event.ErrUnavailable), errors.Is(err, event.ErrUnknownOutcome):
				return err
			case err != nil && !errors.Is(err, errMeanwhile) && len(errs) < maxScavengeErrors:
				errs = append(errs, err)
			}
		}
		after = append(layout.AppendLimitedKey(nil, streams[len(streams)-1]), 0)
	}
}

// limitedStreams returns some of the streams on the list.
func (l *Log) limitedStreams(from []byte) ([]string, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{layout.SpaceLimited + 1}})
	if err != nil {
		return nil, fmt.Errorf("list the streams with limits: %w", guard.Damage(err))
	}
	defer it.Close()
	var streams []string
	for valid := it.First(); valid && len(streams) < scavengeStreams; valid = it.Next() {
		streams = append(streams, string(it.Key()[1:]))
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("list the streams with limits: %w", guard.Damage(err))
	}
	return streams, nil
}

// stream removes what can be removed of a stream and of its metadata stream, and takes
// it off the list if nothing will be left to do until it is put there again.
func (s *scavenger) stream(ctx context.Context, stream string) error {
	h, err := s.trim(ctx, stream)
	if err != nil {
		return err
	}
	metadata, err := s.trim(ctx, layout.MetadataOf(stream)) // after it: how much may go depends on it
	if err != nil {
		return err
	}
	left := metadata.Next - metadata.First // of the metadata stream
	switch {
	case h.Tombstoned:
		left += h.Next - h.First
	case metadata.Tombstoned: // and the limits gone with it
	case h.Limits.Deleted():
		left += h.Next - h.First
		if left == 1 && h.Emptied() {
			stays, err := s.log.saysMore(layout.MetadataOf(stream), metadata)
			if err != nil {
				return err
			}
			if stays {
				left = 0
			}
		}
	case h.Limits == layout.Limits{}:
		left -= min(left, 1)
	default:
		return nil
	}
	if left > 0 {
		return nil
	}
	return s.remove(ctx, &removal{head: h, first: h.First, unlist: true}, stream)
}

// trim removes what can be removed of one stream and returns its head.
func (s *scavenger) trim(ctx context.Context, stream string) (layout.Head, error) {
	for {
		m, err := s.log.removable(stream)
		if err != nil {
			return layout.Head{}, err
		}
		if err := s.pace(ctx, m.bytes+lookCost); err != nil {
			return layout.Head{}, err
		}
		if len(m.places) == 0 {
			return m.head, nil
		}
		if err := s.remove(ctx, m, stream); err != nil {
			return layout.Head{}, err
		}
		s.result.Events += uint64(len(m.places))
		s.result.Bytes += m.bytes
	}
}

func (s *scavenger) remove(ctx context.Context, m *removal, stream string) error {
	_, err := s.log.submit(ctx, &request{stream: stream, does: removes, removal: m, reply: make(chan reply, 1)})
	return err
}

// pace rests when enough was done.
func (s *scavenger) pace(ctx context.Context, bytes uint64) error {
	if s.spent += bytes; s.spent < scavengeBurst {
		return nil
	}
	d := time.Duration(s.spent) * time.Second / scavengeRate
	s.spent = 0
	if retry.Wait(ctx, d) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// removal is what is to be removed of a stream.
type removal struct {
	head   layout.Head // as it must still be
	first  event.Revision
	places []place // of all events from the head's first to this first
	bytes  uint64
	unlist bool
}

// check reports whether what was to be removed still is. That the stream grew does not
// matter, unless it is to be taken off the list.
func (m *removal) check(h layout.Head) error {
	if m.unlist && h == m.head || !m.unlist && h.First == m.head.First && h.LimitedAt == m.head.LimitedAt && h.Tombstoned == m.head.Tombstoned {
		return nil
	}
	return errMeanwhile
}

// removable finds the first events of a stream that are hidden, at most a batch of them.
func (l *Log) removable(stream string) (*removal, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	upTo := l.durable.at()
	h, err := l.stored.Head(stream)
	if err != nil {
		return nil, err
	}
	m := &removal{head: h, first: h.First}
	if h.Known() > upTo {
		return m, nil // next time
	}
	end, cutoff, err := l.hidden(stream, h, upTo)
	if err != nil {
		return nil, err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: layout.AppendIndexKey(nil, stream, h.First), UpperBound: layout.AppendIndexKey(nil, stream, h.Next)})
	if err != nil {
		return nil, fmt.Errorf("scavenge stream %q: %w", stream, guard.Damage(err))
	}
	defer it.Close()
	for valid := it.First(); valid && len(m.places) < scavengeEvents && m.bytes < scavengeBytes; valid = it.Next() {
		at := place{revision: layout.RevisionOf(it.Key())}
		if at.position, err = layout.DecodeIndex(it.Key(), it.Value()); err != nil {
			return nil, err
		}
		if at.revision >= end && cutoff.IsZero() || at.position >= upTo {
			return m, nil
		}
		if at.revision != m.first {
			return nil, fmt.Errorf("%w: stream %q has no revision %d", ErrCorrupt, stream, m.first)
		}
		rec, closer, err := l.record(stream, at.revision, at.position)
		if err != nil {
			return nil, err
		}
		size, created := len(rec.Stored), rec.Created
		_ = closer.Close()
		if at.revision >= end && !created.Before(cutoff) {
			return m, nil
		}
		m.places = append(m.places, at)
		m.first = at.revision + 1
		m.bytes += uint64(size)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("scavenge stream %q: %w", stream, guard.Damage(err))
	}
	return m, nil
}

// hidden returns before which revision, and before which time, all events of a stream are
// hidden. All that the head records is durable.
func (l *Log) hidden(stream string, h layout.Head, upTo event.Position) (event.Revision, time.Time, error) {
	all := h.Tombstoned || h.Limits.Deleted()
	if original, ok := layout.LimitedBy(stream); ok {
		o, err := l.stored.Head(original)
		if err != nil {
			return 0, time.Time{}, err
		}
		all = all || o.Tombstoned && o.Last <= upTo
		if !all && !h.Emptied() && o.Limits.Deleted() && o.Emptied() && o.LimitedAt == h.Last && o.Known() <= upTo {
			more, err := l.sayMore(stream, h)
			if err != nil {
				return 0, time.Time{}, err
			}
			all = !more
		}
	}
	switch {
	case all:
		return h.Next, time.Time{}, nil
	case layout.IsMetadataStream(stream):
		return layout.OfMetadataStream.Begin(h.Next), time.Time{}, nil
	}
	return h.Limits.Begin(h.Next), h.Limits.Cutoff(l.now()), nil
}

// saysMore reports whether the last metadata event of a metadata stream, which stands there,
// has members that the head of the stream it limits does not hold.
func (l *Log) saysMore(stream string, h layout.Head) (bool, error) {
	if err := l.enter(); err != nil {
		return false, err
	}
	defer l.leave()
	return l.sayMore(stream, h)
}

// sayMore is saysMore for who keeps the log open.
func (l *Log) sayMore(stream string, h layout.Head) (bool, error) {
	rec, closer, err := l.record(stream, h.Next-1, h.Last)
	if err != nil {
		return false, err
	}
	defer closer.Close()
	return !layout.OnlyLimits(rec.Data), nil
}

// remove takes events away, and moves the stream's beginning.
func (w *writer) remove(b *batch, r *request, h layout.Head) {
	b.notes = true
	for _, at := range r.removal.places {
		_ = b.pebble.Delete(layout.AppendPositionKey(w.key[:0], at.position), nil) // a batch takes anything
		_ = b.pebble.Delete(layout.AppendIndexKey(w.key[:0], r.stream, at.revision), nil)
	}
	if r.removal.unlist {
		_ = b.pebble.Delete(layout.AppendLimitedKey(w.key[:0], r.stream), nil)
	}
	if r.removal.first > h.First {
		w.pending(b, r.stream, h).head.First = r.removal.first
	}
}
