package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// chunk is what a reader takes from Pebble in one go, copied, so that no iterator stays
// open while a visitor is at work.
type chunk struct {
	events  []event.Recorded
	bytes   int
	scanned int
	marks   []mark
}

// mark is a place between the events of a chunk up to which a reader has looked.
type mark struct {
	events   int // of the chunk before it
	position event.Position
}

func (c *chunk) full() bool {
	return len(c.events) >= chunkEvents || c.bytes >= chunkBytes || c.scanned >= chunkScanned
}

func (c *chunk) add(rec *layout.Record) {
	c.events = append(c.events, rec.Recorded())
	c.bytes += len(rec.Stored)
}

// ReadStream implements commands.Store. It ends with what was durable when it began.
func (l *Log) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if err := checkStream(read.Stream); err != nil {
		return err
	}
	if read.Limit < 0 || read.From > event.RevisionEnd {
		return fmt.Errorf("%w: limit %d, from revision %d", event.ErrInvalid, read.Limit, read.From)
	}
	if layout.IsLinkStream(read.Stream) {
		return l.readLinks(ctx, read, visit)
	}
	v, err := l.view(read.Stream, l.durable.at())
	if err != nil {
		return err
	}
	if read.Direction == event.Forwards {
		read.From = max(read.From, v.begin)
	} else if v.head.Exists() && v.head.Last <= v.upTo {
		read.From = min(read.From, v.head.Next-1)
	}
	left := read.Limit
	found := false
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read stream %q: %w", read.Stream, context.Cause(ctx))
		}
		c, more, err := l.streamChunk(&read, &v, left)
		if err != nil {
			return err
		}
		for _, e := range c.events {
			if err := visit(e); err != nil {
				return err
			}
		}
		found = found || len(c.events) > 0
		if read.Limit > 0 {
			if left -= len(c.events); left == 0 {
				return nil
			}
		}
		if !more {
			break
		}
	}
	if found {
		return nil
	}
	_, err = l.exists(&v)
	return err
}

// streamChunk reads on from read.From, moves it, and reports whether there is more. Every
// revision from there on is there, or legitimately gone.
func (l *Log) streamChunk(read *event.StreamRead, v *view, left int) (chunk, bool, error) {
	var c chunk
	if err := l.enter(); err != nil {
		return c, false, err
	}
	defer l.leave()
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: layout.AppendIndexKey(nil, read.Stream, v.begin),
		UpperBound: layout.AppendIndexEnd(nil, read.Stream),
	})
	if err != nil {
		return c, false, fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	defer it.Close()
	backwards := read.Direction == event.Backwards
	step, valid := it.Next, false
	if backwards {
		step, valid = it.Prev, it.SeekLT(layout.AppendIndexKey(nil, read.Stream, read.From+1))
	} else {
		valid = it.SeekGE(layout.AppendIndexKey(nil, read.Stream, read.From))
	}
	for ; valid; valid = step() {
		c.scanned++
		r := layout.RevisionOf(it.Key())
		position, err := layout.DecodeIndex(it.Key(), it.Value())
		if err != nil {
			return c, false, err
		}
		if position > v.upTo { // not there yet
			if !backwards || r == 0 {
				return c, false, nil
			}
			read.From = r - 1
			continue
		}
		if missing, is := skipped(read, r, v.head.Next); is {
			if err := l.gap(v, missing); err != nil {
				return c, false, err
			}
		}
		if err := l.addEvent(&c, v, r, position); err != nil {
			return c, false, err
		}
		if backwards {
			if r == 0 {
				return c, false, nil
			}
			read.From = r - 1
		} else {
			read.From = r + 1
		}
		if c.full() || left > 0 && len(c.events) == left {
			return c, true, nil
		}
	}
	if err := it.Error(); err != nil {
		return c, false, fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	switch {
	case backwards && v.begin <= read.From && read.From < v.head.Next && v.head.Last <= v.upTo:
		return c, false, l.gap(v, read.From)
	case !backwards && read.From < v.head.Next && v.head.Last <= v.upTo:
		return c, false, l.gap(v, v.head.Next-1)
	}
	return c, false, nil
}

// skipped returns the highest revision left out between where a read is and the next
// one it found, if any is.
func skipped(read *event.StreamRead, found, next event.Revision) (event.Revision, bool) {
	if read.Direction == event.Backwards { // From may be beyond the end
		return read.From, found < read.From && read.From < next
	}
	return found - 1, found > read.From
}

// addEvent adds an event unless it is hidden by its age, or was removed meanwhile.
func (l *Log) addEvent(c *chunk, v *view, r event.Revision, p event.Position) error {
	rec, closer, err := l.record(v.stream, r, p)
	if errors.Is(err, errMissing) && l.gap(v, r) == nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	if !rec.Created.Before(v.cutoff) {
		c.add(&rec)
	}
	return nil
}

// ErrCorrupt is wrapped by every error about bytes that are not as they were written.
var ErrCorrupt = guard.ErrCorrupt

// errMissing: the index leads to no record.
var errMissing = fmt.Errorf("%w: no record", ErrCorrupt)

// record reads the event at the place that the index names. The caller closes.
func (l *Log) record(stream string, r event.Revision, p event.Position) (layout.Record, io.Closer, error) {
	key := layout.AppendPositionKey(make([]byte, 0, layout.PositionKeySize), p)
	value, closer, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return layout.Record{}, nil, fmt.Errorf("%w: event %d of stream %q is missing at position %d", errMissing, r, stream, p)
	}
	if err != nil {
		return layout.Record{}, nil, fmt.Errorf("read event %d of stream %q at position %d: %w", r, stream, p, guard.Damage(err))
	}
	rec, err := layout.DecodeRecord(key, value)
	if err == nil && (string(rec.Stream) != stream || rec.Revision != r) {
		err = fmt.Errorf("%w: another event stands at position %d", ErrCorrupt, p)
	}
	if err != nil {
		_ = closer.Close()
		return layout.Record{}, nil, fmt.Errorf("event %d of stream %q at position %d: %w", r, stream, p, err)
	}
	return rec, closer, nil
}

