package layout

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/guard"
	"recapito/domain/event"
)

// Reader looks single things up in an open database. What it finds may be more than what
// is durable.
type Reader struct{ DB *pebble.DB }

// PositionAt looks an event up in its stream's index.
func (d Reader) PositionAt(stream string, r event.Revision) (event.Position, bool, error) {
	key := AppendIndexKey(nil, stream, r)
	value, found, err := d.Get(key)
	if err != nil || !found {
		return 0, false, err
	}
	p, err := DecodeIndex(key, value)
	return p, err == nil, err
}

// Standing reads the event at a position, if there is one.
func (d Reader) Standing(p event.Position) (event.Recorded, bool, error) {
	key := AppendPositionKey(nil, p)
	value, found, err := d.Get(key)
	if err != nil || !found {
		return event.Recorded{}, false, err
	}
	rec, err := DecodeRecord(key, value)
	if err != nil {
		return event.Recorded{}, false, d.NameCorrupt(rec, err)
	}
	return rec.Recorded(), true, nil
}

// Get copies a value out of the store. The caller keeps the database open.
func (d Reader) Get(key []byte) (value []byte, found bool, err error) {
	stored, closer, err := d.DB.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up a key: %w", guard.Damage(err))
	}
	defer closer.Close()
	return append([]byte(nil), stored...), true, nil
}

// NameCorrupt adds the stream and revision to an error, if the index confirms what is
// still readable of them.
func (d Reader) NameCorrupt(rec Record, err error) error {
	stream, r := string(rec.Stream), rec.Revision
	key := AppendIndexKey(nil, stream, r)
	value, closer, getErr := d.DB.Get(key)
	if getErr == nil {
		defer closer.Close()
		if p, indexErr := DecodeIndex(key, value); indexErr == nil && p == rec.Position {
			return fmt.Errorf("event %d of stream %q at position %d: %w", r, stream, p, err)
		}
	}
	return fmt.Errorf("position %d, stream unknown: %w", rec.Position, err)
}

// Head reads a stream's head; zero if there is none.
func (d Reader) Head(stream string) (Head, error) {
	key := AppendHeadKey(make([]byte, 0, 1+len(stream)), stream)
	value, closer, err := d.DB.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("read head of stream %q: %w", stream, guard.Damage(err))
	}
	defer closer.Close()
	return DecodeHead(key, value)
}
