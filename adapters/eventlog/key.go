package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

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
	spaceLinks   = 'c'
	spaceEvents  = 'e'
	spaceHeads   = 'h'
	spaceLimited = 'l'
	spaceMeta    = 'm'
	spaceStreams = 's'

	spaces = "cehlms" // all of them
)

const (
	positionKeySize = 1 + 8
	sumSize         = 4
	indexValueSize  = 8 + sumSize
)

// formatKey names the layout; another version's folder is refused.
var formatKey = append([]byte{spaceMeta}, "format"...)

const format = "recapito-eventlog-1"

func appendPositionKey(dst []byte, p event.Position) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceEvents), uint64(p))
}

func appendIndexKey(dst []byte, stream string, r event.Revision) []byte {
	dst = append(append(append(dst, spaceStreams), stream...), 0)
	return binary.BigEndian.AppendUint64(dst, uint64(r))
}

// appendIndexEnd is the first key after all of the stream's index.
func appendIndexEnd(dst []byte, stream string) []byte {
	return append(append(append(dst, spaceStreams), stream...), 1)
}

func appendHeadKey(dst []byte, stream string) []byte {
	return append(append(dst, spaceHeads), stream...)
}

func appendLimitedKey(dst []byte, stream string) []byte {
	return append(append(dst, spaceLimited), stream...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts the checksum into the last bytes of a value.
func seal(key, value []byte) {
	n := len(value) - sumSize
	binary.BigEndian.PutUint32(value[n:], sum(key, value[:n]))
}

func sealed(key, value []byte) bool {
	n := len(value) - sumSize
	return n >= 0 && binary.BigEndian.Uint32(value[n:]) == sum(key, value[:n])
}

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

func putIndex(dst, key []byte, p event.Position) {
	binary.BigEndian.PutUint64(dst, uint64(p))
	seal(key, dst)
}

func decodeIndex(key, value []byte) (event.Position, error) {
	if len(value) != indexValueSize || !sealed(key, value) {
		return 0, fmt.Errorf("%w: index of stream %q at revision %d", ErrCorrupt, key[1:len(key)-9], revisionOf(key))
	}
	return event.Position(binary.BigEndian.Uint64(value)), nil
}

// revisionOf takes the revision off the end of an index key.
func revisionOf(indexKey []byte) event.Revision {
	return event.Revision(binary.BigEndian.Uint64(indexKey[len(indexKey)-8:]))
}

// splitName takes a key of a name and a number apart.
func splitName(key []byte) (name []byte, r event.Revision, ok bool) {
	n := len(key) - 9
	if n < 2 || key[n] != 0 {
		return nil, 0, false
	}
	return key[1:n], revisionOf(key), true
}

func positionOf(positionKey []byte) event.Position {
	return event.Position(binary.BigEndian.Uint64(positionKey[1:]))
}
