package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

const (
	indexedRecords  = 2048    // records indexed in one synced batch
	cachedLinkNames = 1 << 12 // index streams whose length is kept, in each of two generations
)

// links is the index's writer: whoever reads a stream of links works on it.
type links struct {
	mu     sync.Mutex
	next   event.Position // the first that is not indexed; 0: not loaded yet
	counts *generations[string, uint64]
}

// readLinks is ReadStream of a stream of links.
func (l *Log) readLinks(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if err := l.indexUpTo(ctx, l.durable.at()); err != nil {
		return fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	left, found := read.Limit, false
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read stream %q: %w", read.Stream, context.Cause(ctx))
		}
		c, more, err := l.linkChunk(&read, left)
		if err != nil {
			return err
		}
		for _, e := range c.events {
			if err := visit(e); err != nil {
				return err
			}
		}
		found = found || len(c.events) > 0
		if left -= len(c.events); read.Limit > 0 && left == 0 {
			return nil
		}
		if !more {
			break
		}
	}
	if found {
		return nil
	}
	first := event.StreamRead{Stream: read.Stream}
	c, _, err := l.linkChunk(&first, 1)
	if err == nil && len(c.events) == 0 {
		err = fmt.Errorf("%w: %q", event.ErrStreamNotFound, read.Stream)
	}
	return err
}

// linkChunk reads on from read.From, moves it, and reports whether there is more.
func (l *Log) linkChunk(read *event.StreamRead, left int) (chunk, bool, error) {
	var c chunk
	if err := l.enter(); err != nil {
		return c, false, err
	}
	defer l.leave()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: layout.AppendLinkKey(nil, read.Stream, 0), UpperBound: layout.AppendLinkEnd(nil, read.Stream)})
	if err != nil {
		return c, false, fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	defer it.Close()
	step, valid := it.Next, false
	if read.Direction == event.Backwards {
		step, valid = it.Prev, it.SeekLT(layout.AppendLinkKey(nil, read.Stream, uint64(read.From)+1))
	} else {
		valid = it.SeekGE(layout.AppendLinkKey(nil, read.Stream, uint64(read.From)))
	}
	for ; valid; valid = step() {
		e, err := layout.DecodeLink(read.Stream, it.Key(), it.Value())
		if err != nil {
			return c, false, err
		}
		if len(c.events) > 0 && e.Revision != read.From {
			return c, false, fmt.Errorf("%w: stream %q has link %d where %d should be", ErrCorrupt, read.Stream, e.Revision, read.From)
		}
		c.events = append(c.events, e)
		c.bytes += len(it.Value())
		if read.Direction == event.Backwards {
			if e.Revision == 0 {
				return c, false, nil
			}
			read.From = e.Revision - 1
		} else {
			read.From = e.Revision + 1
		}
		if c.full() || len(c.events) == left {
			return c, true, nil
		}
	}
	if err := it.Error(); err != nil {
		return c, false, fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	return c, false, nil
}

// indexUpTo indexes what is durable up to a position. What was done stays done if ctx
// ends: the next reader goes on there.
func (l *Log) indexUpTo(ctx context.Context, upTo event.Position) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("bring the index up to date: %w", context.Cause(ctx))
		}
		done, err := l.indexSome(upTo)
		if done || err != nil {
			return err
		}
	}
}

func (l *Log) indexSome(upTo event.Position) (done bool, err error) {
	if err := l.enter(); err != nil {
		return false, err
	}
	defer l.leave()
	x := &l.links
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.load(l.db); err != nil {
		return false, err
	}
	if x.next > upTo {
		return true, nil
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: layout.AppendPositionKey(nil, x.next), UpperBound: layout.AppendPositionKey(nil, upTo+1)})
	if err != nil {
		return false, fmt.Errorf("index from position %d: %w", x.next, guard.Damage(err))
	}
	defer it.Close()
	batch := l.db.NewBatch()
	defer batch.Close()
	added := map[string]uint64{} // lengths after this batch
	next, scanned := x.next, 0
	valid := it.First()
	for ; valid && scanned < indexedRecords; valid = it.Next() {
		scanned++
		value, err := it.ValueAndErr()
		if err != nil {
			return false, fmt.Errorf("index position %d: %w", layout.PositionOf(it.Key()), guard.Damage(err))
		}
		rec, err := layout.DecodeRecord(it.Key(), value)
		if err != nil {
			return false, l.stored.NameCorrupt(rec, err)
		}
		for _, name := range layout.LinkStreams(string(rec.Stream), string(rec.Typ)) {
			n, ok := added[name]
			if !ok {
				if n, err = x.count(l.db, name); err != nil {
					return false, err
				}
			}
			key := layout.AppendLinkKey(nil, name, n)
			if err := batch.Set(key, layout.LinkValue(key, &rec), nil); err != nil {
				return false, fmt.Errorf("index position %d: %w", rec.Position, err)
			}
			added[name] = n + 1
		}
		next = rec.Position + 1
	}
	if err := it.Error(); err != nil {
		return false, fmt.Errorf("index from position %d: %w", x.next, guard.Damage(err))
	}
	if !valid {
		next = upTo + 1
	}
	value := make([]byte, layout.IndexValueSize)
	layout.PutIndex(value, layout.IndexedKey, next)
	if err := batch.Set(layout.IndexedKey, value, nil); err != nil {
		return false, fmt.Errorf("index up to position %d: %w", next, guard.Damage(err))
	}
	if err := l.applyAside(batch); err != nil {
		return false, err
	}
	x.next = next
	for name, n := range added {
		x.counts.put(name, n)
	}
	return x.next > upTo, nil
}

// load finds how far the index is.
func (x *links) load(db *pebble.DB) error {
	if x.next > 0 {
		return nil
	}
	value, closer, err := db.Get(layout.IndexedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		x.next = 1
		return nil
	}
	if err != nil {
		return fmt.Errorf("find how far the index is: %w", guard.Damage(err))
	}
	defer closer.Close()
	x.next, err = layout.DecodeIndexed(value)
	return err
}

// count returns how many links a stream has.
func (x *links) count(db *pebble.DB, name string) (uint64, error) {
	if n, ok := x.counts.get(name); ok {
		return n, nil
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: layout.AppendLinkKey(nil, name, 0), UpperBound: layout.AppendLinkEnd(nil, name)})
	if err != nil {
		return 0, fmt.Errorf("count the links of %q: %w", name, guard.Damage(err))
	}
	defer it.Close()
	n := uint64(0)
	if it.Last() {
		n = uint64(layout.RevisionOf(it.Key())) + 1
	}
	if err := it.Error(); err != nil {
		return 0, fmt.Errorf("count the links of %q: %w", name, guard.Damage(err))
	}
	x.counts.put(name, n)
	return n, nil
}
