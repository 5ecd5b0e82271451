package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// head is where a stream stands. Zero: there is nothing of it.
//
// A stream may have limits before it has events, and none left of those it had.
type head struct {
	next  event.Revision // of the next event
	last  event.Position // of the last event, $streamDeleted included
	first event.Revision // those before it may have been removed by a scavenge, none after

	limits     limits
	limitedAt  event.Position // of the metadata event that set them; 0: there is none
	tombstoned bool
}

// A head is stored as
//
//	next 8 | last 8 | checksum 4
//
// and, if there is more to record,
//
//	next 8 | last 8 | first 8 | limited at 8 | $maxCount 8 | $maxAge 8 (ns) | $tb 8 | flags 1 | checksum 4
const (
	headValueSize     = 8 + 8 + sumSize
	longHeadValueSize = 7*8 + 1 + sumSize
)

const headTombstoned = 1 << 0

// exists reports whether the stream ever had an event of its own.
func (h head) exists() bool { return h.next > 0 }

// emptied reports whether all events that the stream had were removed.
func (h head) emptied() bool { return h.first == h.next }

// known is the position up to which all must be durable for the head to be so.
func (h head) known() event.Position { return max(h.last, h.limitedAt) }

func (h head) size() int {
	if h.first > 0 || h.limitedAt > 0 || h.tombstoned {
		return longHeadValueSize
	}
	return headValueSize
}

// putHead fills dst, which has h.size() bytes.
func putHead(dst, key []byte, h head) {
	binary.BigEndian.PutUint64(dst, uint64(h.next))
	binary.BigEndian.PutUint64(dst[8:], uint64(h.last))
	if len(dst) == longHeadValueSize {
		binary.BigEndian.PutUint64(dst[16:], uint64(h.first))
		binary.BigEndian.PutUint64(dst[24:], uint64(h.limitedAt))
		binary.BigEndian.PutUint64(dst[32:], h.limits.maxCount)
		binary.BigEndian.PutUint64(dst[40:], uint64(h.limits.maxAge))
		binary.BigEndian.PutUint64(dst[48:], uint64(h.limits.truncateBefore))
		dst[56] = 0
		if h.tombstoned {
			dst[56] = headTombstoned
		}
	}
	seal(key, dst)
}

func decodeHead(key, value []byte) (head, error) {
	if len(value) != headValueSize && len(value) != longHeadValueSize || !sealed(key, value) {
		return head{}, fmt.Errorf("%w: head of stream %q", ErrCorrupt, key[1:])
	}
	h := head{
		next: event.Revision(binary.BigEndian.Uint64(value)),
		last: event.Position(binary.BigEndian.Uint64(value[8:])),
	}
	if len(value) == longHeadValueSize {
		h.first = event.Revision(binary.BigEndian.Uint64(value[16:]))
		h.limitedAt = event.Position(binary.BigEndian.Uint64(value[24:]))
		h.limits = limits{
			maxCount:       binary.BigEndian.Uint64(value[32:]),
			maxAge:         time.Duration(binary.BigEndian.Uint64(value[40:])),
			truncateBefore: event.Revision(binary.BigEndian.Uint64(value[48:])),
		}
		h.tombstoned = value[56]&headTombstoned != 0
	}
	return h, nil
}

// head reads where a stream stands in Pebble, which may be more than what is durable.
func (l *Log) head(stream string) (head, error) {
	key := appendHeadKey(make([]byte, 0, 1+len(stream)), stream)
	value, closer, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return head{}, nil
	}
	if err != nil {
		return head{}, fmt.Errorf("read head of stream %q: %w", stream, guard.Damage(err))
	}
	defer closer.Close()
	return decodeHead(key, value)
}
