package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// points writes what the links of a stream point to.
func points(t *testing.T, log *Log, read event.StreamRead) []string {
	t.Helper()
	var got []string
	err := log.ReadStream(t.Context(), read, func(e event.Recorded) error {
		got = append(got, fmt.Sprintf("%d:%s", e.Revision, e.Data))
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		t.Fatal(err)
	}
	return got
}

func ofType(typ string) event.New { return event.New{ID: uuid.NewString(), Type: typ} }

func TestLinksOfCategoriesAndTypes(t *testing.T) {
	fs := vfs.NewMem()
	log := openOn(t, fs)
	for _, e := range []struct{ stream, typ string }{
		{"order-1", "Placed"}, {"order-2", "Placed"}, {"user-a-b", "Named"}, {"order-1", "Paid"},
		{"nodash", "Placed"}, {"-none", "Placed"}, {"$mark-1", "Marked"}, {"order-2", layout.LinkType},
	} {
		mustAppend(t, log, e.stream, event.Any(), ofType(e.typ))
	}
	for _, tt := range []struct {
		read event.StreamRead
		want []string
	}{
		{event.StreamRead{Stream: "$ce-order"}, []string{"0:0@order-1", "1:0@order-2", "2:1@order-1"}},
		{event.StreamRead{Stream: "$ce-order", From: 1, Limit: 1}, []string{"1:0@order-2"}},
		{event.StreamRead{Stream: "$ce-order", From: 7}, nil},
		{event.StreamRead{Stream: "$ce-order", From: event.RevisionEnd, Direction: event.Backwards}, []string{"2:1@order-1", "1:0@order-2", "0:0@order-1"}},
		{event.StreamRead{Stream: "$ce-order", From: 1, Direction: event.Backwards, Limit: 5}, []string{"1:0@order-2", "0:0@order-1"}},
		{event.StreamRead{Stream: "$ce-user"}, []string{"0:0@user-a-b"}},
		{event.StreamRead{Stream: "$et-Placed"}, []string{"0:0@order-1", "1:0@order-2", "2:0@nodash", "3:0@-none"}},
		{event.StreamRead{Stream: "$et-Marked"}, []string{"0:0@$mark-1"}},
		{event.StreamRead{Stream: "$et-" + layout.LinkType}, nil},
		{event.StreamRead{Stream: "$ce-"}, nil},
		{event.StreamRead{Stream: "$ce-$mark"}, nil},
	} {
		if diff := cmp.Diff(tt.want, points(t, log, tt.read)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.read, diff)
		}
	}
	if err := log.ReadStream(t.Context(), event.StreamRead{Stream: "$ce-absent"}, nil); !errors.Is(err, event.ErrStreamNotFound) {
		t.Errorf("a category without events: %v", err)
	}
	if _, err := log.Append(t.Context(), "$ce-order", event.Any(), []event.New{ofType("X")}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("append to a stream of links: %v", err)
	}

	before := streamOf(t, log, "$ce-order", event.Forwards)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = openOn(t, fs)
	mustAppend(t, log, "order-3", event.Any(), ofType("Placed"))
	after := streamOf(t, log, "$ce-order", event.Forwards)
	if diff := cmp.Diff(before, after[:len(before)]); diff != "" || len(after) != len(before)+1 {
		t.Errorf("links changed with a new start (-before +after):\n%s", diff)
	}
}

// Many readers bring the index up to date at once, over several batches of it.
func TestLinksReadByManyAtOnce(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	const events = 3*indexedRecords + 17
	var batch []event.New
	for range events {
		if batch = append(batch, ofType("T")); len(batch) == 1000 {
			mustAppend(t, log, "many-1", event.Any(), batch...)
			batch = nil
		}
	}
	mustAppend(t, log, "many-1", event.Any(), batch...)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			n := event.Revision(0)
			err := log.ReadStream(t.Context(), event.StreamRead{Stream: "$ce-many"}, func(e event.Recorded) error {
				if want := fmt.Sprintf("%d@many-1", n); e.Revision != n || string(e.Data) != want {
					return fmt.Errorf("link %d is %d to %s", n, e.Revision, e.Data)
				}
				n++
				return nil
			})
			if err != nil || n != events {
				t.Errorf("%d links, %v", n, err)
			}
		})
	}
	readers.Wait()
}

func TestLinksAreFollowed(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, live := make(chan string), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- log.FollowStream(ctx, "$ce-order", 0, Follower{
			Event:    func(e event.Recorded) error { got <- string(e.Data); return nil },
			CaughtUp: func(event.Position) error { close(live); return nil },
		})
	}()
	<-live
	for n := range 3 {
		mustAppend(t, log, "order-1", event.Any(), ofType("Placed"))
		if link, want := <-got, fmt.Sprintf("%d@order-1", n); link != want {
			t.Errorf("link to %s, want %s", link, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCorruptLink(t *testing.T) {
	log := openOn(t, vfs.NewMem())
	mustAppend(t, log, "order-1", event.Any(), ofType("Placed"), ofType("Paid"))
	points(t, log, event.StreamRead{Stream: "$ce-order"})
	restore := overwrite(t, log, layout.AppendLinkKey(nil, "$ce-order", 1), func(v []byte) []byte { v[3] ^= 1; return v })
	err := log.ReadStream(t.Context(), event.StreamRead{Stream: "$ce-order"}, func(event.Recorded) error { return nil })
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged link: %v", err)
	}
	restore()
	if got := points(t, log, event.StreamRead{Stream: "$ce-order"}); len(got) != 2 {
		t.Errorf("%q", got)
	}
}
