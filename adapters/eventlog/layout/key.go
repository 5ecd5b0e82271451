package layout

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// The key spaces. A name in a key ends with NUL, which no name contains, so that no
// stream's keys lie between another's.
//
//	c <name> NUL <number>      link of a stream of links (index.go)
//	e <position>               record (record.go)
//	h <stream>                 head: next revision, last position, and what else (head.go)
//	l <stream>                 a note to the scavenger that there may be something to do
//	m <name>                   the log's own notes, e.g. its format
//	s <stream> NUL <revision>  position, checksum
//
// Numbers have 8 bytes, the highest first. A checksum is CRC-32C over the key and all of
// the value before it.
const (
	SpaceLinks   = 'c'
	SpaceEvents  = 'e'
	SpaceHeads   = 'h'
	SpaceLimited = 'l'
	SpaceMeta    = 'm'
	SpaceStreams = 's'

	Spaces = "cehlms" // all of them
)

const (
	PositionKeySize = 1 + 8
	SumSize         = 4
	IndexValueSize  = 8 + SumSize
)

// FormatKey names the layout; another version's folder is refused.
var FormatKey = append([]byte{SpaceMeta}, "format"...)

const Format = "recapito-eventlog-1"

func AppendPositionKey(dst []byte, p event.Position) []byte {
	return binary.BigEndian.AppendUint64(append(dst, SpaceEvents), uint64(p))
}

func AppendIndexKey(dst []byte, stream string, r event.Revision) []byte {
	dst = append(append(append(dst, SpaceStreams), stream...), 0)
	return binary.BigEndian.AppendUint64(dst, uint64(r))
}

// AppendIndexEnd is the first key after all of the stream's index.
func AppendIndexEnd(dst []byte, stream string) []byte {
	return append(append(append(dst, SpaceStreams), stream...), 1)
}

func AppendHeadKey(dst []byte, stream string) []byte {
	return append(append(dst, SpaceHeads), stream...)
}

func AppendLimitedKey(dst []byte, stream string) []byte {
	return append(append(dst, SpaceLimited), stream...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal puts the checksum into the last bytes of a value.
func Seal(key, value []byte) {
	n := len(value) - SumSize
	binary.BigEndian.PutUint32(value[n:], sum(key, value[:n]))
}

func Sealed(key, value []byte) bool {
	n := len(value) - SumSize
	return n >= 0 && binary.BigEndian.Uint32(value[n:]) == sum(key, value[:n])
}

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

func PutIndex(dst, key []byte, p event.Position) {
	binary.BigEndian.PutUint64(dst, uint64(p))
	Seal(key, dst)
}

func DecodeIndex(key, value []byte) (event.Position, error) {
	if len(value) != IndexValueSize || !Sealed(key, value) {
		return 0, fmt.Errorf("%w: index of stream %q at revision %d", guard.ErrCorrupt, key[1:len(key)-9], RevisionOf(key))
	}
	return event.Position(binary.BigEndian.Uint64(value)), nil
}

// RevisionOf takes the revision off the end of an index key.
func RevisionOf(indexKey []byte) event.Revision {
	return event.Revision(binary.BigEndian.Uint64(indexKey[len(indexKey)-8:]))
}

// SplitName takes a key of a name and a number apart.
func SplitName(key []byte) (name []byte, r event.Revision, ok bool) {
	n := len(key) - 9
	if n < 2 || key[n] != 0 {
		return nil, 0, false
	}
	return key[1:n], RevisionOf(key), true
}

func PositionOf(positionKey []byte) event.Position {
	return event.Position(binary.BigEndian.Uint64(positionKey[1:]))
}

// KnownFormat returns an error if a folder's format is another than this program's.
func KnownFormat(found []byte) error {
	if string(found) != Format {
		return fmt.Errorf("the folder has format %.40q, this program knows %q", found, Format)
	}
	return nil
}
