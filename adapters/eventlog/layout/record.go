package layout

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

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

// FlagBinary: the data is not JSON.
const FlagBinary = 1 << 0

// BodyBound is what a body takes at most.
func BodyBound(stream string, e event.New) int {
	return len(uuid.UUID{}) + 4*binary.MaxVarintLen32 + len(stream) + len(e.Type) + len(e.Data) + len(e.Metadata)
}

func EncodeBody(stream string, id uuid.UUID, e event.New) []byte {
	return AppendBody(make([]byte, 0, BodyBound(stream, e)), stream, id, e)
}

// AppendBody is done by the appender, so that the single writer has less to do.
func AppendBody(b []byte, stream string, id uuid.UUID, e event.New) []byte {
	b = append(b, id[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(stream))), stream...)
	b = append(binary.AppendUvarint(b, uint64(len(e.Type))), e.Type...)
	b = append(binary.AppendUvarint(b, uint64(len(e.Data))), e.Data...)
	return append(binary.AppendUvarint(b, uint64(len(e.Metadata))), e.Metadata...)
}

func RecordSize(body []byte) int { return recordHeaderSize + len(body) + SumSize }

// PutRecord fills dst, which has RecordSize(body) bytes; key is the record's key.
func PutRecord(dst, key []byte, flags byte, r event.Revision, created time.Time, body []byte) {
	dst[0], dst[1] = recordVersion, flags
	binary.BigEndian.PutUint64(dst[2:], uint64(r))
	binary.BigEndian.PutUint64(dst[10:], uint64(created.UnixNano()))
	copy(dst[recordHeaderSize:], body)
	Seal(key, dst)
}

// Record is a decoded record whose fields still point into the stored bytes.
type Record struct {
	Position               event.Position
	Revision               event.Revision
	Created                time.Time
	flags                  byte
	Id                     uuid.UUID
	Stream, Typ            []byte
	Data, metadata, Stored []byte
}

// DecodeRecord verifies and takes apart. On error the fields read so far are kept, as
// a hint of which record it is.
func DecodeRecord(key, value []byte) (Record, error) {
	if len(key) != PositionKeySize {
		return Record{}, fmt.Errorf("%w: a key of %d bytes among the events", guard.ErrCorrupt, len(key))
	}
	rec := Record{Position: PositionOf(key), Stored: value}
	parsed := rec.parse(value)
	if len(value) < recordHeaderSize+SumSize || !Sealed(key, value) {
		return rec, fmt.Errorf("%w: checksum of the record at position %d", guard.ErrCorrupt, rec.Position)
	}
	if value[0] != recordVersion {
		return rec, fmt.Errorf("record at position %d has version %d, this program knows %d", rec.Position, value[0], recordVersion)
	}
	if !parsed {
		return rec, fmt.Errorf("%w: form of the record at position %d", guard.ErrCorrupt, rec.Position)
	}
	return rec, nil
}

func (rec *Record) parse(value []byte) bool {
	if len(value) < recordHeaderSize+len(rec.Id)+SumSize {
		return false
	}
	rec.flags = value[1]
	rec.Revision = event.Revision(binary.BigEndian.Uint64(value[2:]))
	rec.Created = time.Unix(0, int64(binary.BigEndian.Uint64(value[10:]))).UTC()
	rest := value[recordHeaderSize : len(value)-SumSize]
	rest = rest[copy(rec.Id[:], rest):]
	for _, field := range []*[]byte{&rec.Stream, &rec.Typ, &rec.Data, &rec.metadata} {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return false
		}
		*field, rest = rest[n:n+int(size)], rest[n+int(size):]
	}
	return len(rest) == 0
}

// Limits are those that a metadata event sets.
func (rec *Record) Limits() Limits {
	if rec.flags&FlagBinary != 0 {
		return Limits{}
	}
	return LimitsOf(rec.Data)
}

// Recorded copies the record out of the store's memory.
func (rec *Record) Recorded() event.Recorded {
	payload := make([]byte, len(rec.Data)+len(rec.metadata))
	n := copy(payload, rec.Data)
	copy(payload[n:], rec.metadata)
	return event.Recorded{
		Stream:   string(rec.Stream),
		Revision: rec.Revision,
		Position: rec.Position,
		ID:       rec.Id.String(),
		Type:     string(rec.Typ),
		Data:     payload[:n:n],
		Metadata: payload[n:],
		Binary:   rec.flags&FlagBinary != 0,
		Created:  rec.Created,
	}
}
