package layout

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// Streams of links, which the store makes itself: every event of a category, that is of the
// streams whose name begins with the same word before a '-', and every event of a type.
// They are an index next to the log, not events in $all, and are brought up to date when
// they are read, so that only their users pay for them.
const (
	CategoryPrefix = "$ce-"
	TypePrefix     = "$et-"
)

// LinkType marks an event that points to another one: its data is revision@stream.
const LinkType = "$>"

// linkIDs is the name space of link ids: a link has the same id at every read.
var linkIDs = uuid.MustParse("9a0f4bd3-3f0e-5a6e-9d9f-2b6f6f2f5c11")

// IndexedKey holds the first position that is not indexed yet, and a checksum.
var IndexedKey = append([]byte{SpaceMeta}, "indexed"...)

func IsLinkStream(name string) bool {
	return strings.HasPrefix(name, CategoryPrefix) || strings.HasPrefix(name, TypePrefix)
}

// LinkStreams returns the streams of links that an event is in. Of the store's own
// streams there is no category; links are in no stream of links.
func LinkStreams(stream, typ string) []string {
	if typ == LinkType {
		return nil
	}
	names := []string{TypePrefix + typ}
	if category, _, ok := strings.Cut(stream, "-"); ok && category != "" && !strings.HasPrefix(stream, "$") {
		names = append(names, CategoryPrefix+category)
	}
	return names
}

func AppendLinkKey(dst []byte, name string, n uint64) []byte {
	dst = append(append(append(dst, SpaceLinks), name...), 0)
	return binary.BigEndian.AppendUint64(dst, n)
}

func AppendLinkEnd(dst []byte, name string) []byte {
	return append(append(append(dst, SpaceLinks), name...), 1)
}

// A link's value is the position and time of what it points to, revision@stream, and a
// checksum. It stays when that is scavenged, so that the numbers of links never change.
const linkHeaderSize = 8 + 8

func LinkValue(key []byte, rec *Record) []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(rec.Position))
	v = binary.BigEndian.AppendUint64(v, uint64(rec.Created.UnixNano()))
	v = strconv.AppendUint(v, uint64(rec.Revision), 10)
	v = append(append(v, '@'), rec.Stream...)
	v = append(v, make([]byte, SumSize)...)
	Seal(key, v)
	return v
}

func DecodeLink(name string, key, value []byte) (event.Recorded, error) {
	n := RevisionOf(key)
	if len(value) < linkHeaderSize+SumSize || !Sealed(key, value) {
		return event.Recorded{}, fmt.Errorf("%w: link %d of stream %q", guard.ErrCorrupt, n, name)
	}
	return event.Recorded{
		Stream:   name,
		Revision: n,
		Position: event.Position(binary.BigEndian.Uint64(value)),
		ID:       uuid.NewSHA1(linkIDs, AppendLinkKey(nil, name, uint64(n))).String(),
		Type:     LinkType,
		Data:     append([]byte(nil), value[linkHeaderSize:len(value)-SumSize]...),
		Binary:   true,
		Created:  time.Unix(0, int64(binary.BigEndian.Uint64(value[8:]))).UTC(),
	}, nil
}

func DecodeIndexed(value []byte) (event.Position, error) {
	if len(value) != IndexValueSize || !Sealed(IndexedKey, value) {
		return 0, fmt.Errorf("%w: how far the index is", guard.ErrCorrupt)
	}
	return event.Position(binary.BigEndian.Uint64(value)), nil
}
