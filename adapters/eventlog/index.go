package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// Streams of links, which the store makes itself: every event of a category, that is of the
// streams whose name begins with the same word before a '-', and every event of a type.
// They are an index next to the log, not events in $all, and are brought up to date when
// they are read, so that only their users pay for them.
const (
	categoryPrefix = "$ce-"
	typePrefix     = "$et-"
)

// LinkType marks an event that points to another one: its data is revision@stream.
const LinkType = "$>"

// linkIDs is the name space of link ids: a link has the same id at every read.
var linkIDs = uuid.MustParse("9a0f4bd3-3f0e-5a6e-9d9f-2b6f6f2f5c11")

const (
	indexedRecords  = 2048    // records indexed in one synced batch
	cachedLinkNames = 1 << 12 // index streams whose length is kept, in each of two generations
)

// indexedKey holds the first position that is not indexed yet, and a checksum.
var indexedKey = append([]byte{spaceMeta}, "indexed"...)

// links is the index's writer: whoever reads a stream of links works on it.
type links struct {
	mu     sync.Mutex
	next   event.Position // the first that is not indexed; 0: not loaded yet
	counts *generations[string, uint64]
}

func isLinkStream(name string) bool {
	return strings.HasPrefix(name, categoryPrefix) || strings.HasPrefix(name, typePrefix)
}

// linkStreams returns the streams of links that an event is in. Of the store's own
// streams there is no category; links are in no stream of links.
func linkStreams(stream, typ string) []string {
	if typ == LinkType {
		return nil
	}
	names := []string{typePrefix + typ}
	if category, _, ok := strings.Cut(stream, "-"); ok && category != "" && !strings.HasPrefix(stream, "$") {
		names = append(names, categoryPrefix+category)
	}
	return names
}

func appendLinkKey(dst []byte, name string, n uint64) []byte {
	dst = append(append(append(dst, spaceLinks), name...), 0)
	return binary.BigEndian.AppendUint64(dst, n)
}

func appendLinkEnd(dst []byte, name string) []byte {
	return append(append(append(dst, spaceLinks), name...), 1)
}

// A link's value is the position and time of what it points to, revision@stream, and a
// checksum. It stays when that is scavenged, so that the numbers of links never change.
const linkHeaderSize = 8 + 8

func linkValue(key []byte, rec *record) []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(rec.position))
	v = binary.BigEndian.AppendUint64(v, uint64(rec.created.UnixNano()))
	v = strconv.AppendUint(v, uint64(rec.revision), 10)
	v = append(append(v, '@'), rec.stream...)
	v = append(v, make([]byte, sumSize)...)
	seal(key, v)
	return v
}

func decodeLink(name string, key, value []byte) (event.Recorded, error) {
	n := revisionOf(key)
	if len(value) < linkHeaderSize+sumSize || !sealed(key, value) {
		return event.Recorded{}, fmt.Errorf("%w: link %d of stream %q", ErrCorrupt, n, name)
	}
	return event.Recorded{
		Stream:   name,
		Revision: n,
		Position: event.Position(binary.BigEndian.Uint64(value)),
		ID:       uuid.NewSHA1(linkIDs, appendLinkKey(nil, name, uint64(n))).String(),
		Type:     LinkType,
		Data:     append([]byte(nil), value[linkHeaderSize:len(value)-sumSize]...),
		Binary:   true,
		Created:  time.Unix(0, int64(binary.BigEndian.Uint64(value[8:]))).UTC(),
	}, nil
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
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: appendLinkKey(nil, read.Stream, 0), UpperBound: appendLinkEnd(nil, read.Stream)})
	if err != nil {
		return c, false, fmt.Errorf("read stream %q: %w", read.Stream, guard.Damage(err))
	}
	defer it.Close()
	step, valid := it.Next, false
	if read.Direction == event.Backwards {
		step, valid = it.Prev, it.SeekLT(appendLinkKey(nil, read.Stream, uint64(read.From)+1))
	} else {
		valid = it.SeekGE(appendLinkKey(nil, read.Stream, uint64(read.From)))
	}
	for ; valid; valid = step() {
		e, err := decodeLink(read.Stream, it.Key(), it.Value())
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
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: appendPositionKey(nil, x.next), UpperBound: appendPositionKey(nil, upTo+1)})
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
			return false, fmt.Errorf("index position %d: %w", positionOf(it.Key()), guard.Damage(err))
		}
		rec, err := decodeRecord(it.Key(), value)
		if err != nil {
			return false, l.nameCorrupt(rec, err)
		}
		for _, name := range linkStreams(string(rec.stream), string(rec.typ)) {
			n, ok := added[name]
			if !ok {
				if n, err = x.count(l.db, name); err != nil {
					return false, err
				}
			}
			key := appendLinkKey(nil, name, n)
			if err := batch.Set(key, linkValue(key, &rec), nil); err != nil {
				return false, fmt.Errorf("index position %d: %w", rec.position, err)
			}
			added[name] = n + 1
		}
		next = rec.position + 1
	}
	if err := it.Error(); err != nil {
		return false, fmt.Errorf("index from position %d: %w", x.next, guard.Damage(err))
	}
	if !valid {
		next = upTo + 1
	}
	value := make([]byte, indexValueSize)
	putIndex(value, indexedKey, next)
	if err := batch.Set(indexedKey, value, nil); err != nil {
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
	value, closer, err := db.Get(indexedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		x.next = 1
		return nil
	}
	if err != nil {
		return fmt.Errorf("find how far the index is: %w", guard.Damage(err))
	}
	defer closer.Close()
	x.next, err = decodeIndexed(value)
	return err
}

func decodeIndexed(value []byte) (event.Position, error) {
	if len(value) != indexValueSize || !sealed(indexedKey, value) {
		return 0, fmt.Errorf("%w: how far the index is", ErrCorrupt)
	}
	return event.Position(binary.BigEndian.Uint64(value)), nil
}

// count returns how many links a stream has.
func (x *links) count(db *pebble.DB, name string) (uint64, error) {
	if n, ok := x.counts.get(name); ok {
		return n, nil
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: appendLinkKey(nil, name, 0), UpperBound: appendLinkEnd(nil, name)})
	if err != nil {
		return 0, fmt.Errorf("count the links of %q: %w", name, guard.Damage(err))
	}
	defer it.Close()
	n := uint64(0)
	if it.Last() {
		n = uint64(revisionOf(it.Key())) + 1
	}
	if err := it.Error(); err != nil {
		return 0, fmt.Errorf("count the links of %q: %w", name, guard.Damage(err))
	}
	x.counts.put(name, n)
	return n, nil
}
