package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/event"
)

// setMetadata sets the stream's metadata, which determine what is hidden of it.
func (s suite) setMetadata(t *testing.T, stream, metadata string) {
	t.Helper()
	s.mustAppend(t, "$$"+stream, event.Any(), event.New{ID: newID(), Type: "$metadata", Data: []byte(metadata)})
}

// sees reads a stream in both directions and compares revisions.
func (s suite) sees(t *testing.T, what, stream string, want ...event.Revision) {
	t.Helper()
	read := func(r event.StreamRead) []event.Revision {
		var got []event.Revision
		for _, e := range s.readStream(t, r) {
			got = append(got, e.Revision)
		}
		return got
	}
	if diff := cmp.Diff(want, read(event.StreamRead{Stream: stream})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	var back []event.Revision
	for i := range want {
		back = append(back, want[len(want)-1-i])
	}
	if diff := cmp.Diff(back, read(event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards})); diff != "" {
		t.Errorf("%s, backwards (-want +got):\n%s", what, diff)
	}
	if len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want[:1], read(event.StreamRead{Stream: stream, Limit: 1})); diff != "" {
		t.Errorf("%s, the first one (-want +got):\n%s", what, diff)
	}
	if got := read(event.StreamRead{Stream: stream, From: want[0], Direction: event.Backwards}); len(got) != 1 {
		t.Errorf("%s, backwards from the first one: %v", what, got)
	}
}

func testHiddenByNumber(t *testing.T, s suite) {
	tests := []struct {
		metadata string
		want     []event.Revision // of five events
		then     []event.Revision // after a sixth
	}{
		{`{"$maxCount":2}`, []event.Revision{3, 4}, []event.Revision{4, 5}},
		{`{"$maxCount":9}`, []event.Revision{0, 1, 2, 3, 4}, []event.Revision{0, 1, 2, 3, 4, 5}},
		{`{"$tb":3,"mine":true}`, []event.Revision{3, 4}, []event.Revision{3, 4, 5}},
		{`{"$tb":3,"$maxCount":4}`, []event.Revision{3, 4}, []event.Revision{3, 4, 5}},
		{`{"$tb":1,"$maxCount":2}`, []event.Revision{3, 4}, []event.Revision{4, 5}},
		{`{"$tb":5}`, nil, []event.Revision{5}},
		{`{"$tb":7}`, nil, nil},
		{`{"$acl":{"$r":"$all"},"$cacheControl":5}`, []event.Revision{0, 1, 2, 3, 4}, []event.Revision{0, 1, 2, 3, 4, 5}},
		{`{"$maxCount":0,"$maxAge":-1,"$tb":-1}`, []event.Revision{0, 1, 2, 3, 4}, []event.Revision{0, 1, 2, 3, 4, 5}},
		{`{"$maxCount":"2"}`, []event.Revision{0, 1, 2, 3, 4}, []event.Revision{0, 1, 2, 3, 4, 5}},
	}
	for i, test := range tests {
		stream := s.stream(fmt.Sprintf("number-%d", i))
		before := newEvents(5)
		s.mustAppend(t, stream, event.NoStream(), before...)
		s.setMetadata(t, stream, `{"$maxCount":1}`) // the last word counts
		s.setMetadata(t, stream, test.metadata)
		s.sees(t, test.metadata, stream, test.want...)
		// What is hidden is still known.
		if a := s.mustAppend(t, stream, event.NoStream(), before...); a.Revision != 4 {
			t.Errorf("%s: repeated append: %+v", test.metadata, a)
		}
		s.mustAppend(t, stream, event.Exact(4), newEvents(1)...)
		s.sees(t, test.metadata+" and one more", stream, test.then...)
	}
}

func testHiddenBeforeItIs(t *testing.T, s suite) {
	stream := s.stream("later")
	s.setMetadata(t, stream, `{"$maxCount":2}`)
	err := s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream}, func(event.Recorded) error { return nil })
	wantErr(t, "a stream of which there are metadata only", err, event.ErrStreamNotFound)
	s.mustAppend(t, stream, event.NoStream(), newEvents(3)...)
	s.sees(t, "limits set before", stream, 1, 2)
	if got := s.readStream(t, event.StreamRead{Stream: "$$" + stream}); len(got) != 1 {
		t.Errorf("the metadata stream shows %d events", len(got))
	}
	s.setMetadata(t, stream, `{"$maxCount":1}`)
	got := s.readStream(t, event.StreamRead{Stream: "$$" + stream})
	if len(got) != 1 || got[0].Revision != 1 {
		t.Errorf("the metadata stream shows %d events, not the last one only", len(got))
	}
}

func testHiddenByAge(t *testing.T, s suite) {
	stream := s.stream("age")
	s.mustAppend(t, stream, event.NoStream(), newEvents(3)...)
	s.setMetadata(t, stream, `{"$maxAge":1}`)
	deadline := time.Now().Add(patience)
	for len(s.readStream(t, event.StreamRead{Stream: stream})) > 0 { // never an error
		if time.Now().After(deadline) {
			t.Fatalf("events of more than a second are shown after %v", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.sees(t, "all too old", stream)
	s.setMetadata(t, stream, `{"$maxAge":3600}`)
	s.mustAppend(t, stream, event.Exact(2), newEvents(1)...)
	s.sees(t, "young enough", stream, 0, 1, 2, 3)
}

func testDeletedByMetadata(t *testing.T, s suite) {
	last := event.Revision(2)
	tests := []struct {
		name     string
		expected event.Expected
		want     error
	}{
		{"any", event.Any(), nil},
		{"no stream", event.NoStream(), nil},
		{"the last revision", event.Exact(last), nil},
		{"another revision", event.Exact(0), event.ErrWrongVersion},
		{"stream exists", event.StreamExists(), event.ErrStreamDeleted},
	}
	for i, test := range tests {
		stream := s.stream(fmt.Sprintf("deleted-%d", i))
		before := newEvents(3)
		s.mustAppend(t, stream, event.NoStream(), before...)
		s.setMetadata(t, stream, `{"$tb":9223372036854775807,"$maxCount":10,"mine":[1]}`)
		for _, d := range []event.Direction{event.Forwards, event.Backwards} {
			err := s.store.ReadStream(s.ctx, event.StreamRead{Stream: stream, Direction: d}, func(event.Recorded) error { return errors.New("shown") })
			wantErr(t, test.name+": read of a deleted stream", err, event.ErrStreamNotFound)
		}
		if a := s.mustAppend(t, stream, event.NoStream(), before...); a.Revision != last {
			t.Errorf("%s: repeated append: %+v", test.name, a)
		}
		a, err := s.store.Append(s.ctx, stream, test.expected, newEvents(2))
		if test.want != nil {
			wantErr(t, test.name, err, test.want)
			continue
		}
		if err != nil || a.Revision != last+2 {
			t.Errorf("%s: %+v, %v", test.name, a, err)
			continue
		}
		s.sees(t, test.name, stream, last+1, last+2)
		var members map[string]any
		got := s.readStream(t, event.StreamRead{Stream: "$$" + stream})
		if len(got) != 1 || json.Unmarshal(got[0].Data, &members) != nil {
			t.Errorf("%s: metadata are %d events", test.name, len(got))
			continue
		}
		if diff := cmp.Diff(map[string]any{"$tb": float64(last + 1), "$maxCount": 10.0, "mine": []any{1.0}}, members); diff != "" {
			t.Errorf("%s: metadata (-want +got):\n%s", test.name, diff)
		}
	}
}
