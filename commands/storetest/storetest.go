// Package storetest is the acceptance suite of commands.Store: what every
// implementation promises, in process or as the client of a server.
//
// It needs no empty store, no consecutive positions and no store of its own: each test
// uses streams with names of its own, and reads $all with a filter on them or from the
// position of its own events. Others may append meanwhile.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands"
	"recapito/domain/event"
)

// patience is how long anything may take before a test gives up.
const patience = 30 * time.Second

// Run runs the suite. open returns a store ready for use and closes it with t.Cleanup;
// it is called once for each test, on the same data or on other data.
func Run(t *testing.T, open func(t *testing.T) commands.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s suite)
	}{
		{"AppendAndReadBack", testAppendAndReadBack},
		{"EmptyDataStaysEmpty", testEmptyData},
		{"Expectations", testExpectations},
		{"WrongVersionDetails", testWrongVersionDetails},
		{"RepeatedAppend", testRepeatedAppend},
		{"RepeatedInPartOrAltered", testRepeatedInPart},
		{"RepeatedWhileInFlight", testRepeatedInFlight},
		{"InvalidAppend", testInvalidAppend},
		{"TooLargeAppend", testTooLarge},
		{"EndedContext", testEndedContext},
		{"ManyInFlight", testManyInFlight},
		{"OneWinsEachRevision", testOneWins},
		{"StreamNotFound", testStreamNotFound},
		{"ReadStreamFromAnywhere", testReadStream},
		{"ReadAllOrder", testReadAllOrder},
		{"ReadAllFromAnywhere", testReadAllFromAnywhere},
		{"ReadAllFilters", testReadAllFilters},
		{"VisitorError", testVisitorError},
		{"HiddenByNumber", testHiddenByNumber},
		{"HiddenBeforeItIs", testHiddenBeforeItIs},
		{"HiddenByAge", testHiddenByAge},
		{"DeletedByMetadata", testDeletedByMetadata},
		{"SubscribeCatchUpThenLive", testSubscribeCatchUpThenLive},
		{"SubscribeAfterPosition", testSubscribeAfter},
		{"SubscribeFilters", testSubscribeFilters},
		{"SubscribeHandlerErrors", testSubscribeHandlerErrors},
		{"SubscribeEndsWithContext", testSubscribeEnds},
		{"SubscribeSlowReader", testSubscribeSlow},
		{"SubscribeCheckpoints", testSubscribeCheckpoints},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			t.Cleanup(cancel)
			test.run(t, suite{ctx: ctx, store: open(t), prefix: "storetest_" + randomHex(8) + "-"})
		})
	}
}

// suite is what a test works with: the store and a stream prefix no one else uses.
type suite struct {
	ctx    context.Context
	store  commands.Store
	prefix string
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func (s suite) stream(name string) string { return s.prefix + name }

func (s suite) filter(types ...string) event.Filter {
	return event.Filter{StreamPrefixes: []string{s.prefix}, Types: types}
}

// newID makes a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func newEvent(typ string) event.New {
	id := newID()
	return event.New{ID: id, Type: typ, Data: []byte(`{"of":"` + id + `"}`), Metadata: []byte(`{"tenant":"storetest","n":1}`)}
}

func newEvents(n int) []event.New {
	events := make([]event.New, n)
	for i := range events {
		events[i] = newEvent("Tested")
	}
	return events
}

func (s suite) mustAppend(t *testing.T, stream string, expected event.Expected, events ...event.New) event.Appended {
	t.Helper()
	appended, err := s.store.Append(s.ctx, stream, expected, events)
	if err != nil {
		t.Fatalf("append %d events expecting %v: %v", len(events), expected, err)
	}
	return appended
}

// fill appends n events to a stream one by one and returns them as recorded.
func (s suite) fill(t *testing.T, stream string, n int) []event.Recorded {
	t.Helper()
	expected := event.NoStream()
	for range n {
		expected = event.Exact(s.mustAppend(t, stream, expected, newEvent("Tested")).Revision)
	}
	return s.readStream(t, event.StreamRead{Stream: stream})
}

func (s suite) readStream(t *testing.T, read event.StreamRead) []event.Recorded {
	t.Helper()
	var got []event.Recorded
	if err := s.store.ReadStream(s.ctx, read, collect(&got)); err != nil {
		t.Fatalf("read stream %+v: %v", read, err)
	}
	return got
}

func (s suite) readAll(t *testing.T, read event.AllRead) []event.Recorded {
	t.Helper()
	var got []event.Recorded
	if err := s.store.ReadAll(s.ctx, read, collect(&got)); err != nil {
		t.Fatalf("read $all %+v: %v", read, err)
	}
	return got
}

func collect(into *[]event.Recorded) func(event.Recorded) error {
	return func(e event.Recorded) error {
		*into = append(*into, e)
		return nil
	}
}

// sameEvents compares what was appended with what a stream gave back from a revision on.
func sameEvents(t *testing.T, stream string, from event.Revision, want []event.New, got []event.Recorded) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i, e := range got {
		if e.Stream != stream || e.Revision != from+event.Revision(i) || e.ID != want[i].ID || e.Type != want[i].Type {
			t.Errorf("event %d is %s@%d id %s type %s, want %s@%d id %s type %s",
				i, e.Stream, e.Revision, e.ID, e.Type, stream, from+event.Revision(i), want[i].ID, want[i].Type)
		}
		if !bytes.Equal(e.Data, want[i].Data) || !bytes.Equal(e.Metadata, want[i].Metadata) {
			t.Errorf("event %d has data %q, metadata %q, want %q, %q", i, e.Data, e.Metadata, want[i].Data, want[i].Metadata)
		}
		if i > 0 && e.Position <= got[i-1].Position {
			t.Errorf("event %d has position %d after %d", i, e.Position, got[i-1].Position)
		}
	}
}

func sameRecorded(t *testing.T, what string, want, got []event.Recorded) {
	t.Helper()
	if diff := cmp.Diff(ids(want), ids(got)); diff != "" {
		t.Errorf("%s: ids (-want +got):\n%s", what, diff)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func ids(events []event.Recorded) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.ID
	}
	return list
}

func reversed(events []event.Recorded) []event.Recorded {
	list := make([]event.Recorded, len(events))
	for i, e := range events {
		list[len(events)-1-i] = e
	}
	return list
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
