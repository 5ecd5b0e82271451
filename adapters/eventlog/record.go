package eventlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// ErrCorrupt is wrapped by every error about bytes that are not as they were written.
var ErrCorrupt = guard.ErrCorrupt

// errMissing: the index leads to no record.
var errMissing = fmt.Errorf("%w: no record", ErrCorrupt)

// A record is
//
//	version 1 | flags 1 | revision 8 | created 8 (Unix ns) | body | checksum 4
//
// and its body
//
//	id 16 | stream | type | data | metadata, each with its length as uvarint before it
//
// Flags hold what else the EventStoreDB protocol knows of an event.
const (
	recordVersion    = 1
	recordHeaderSize = 1 + 1 + 8 + 8
)

// flagBinary: the data is not JSON.
const flagBinary = 1 << 0

// bodyBound is what a body takes at most.
func bodyBound(stream string, e event.New) int {
	return len(uuid.UUID{}) + 4*binary.MaxVarintLen32 + len(stream) + len(e.Type) + len(e.Data) + len(e.Metadata)
}

func encodeBody(stream string, id uuid.UUID, e event.New) []byte {
	return appendBody(make([]byte, 0, bodyBound(stream, e)), stream, id, e)
}

// appendBody is done by the appender, so that the single writer has less to do.
func appendBody(b []byte, stream string, id uuid.UUID, e event.New) []byte {
	b = append(b, id[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(stream))), stream...)
	b = append(binary.AppendUvarint(b, uint64(len(e.Type))), e.Type...)
	b = append(binary.AppendUvarint(b, uint64(len(e.Data))), e.Data...)
	return append(binary.AppendUvarint(b, uint64(len(e.Metadata))), e.Metadata...)
}

func recordSize(body []byte) int { return recordHeaderSize + len(body) + sumSize }

// putRecord fills dst, which has recordSize(body) bytes; key is the record's key.
func putRecord(dst, key []byte, flags byte, r event.Revision, created time.Time, body []byte) {
	dst[0], dst[1] = recordVersion, flags
	binary.BigEndian.PutUint64(dst[2:], uint64(r))
	binary.BigEndian.PutUint64(dst[10:], uint64(created.UnixNano()))
	copy(dst[recordHeaderSize:], body)
	seal(key, dst)
}

// record is a decoded record whose fields still point into the stored bytes.
type record struct {
	position               event.Position
	revision               event.Revision
	created                time.Time
	flags                  byte
	id                     uuid.UUID
	stream, typ            []byte
	data, metadata, stored []byte
}

// decodeRecord verifies and takes apart. On error the fields read so far are kept, as
// a hint of which record it is.
func decodeRecord(key, value []byte) (record, error) {
	if len(key) != positionKeySize {
		return record{}, fmt.Errorf("%w: a key of %d bytes among the events", ErrCorrupt, len(key))
	}
	rec := record{position: positionOf(key), stored: value}
	parsed := rec.parse(value)
	if len(value) < recordHeaderSize+sumSize || !sealed(key, value) {
		return rec, fmt.Errorf("%w: checksum of the record at position %d", ErrCorrupt, rec.position)
	}
	if value[0] != recordVersion {
		return rec, fmt.Errorf("record at position %d has version %d, this program knows %d", rec.position, value[0], recordVersion)
	}
	if !parsed {
		return rec, fmt.Errorf("%w: form of the record at position %d", ErrCorrupt, rec.position)
	}
	return rec, nil
}

func (rec *record) parse(value []byte) bool {
	if len(value) < recordHeaderSize+len(rec.id)+sumSize {
		return false
	}
	rec.flags = value[1]
	rec.revision = event.Revision(binary.BigEndian.Uint64(value[2:]))
	rec.created = time.Unix(0, int64(binary.BigEndian.Uint64(value[10:]))).UTC()
	rest := value[recordHeaderSize : len(value)-sumSize]
	rest = rest[copy(rec.id[:], rest):]
	for _, field := range []*[]byte{&rec.stream, &rec.typ, &rec.data, &rec.metadata} {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return false
		}
		*field, rest = rest[n:n+int(size)], rest[n+int(size):]
	}
	return len(rest) == 0
}

// limits are those that a metadata event sets.
func (rec *record) limits() limits {
	if rec.flags&flagBinary != 0 {
		return limits{}
	}
	return limitsOf(rec.data)
}

// recorded copies the record out of the store's memory.
func (rec *record) recorded() event.Recorded {
	payload := make([]byte, len(rec.data)+len(rec.metadata))
	n := copy(payload, rec.data)
	copy(payload[n:], rec.metadata)
	return event.Recorded{
		Stream:   string(rec.stream),
		Revision: rec.revision,
		Position: rec.position,
		ID:       rec.id.String(),
		Type:     string(rec.typ),
		Data:     payload[:n:n],
		Metadata: payload[n:],
		Binary:   rec.flags&flagBinary != 0,
		Created:  rec.created,
	}
}
