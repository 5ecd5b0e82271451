package eventlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

func overwrite(t *testing.T, log *Log, key []byte, change func([]byte) []byte) (restore func()) {
	t.Helper()
	value, closer, err := log.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	good := append([]byte(nil), value...)
	_ = closer.Close()
	set := func(v []byte) {
		if err := log.db.Set(key, v, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	set(change(append([]byte(nil), good...)))
	return func() { set(good) }
}

// TestCorruptRecord damages a record in every byte, and cuts it: no reader is ever
// given it or led past it, and the error says where.
func TestCorruptRecord(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	mustAppend(t, log, "notification-1", event.NoStream(), someEvents(1)...)
	bad := mustAppend(t, log, "notification-2", event.NoStream(), someEvents(1)...)
	mustAppend(t, log, "notification-1", event.Exact(0), someEvents(1)...)
	key := layout.AppendPositionKey(nil, bad.Position)
	value, closer, err := log.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	size := len(value)
	_ = closer.Close()

	damage := map[string]func([]byte) []byte{
		"empty":     func(v []byte) []byte { return nil },
		"cut short": func(v []byte) []byte { return v[:len(v)-1] },
		"one more":  func(v []byte) []byte { return append(v, 0) },
	}
	for i := range size {
		damage[fmt.Sprintf("bit flip in byte %d", i)] = func(v []byte) []byte { v[i] ^= 1 << (i % 8); return v }
	}
	for name, change := range damage {
		restore := overwrite(t, log, key, change)
		where := fmt.Sprintf("position %d", bad.Position)
		reads := map[string]func(visit func(event.Recorded) error) error{
			"stream": func(v func(event.Recorded) error) error {
				return log.ReadStream(t.Context(), event.StreamRead{Stream: "notification-2"}, v)
			},
			"all": func(v func(event.Recorded) error) error {
				return log.ReadAll(t.Context(), event.AllRead{From: bad.Position}, v)
			},
			"all, filtered for others": func(v func(event.Recorded) error) error {
				return log.ReadAll(t.Context(), event.AllRead{From: bad.Position, Filter: event.Filter{StreamPrefixes: []string{"notification-1"}}}, v)
			},
			"all backwards": func(v func(event.Recorded) error) error {
				return log.ReadAll(t.Context(), event.AllRead{From: bad.Position + 1, Direction: event.Backwards}, v)
			},
			"subscription": func(v func(event.Recorded) error) error {
				after := bad.Position - 1
				return log.Subscribe(t.Context(), event.Subscription{After: &after}, event.Handler{Event: v})
			},
			"repeated append": func(func(event.Recorded) error) error {
				_, err := log.Append(t.Context(), "notification-2", event.NoStream(), someEvents(1))
				return err
			},
		}
		for read, do := range reads {
			err := do(func(e event.Recorded) error { return fmt.Errorf("served position %d", e.Position) })
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), where) {
				t.Errorf("%s, %s: %v, want ErrCorrupt at %s", name, read, err, where)
			}
			if (read == "stream" || name == fmt.Sprintf("bit flip in byte %d", size-layout.SumSize-1)) && !strings.Contains(err.Error(), "notification-2") {
				t.Errorf("%s, %s: %v does not name the stream", name, read, err)
			}
		}
		restore()
	}
	if n := len(streamOf(t, log, "notification-2", event.Forwards)); n != 1 {
		t.Errorf("%d events after the damage was undone", n)
	}
}

func TestCorruptIndexAndHead(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	mustAppend(t, log, "a", event.NoStream(), someEvents(3)...)
	mustAppend(t, log, "b", event.NoStream(), someEvents(1)...)
	other, closer, err := log.db.Get(layout.AppendIndexKey(nil, "a", 2))
	if err != nil {
		t.Fatal(err)
	}
	other = append([]byte(nil), other...)
	_ = closer.Close()
	damage := map[string]func([]byte) []byte{
		"entry of another event": func([]byte) []byte { return other },
		"entry cut short":        func(v []byte) []byte { return v[:3] },
		"no entry":               func([]byte) []byte { return nil },
	}
	for i := range layout.IndexValueSize {
		damage[fmt.Sprintf("bit flip in byte %d", i)] = func(v []byte) []byte { v[i] ^= 1 << (i % 8); return v }
	}
	for name, change := range damage {
		restore := overwrite(t, log, layout.AppendIndexKey(nil, "a", 1), change)
		for _, direction := range []event.Direction{event.Forwards, event.Backwards} {
			read := event.StreamRead{Stream: "a", Direction: direction}
			if direction == event.Backwards {
				read.From = event.RevisionEnd
			}
			err := log.ReadStream(t.Context(), read, func(e event.Recorded) error {
				if e.Revision == 1 {
					return errors.New("served what the index does not know")
				}
				return nil
			})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `"a"`) {
				t.Errorf("index, %s, direction %d: %v, want ErrCorrupt of stream a", name, direction, err)
			}
		}
		restore()
	}
}

// TestCorruptHead: an append to a stream of which it is not known where it stands is
// refused, not put at a wrong revision; a read does not show what may be hidden.
func TestCorruptHead(t *testing.T) {
	fs := vfs.NewMem()
	for i := range layout.HeadValueSize {
		log := openOn(t, fs) // anew, since heads are cached
		stream := fmt.Sprintf("h-%d", i)
		mustAppend(t, log, stream, event.NoStream(), someEvents(2)...)
		overwrite(t, log, layout.AppendHeadKey(nil, stream), func(v []byte) []byte { v[i] ^= 1 << (i % 8); return v })
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openOn(t, fs)
		if a, err := log.Append(t.Context(), stream, event.Any(), someEvents(1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit flip in byte %d: append replied %+v, %v, want ErrCorrupt", i, a, err)
		}
		err := log.ReadStream(t.Context(), event.StreamRead{Stream: stream}, func(event.Recorded) error { return errors.New("shown") })
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit flip in byte %d: read replied %v, want ErrCorrupt", i, err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