// ReadAll implements commands.Store. It ends with what was durable when it began.
func (l *Log) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	if read.Limit < 0 || read.From > event.PositionEnd {
		return fmt.Errorf("%w: limit %d, from position %d", event.ErrInvalid, read.Limit, read.From)
	}
	return l.readAll(ctx, read, matching(read.Filter), visit)
}

func (l *Log) readAll(ctx context.Context, read event.AllRead, match Match, visit func(event.Recorded) error) error {
	s := scan{next: read.From, upTo: l.durable.at(), match: match, backwards: read.Direction == event.Backwards, left: read.Limit}
	if s.backwards {
		s.next = min(s.next, s.upTo+1)
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read $all: %w", context.Cause(ctx))
		}
		c, more, err := l.allChunk(&s)
		if err != nil {
			return err
		}
		for _, e := range c.events {
			if err := visit(e); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// scan is a walk along $all.
type scan struct {
	next      event.Position // forwards the first to look at, backwards the one after that
	upTo      event.Position // forwards only
	match     Match          // nil: everything passes
	backwards bool
	left      int // events still wanted; 0 means all

	every  int  // a mark after so many events looked at; 0: none
	always bool // count all of them, else only since something passed
	looked int  // of every
}

// look counts an event and reports whether a mark is due after it.
func (s *scan) look(passed bool) bool {
	if s.every == 0 {
		return false
	}
	s.looked++
	if passed && !s.always {
		s.looked = 0
	}
	if s.looked < s.every {
		return false
	}
	s.looked = 0
	return true
}

// allChunk reads on, moves s, and reports whether there is more. Going forwards without
// more, s.next is after s.upTo or the limit is reached.
func (l *Log) allChunk(s *scan) (chunk, bool, error) {
	var c chunk
	if err := l.enter(); err != nil {
		return c, false, err
	}
	defer l.leave()
	bounds := &pebble.IterOptions{LowerBound: layout.AppendPositionKey(nil, s.next), UpperBound: layout.AppendPositionKey(nil, s.upTo+1)}
	if s.backwards {
		bounds.LowerBound, bounds.UpperBound = []byte{layout.SpaceEvents}, layout.AppendPositionKey(nil, s.next)
	} else if s.next > s.upTo {
		return c, false, nil
	}
	it, err := l.db.NewIter(bounds)
	if err != nil {
		return c, false, fmt.Errorf("read $all from position %d: %w", s.next, guard.Damage(err))
	}
	defer it.Close()
	step, valid := it.Next, false
	if s.backwards {
		step, valid = it.Prev, it.Last()
	} else {
		valid = it.First()
	}
	for ; valid; valid = step() {
		c.scanned++
		value, err := it.ValueAndErr()
		if err != nil {
			return c, false, fmt.Errorf("read position %d: %w", layout.PositionOf(it.Key()), guard.Damage(err))
		}
		rec, err := layout.DecodeRecord(it.Key(), value)
		if err != nil {
			return c, false, l.stored.NameCorrupt(rec, err)
		}
		if s.backwards {
			s.next = rec.Position
		} else {
			s.next = rec.Position + 1
		}
		passes := true
		if s.match != nil {
			if passes, err = s.match(string(rec.Stream), string(rec.Typ)); err != nil {
				return c, false, err
			}
		}
		if passes {
			c.add(&rec)
			if s.left > 0 {
				if s.left--; s.left == 0 {
					return c, false, nil
				}
			}
		}
		if s.look(passes) {
			c.marks = append(c.marks, mark{events: len(c.events), position: rec.Position})
		}
		if c.full() {
			return c, true, nil
		}
	}
	if err := it.Error(); err != nil {
		return c, false, fmt.Errorf("read $all at position %d: %w", s.next, guard.Damage(err))
	}
	if !s.backwards {
		s.next = s.upTo + 1
	}
	return c, false, nil
}
