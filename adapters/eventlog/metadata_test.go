package eventlog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

func metadataEvent(data string) event.New {
	return event.New{ID: uuid.NewString(), Type: layout.MetadataType, Data: []byte(data)}
}

// shows returns the revisions that a stream shows, and its error.
func shows(t testing.TB, log *Log, stream string) ([]event.Revision, error) {
	t.Helper()
	var got []event.Revision
	err := log.ReadStream(t.Context(), event.StreamRead{Stream: stream}, func(e event.Recorded) error {
		got = append(got, e.Revision)
		return nil
	})
	return got, err
}

func TestLimitsOf(t *testing.T) {
	tests := []struct {
		metadata string
		want     layout.Limits
	}{
		{`{}`, layout.Limits{}},
		{`{"$maxCount":3,"$maxAge":60,"$tb":7}`, layout.Limits{MaxCount: 3, MaxAge: time.Minute, TruncateBefore: 7}},
		{`{"$tb":9223372036854775807}`, layout.Limits{TruncateBefore: event.RevisionEnd}},
		{`{"$tb":9223372036854775808}`, layout.Limits{}},
		{`{"$maxCount":0,"$maxAge":-5,"$tb":-1}`, layout.Limits{}},
		{`{"$maxCount":2.5}`, layout.Limits{}},
		{`{"$maxCount":2,"$maxAge":"1"}`, layout.Limits{}},
		{`{"$maxCount":2,"$maxAge":null}`, layout.Limits{}},
		{`{"$maxCount":2,"$cacheControl":true}`, layout.Limits{}},
		{`{"$maxCount":2,"$tmp":1}`, layout.Limits{}},
		{`{"$maxCount":2,"$tmp":true,"$cacheControl":4,"mine":{"a":[null]}}`, layout.Limits{MaxCount: 2}},
		{`{"$maxCount":2,"$acl":{"$r":"a","$w":["a","b"],"$mr":[]}}`, layout.Limits{MaxCount: 2}},
		{`{"$maxCount":2,"$acl":null}`, layout.Limits{}},
		{`{"$maxCount":2,"$acl":{"$r":5}}`, layout.Limits{}},
		{`{"$maxCount":2,"$acl":{"$r":["a",1]}}`, layout.Limits{}},
		{`{"$maxCount":2,"$acl":{"who":"a"}}`, layout.Limits{}},
		{`{"$maxAge":9223372036854775807}`, layout.Limits{MaxAge: 9223372036 * time.Second}},
		{`[]`, layout.Limits{}}, {`null`, layout.Limits{}}, {`{"$maxCount":2`, layout.Limits{}}, {``, layout.Limits{}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, layout.LimitsOf([]byte(test.metadata))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.metadata, diff)
		}
	}
}

func TestHeadIsStored(t *testing.T) {
	heads := []layout.Head{
		{Next: 3, Last: 9},
		{Next: 3, Last: 9, First: 2},
		{LimitedAt: 4},
		{Next: 3, Last: 9, First: 1, Limits: layout.Limits{MaxCount: 5, MaxAge: time.Hour, TruncateBefore: event.RevisionEnd}, LimitedAt: 8, Tombstoned: true},
	}
	for _, h := range heads {
		key := layout.AppendHeadKey(nil, "s")
		value := make([]byte, h.Size())
		layout.PutHead(value, key, h)
		if got, err := layout.DecodeHead(key, value); err != nil || got != h {
			t.Errorf("%+v comes back as %+v, %v", h, got, err)
		}
		for i := range value {
			value[i] ^= 1
			if got, err := layout.DecodeHead(key, value); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%+v with byte %d flipped: %+v, %v", h, i, got, err)
			}
			value[i] ^= 1
		}
	}
	if n := (layout.Head{Next: 3, Last: 9}).Size(); n != 20 {
		t.Errorf("a stream without limits has a head of %d bytes", n)
	}
}

