package layout

import (
	"encoding/binary"
	"fmt"
	"time"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// Head is where a stream stands. Zero: there is nothing of it.
//
// A stream may have limits before it has events, and none left of those it had.
type Head struct {
	Next  event.Revision // of the next event
	Last  event.Position // of the last event, $streamDeleted included
	First event.Revision // those before it may have been removed by a scavenge, none after

	Limits     Limits
	LimitedAt  event.Position // of the metadata event that set them; 0: there is none
	Tombstoned bool
}

// A head is stored as
//
//	next 8 | last 8 | checksum 4
//
// and, if there is more to record,
//
//	next 8 | last 8 | first 8 | limited at 8 | $maxCount 8 | $maxAge 8 (ns) | $tb 8 | flags 1 | checksum 4
const (
	HeadValueSize     = 8 + 8 + SumSize
	longHeadValueSize = 7*8 + 1 + SumSize
)

const headTombstoned = 1 << 0

// Exists reports whether the stream ever had an event of its own.
func (h Head) Exists() bool { return h.Next > 0 }

// Emptied reports whether all events that the stream had were removed.
func (h Head) Emptied() bool { return h.First == h.Next }

// Known is the position up to which all must be durable for the head to be so.
func (h Head) Known() event.Position { return max(h.Last, h.LimitedAt) }

func (h Head) Size() int {
	if h.First > 0 || h.LimitedAt > 0 || h.Tombstoned {
		return longHeadValueSize
	}
	return HeadValueSize
}

// PutHead fills dst, which has h.Size() bytes.
func PutHead(dst, key []byte, h Head) {
	binary.BigEndian.PutUint64(dst, uint64(h.Next))
	binary.BigEndian.PutUint64(dst[8:], uint64(h.Last))
	if len(dst) == longHeadValueSize {
		binary.BigEndian.PutUint64(dst[16:], uint64(h.First))
		binary.BigEndian.PutUint64(dst[24:], uint64(h.LimitedAt))
		binary.BigEndian.PutUint64(dst[32:], h.Limits.MaxCount)
		binary.BigEndian.PutUint64(dst[40:], uint64(h.Limits.MaxAge))
		binary.BigEndian.PutUint64(dst[48:], uint64(h.Limits.TruncateBefore))
		dst[56] = 0
		if h.Tombstoned {
			dst[56] = headTombstoned
		}
	}
	Seal(key, dst)
}

func DecodeHead(key, value []byte) (Head, error) {
	if len(value) != HeadValueSize && len(value) != longHeadValueSize || !Sealed(key, value) {
		return Head{}, fmt.Errorf("%w: head of stream %q", guard.ErrCorrupt, key[1:])
	}
	h := Head{
		Next: event.Revision(binary.BigEndian.Uint64(value)),
		Last: event.Position(binary.BigEndian.Uint64(value[8:])),
	}
	if len(value) == longHeadValueSize {
		h.First = event.Revision(binary.BigEndian.Uint64(value[16:]))
		h.LimitedAt = event.Position(binary.BigEndian.Uint64(value[24:]))
		h.Limits = Limits{
			MaxCount:       binary.BigEndian.Uint64(value[32:]),
			MaxAge:         time.Duration(binary.BigEndian.Uint64(value[40:])),
			TruncateBefore: event.Revision(binary.BigEndian.Uint64(value[48:])),
		}
		h.Tombstoned = value[56]&headTombstoned != 0
	}
	return h, nil
}