// TestMetadataTakeEffect goes through what may be written to a metadata stream.
func TestMetadataTakeEffect(t *testing.T) {
	binary := metadataEvent(`{"$maxCount":1}`)
	binary.Binary = true
	tests := map[string]struct {
		appends [][]event.New
		want    []event.Revision
	}{
		"none":                    {nil, []event.Revision{0, 1, 2}},
		"a limit":                 {[][]event.New{{metadataEvent(`{"$maxCount":1}`)}}, []event.Revision{2}},
		"the last of an append":   {[][]event.New{{metadataEvent(`{"$maxCount":1}`), metadataEvent(`{"$tb":1}`)}}, []event.Revision{1, 2}},
		"the last append":         {[][]event.New{{metadataEvent(`{"$maxCount":1}`)}, {metadataEvent(`{"$tb":1}`)}}, []event.Revision{1, 2}},
		"a limit, then malformed": {[][]event.New{{metadataEvent(`{"$maxCount":1}`)}, {metadataEvent(`{"$maxCount":`)}}, []event.Revision{0, 1, 2}},
		"not JSON":                {[][]event.New{{binary}}, []event.Revision{0, 1, 2}},
		// As with EventStoreDB, any event will do.
		"of another type": {[][]event.New{{{ID: uuid.NewString(), Type: "Tested", Data: []byte(`{"$maxCount":1}`)}}}, []event.Revision{2}},
	}
	for name, test := range tests {
		fs := vfs.NewMem()
		log := openOn(t, fs)
		mustAppend(t, log, "s", event.NoStream(), someEvents(3)...)
		for _, events := range test.appends {
			mustAppend(t, log, "$$s", event.Any(), events...)
		}
		for range 2 {
			if got, err := shows(t, log, "s"); err != nil || !cmp.Equal(got, test.want) {
				t.Errorf("%s: shows %v, %v, want %v", name, got, err, test.want)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			log = openOn(t, fs)
		}
		if n := len(allOf(t, log)); n < 3+len(test.appends) {
			t.Errorf("%s: $all shows %d events", name, n)
		}
	}
}

func TestMetadataStreams(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	if _, err := log.Append(t.Context(), "$$", event.Any(), someEvents(1)); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("append to the metadata stream of nothing: %v", err)
	}
	// The metadata of a metadata stream are stored, and have no effect.
	mustAppend(t, log, "$$s", event.NoStream(), metadataEvent(`{}`), metadataEvent(`{}`), metadataEvent(`{}`))
	mustAppend(t, log, "$$$$s", event.NoStream(), metadataEvent(`{"$tb":9223372036854775807}`))
	if got, err := shows(t, log, "$$s"); err != nil || !cmp.Equal(got, []event.Revision{2}) {
		t.Errorf("the metadata stream shows %v, %v", got, err)
	}
	// Those of a system stream are as any other's.
	mustAppend(t, log, "$system", event.NoStream(), someEvents(3)...)
	mustAppend(t, log, "$$$system", event.NoStream(), metadataEvent(`{"$tb":2}`))
	if got, err := shows(t, log, "$system"); err != nil || !cmp.Equal(got, []event.Revision{2}) {
		t.Errorf("the system stream shows %v, %v", got, err)
	}
	longest := fmt.Sprintf("%0*d", MaxStreamBytes, 1)
	mustAppend(t, log, "$$"+longest, event.NoStream(), metadataEvent(`{}`))
	if _, err := log.Append(t.Context(), "$$0"+longest, event.Any(), someEvents(1)); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("append to the metadata stream of one that cannot be: %v", err)
	}
}

// TestLimitsBeforeTheirSync holds up the sync of metadata: they take effect after it,
// and until then those before them do.
func TestLimitsBeforeTheirSync(t *testing.T) {
	tests := map[string]struct {
		before []string
		held   func(log *Log) (event.Appended, error)
		shows  []event.Revision
		then   error
		after  []event.Revision
	}{
		"the first metadata": {nil, func(log *Log) (event.Appended, error) {
			return log.Append(t.Context(), "$$s", event.Any(), []event.New{metadataEvent(`{"$tb":2}`)})
		}, []event.Revision{0, 1, 2}, nil, []event.Revision{2}},
		"other metadata": {[]string{`{"$tb":2}`, `{"$maxCount":2}`}, func(log *Log) (event.Appended, error) {
			return log.Append(t.Context(), "$$s", event.Any(), []event.New{metadataEvent(`{"$tb":2}`)})
		}, []event.Revision{1, 2}, nil, []event.Revision{2}},
		"a deletion": {[]string{`{"$tb":1}`}, func(log *Log) (event.Appended, error) {
			return log.Delete(t.Context(), "s", event.Any())
		}, []event.Revision{1, 2}, event.ErrStreamNotFound, nil},
		"a tombstone": {[]string{`{"$maxCount":2}`}, func(log *Log) (event.Appended, error) {
			return log.Tombstone(t.Context(), "s", event.Any())
		}, []event.Revision{1, 2}, event.ErrStreamDeleted, nil},
		"one more event": {[]string{`{"$maxCount":2}`}, func(log *Log) (event.Appended, error) {
			return log.Append(t.Context(), "s", event.Any(), someEvents(1))
		}, []event.Revision{1, 2}, nil, []event.Revision{2, 3}},
		"a comeback": {[]string{`{"$tb":9223372036854775807}`}, func(log *Log) (event.Appended, error) {
			return log.Append(t.Context(), "s", event.Any(), someEvents(1))
		}, nil, nil, []event.Revision{3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDisk(vfs.NewCrashableMem())
			log := openOn(t, d)
			mustAppend(t, log, "s", event.NoStream(), someEvents(3)...)
			for _, m := range test.before {
				mustAppend(t, log, "$$s", event.Any(), metadataEvent(m))
			}
			metadata := len(streamOf(t, log, "$$s", event.Backwards))
			release := d.hold()
			defer release()
			held := make(chan error, 1)
			go func() {
				_, err := test.held(log)
				held <- err
			}()
			receive(t, "held sync", d.waiting)
			wrong := appendAsync(t.Context(), log, "s", event.Exact(99), someEvents(1))
			for deadline := time.Now().Add(30 * time.Millisecond); time.Now().Before(deadline); {
				got, err := shows(t, log, "s")
				if err != nil && !(errors.Is(err, event.ErrStreamNotFound) && test.shows == nil) || !cmp.Equal(got, test.shows) {
					t.Fatalf("before the sync: shows %v, %v, want %v", got, err, test.shows)
				}
				if n := len(streamOf(t, log, "$$s", event.Backwards)); n != metadata {
					t.Fatalf("before the sync: %d metadata events", n)
				}
			}
			select {
			case o := <-wrong:
				t.Errorf("replied before the sync it depends on: %+v", o)
			default:
			}
			release()
			if err := receive(t, "reply", held); err != nil {
				t.Fatal(err)
			}
			if got, err := shows(t, log, "s"); !errors.Is(err, test.then) || !cmp.Equal(got, test.after) {
				t.Errorf("after the sync: shows %v, %v, want %v, %v", got, err, test.after, test.then)
			}
			if o := receive(t, "reply", wrong); o.err == nil {
				t.Errorf("wrong version: %+v", o)
			}
		})
	}
}
