package esdbserver_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/domain/event"
)

// limit appends to a stream's metadata.
func (f *fixture) limit(stream, metadata string) {
	f.t.Helper()
	e := event.New{ID: uuid.NewString(), Type: "$metadata", Data: []byte(metadata)}
	if _, err := f.log.Append(f.ctx, "$$"+stream, event.Any(), []event.New{e}); err != nil {
		f.t.Fatal(err)
	}
}

func deleteOf(stream string, change func(*streams.DeleteReq_Options)) *streams.DeleteReq {
	o := &streams.DeleteReq_Options{StreamIdentifier: name(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}}
	if change != nil {
		change(o)
	}
	return &streams.DeleteReq{Options: o}
}

func tombstoneOf(stream string) *streams.TombstoneReq {
	return &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: name(stream), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}},
	}}
}

// TestReadOfALimitedStream looks at what is told besides events to clients that
// understand it: where to read on, if nothing was where they began, and the end.
func TestReadOfALimitedStream(t *testing.T) {
	var now atomic.Int64
	f := newFixture(t, func(o *eventlog.Options, _ *esdbserver.Options) {
		o.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	})
	for _, stream := range []string{"count", "before", "age", "beyond"} {
		f.fill(stream, slices.Repeat([]string{"A"}, 40)...)
	}
	f.limit("count", `{"$maxCount":1}`)
	f.limit("before", `{"$tb":39}`)
	f.limit("age", `{"$maxAge":10}`)
	f.limit("beyond", `{"$tb":50}`)
	now.Store(3600)
	newer := &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	tests := []struct {
		stream string
		from   uint64
		count  uint64
		back   bool
		want   []string
	}{
		{"count", 0, many, false, []string{"first 39", "count@39:A", "last 39"}},
		{"count", 7, many, false, []string{"first 39", "count@39:A", "last 39"}},
		{"count", 8, many, false, []string{"count@39:A", "last 39"}},
		{"count", 38, 1, false, []string{"first 39", "count@39:A", "last 39"}},
		{"count", 39, 1, false, []string{"count@39:A", "last 39"}},
		{"count", 40, 1, false, []string{"last 39"}},
		{"count", 38, 1, true, []string{"last 39"}},
		{"count", 99, many, true, []string{"count@39:A", "last 39"}},
		{"before", 0, many, false, []string{"first 39", "before@39:A", "last 39"}},
		{"age", 0, many, false, []string{"first 40", "last 39"}},
		{"age", 40, many, false, []string{"last 39"}},
		{"age", 39, many, true, []string{"last 39"}},
		{"beyond", 0, many, false, []string{"first 40", "last 39"}},
	}
	for _, test := range tests {
		o := &options{StreamOption: ofStream(test.stream, from(test.from)), CountOption: count(test.count), ControlOption: newer}
		if test.back {
			o.ReadDirection = backwards
		}
		got, err := f.read(o)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test, diff)
		}
	}
	// Links lead to nothing that is hidden.
	for _, target := range []string{"38@count", "39@count"} {
		if _, err := f.append(optionsAny("links"), message("$>", "application/json", []byte(target))); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.read(&options{StreamOption: ofStream("links", start), CountOption: count(many), ResolveLinks: true})
	if diff := cmp.Diff([]string{"link to nothing", "count@39:A by links@1"}, got); err != nil || diff != "" {
		t.Errorf("links: %v (-want +got):\n%s", err, diff)
	}
	// A subscription skips what is hidden.
	call, err := f.streams.Read(f.ctx, &streams.ReadReq{Options: &options{
		StreamOption: ofStream("count", start), CountOption: &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"confirmed", "count@39:A", "caught up"}, take(t, call, 3)); diff != "" {
		t.Errorf("subscription (-want +got):\n%s", diff)
	}
	f.fill("count", "B")
	if diff := cmp.Diff([]string{"count@40:B"}, take(t, call, 1)); diff != "" {
		t.Errorf("subscription (-want +got):\n%s", diff)
	}
}

func TestDelete(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A", "B")
	expect := map[string]struct {
		stream           string
		change           func(*streams.DeleteReq_Options)
		expected, actual string
	}{
		"another revision": {"s", func(o *streams.DeleteReq_Options) {
			o.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: 7}
		}, "7", "1"},
		"no stream": {"s", func(o *streams.DeleteReq_Options) {
			o.ExpectedStreamRevision = &streams.DeleteReq_Options_NoStream{NoStream: &shared.Empty{}}
		}, "-1", "1"},
		"exists, of none": {"none", func(o *streams.DeleteReq_Options) {
			o.ExpectedStreamRevision = &streams.DeleteReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		}, "-4", "-1"},
		"any, of none": {"none", nil, "-2", "-1"},
	}
	for what, test := range expect {
		var trailers metadata.MD
		_, err := f.streams.Delete(f.ctx, deleteOf(test.stream, test.change), grpc.Trailer(&trailers))
		got := []string{status.Code(err).String()}
		for _, key := range []string{"exception", "stream-name", "expected-version", "actual-version"} {
			got = append(got, trailers.Get(key)...)
		}
		if diff := cmp.Diff([]string{"FailedPrecondition", "wrong-expected-version", test.stream, test.expected, test.actual}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	for what, change := range map[string]func(*streams.DeleteReq_Options){
		"no expectation": func(o *streams.DeleteReq_Options) { o.ExpectedStreamRevision = nil },
		"revision beyond": func(o *streams.DeleteReq_Options) {
			o.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: 1 << 63}
		},
		"no name": func(o *streams.DeleteReq_Options) { o.StreamIdentifier = nil },
	} {
		if _, err := f.streams.Delete(f.ctx, deleteOf("s", change)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := f.streams.Delete(f.ctx, deleteOf("s", func(o *streams.DeleteReq_Options) {
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: 1}
	}))
	if p := got.GetPosition(); err != nil || p.GetCommitPosition() != uint64(f.log.Last()) || p.GetPreparePosition() != p.GetCommitPosition() {
		t.Fatalf("%v, %v, the last position is %d", got, err, f.log.Last())
	}
	read, err := f.read(&options{StreamOption: ofStream("s", start), CountOption: count(many)})
	if diff := cmp.Diff([]string{"not found"}, read); err != nil || diff != "" {
		t.Errorf("a deleted stream: %v (-want +got):\n%s", err, diff)
	}
	f.fill("s", "C")
	newer := &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	read, err = f.read(&options{StreamOption: ofStream("s", start), CountOption: count(1), ControlOption: newer})
	if diff := cmp.Diff([]string{"first 2", "s@2:C", "last 2"}, read); err != nil || diff != "" {
		t.Errorf("a stream that came back: %v (-want +got):\n%s", err, diff)
	}
}

func TestTombstone(t *testing.T) {
	f := newFixture(t)
	f.fill("s ü", "A")
	f.fill("links", "X")
	subscription, err := f.streams.Read(f.ctx, &streams.ReadReq{Options: &options{
		StreamOption: ofStream("s ü", start), CountOption: &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	take(t, subscription, 3)
	got, err := f.streams.Tombstone(f.ctx, tombstoneOf("s ü"))
	if err != nil || got.GetPosition().GetCommitPosition() != uint64(f.log.Last()) {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := subscription.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("subscription: %v", err)
	}
	calls := map[string]func(...grpc.CallOption) error{
		"read": func(o ...grpc.CallOption) error {
			call, err := f.streams.Read(f.ctx, &streams.ReadReq{Options: &options{StreamOption: ofStream("s ü", start), CountOption: count(1)}}, o...)
			if err == nil {
				_, err = call.Recv()
			}
			return err
		},
		"append": func(o ...grpc.CallOption) error {
			call, err := f.streams.Append(f.ctx, o...)
			if err == nil {
				_ = call.Send(optionsAny("s ü"))
				_ = call.Send(message("A", "application/json", nil))
				_, err = call.CloseAndRecv()
			}
			return err
		},
		"delete": func(o ...grpc.CallOption) error {
			_, err := f.streams.Delete(f.ctx, deleteOf("s ü", nil), o...)
			return err
		},
		"tombstone": func(o ...grpc.CallOption) error {
			_, err := f.streams.Tombstone(f.ctx, tombstoneOf("s ü"), o...)
			return err
		},
	}
	for what, call := range calls {
		var trailers metadata.MD
		err := call(grpc.Trailer(&trailers))
		got := append([]string{status.Code(err).String()}, trailers.Get("exception")...)
		got = append(got, trailers.Get("stream-name")...)
		if diff := cmp.Diff([]string{"FailedPrecondition", "stream-deleted", "s%20%C3%BC"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	// Each of several in one call has its own reply.
	batch, err := f.streams.BatchAppend(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(batchPart(uuid.New(), "s ü", true, 1, 1)); err != nil {
		t.Fatal(err)
	}
	reply, err := batch.Recv()
	if err != nil {
		t.Fatal(err)
	}
	details := &shared.StreamDeleted{}
	if e := reply.GetError(); e.GetMessage() != "StreamDeleted" || codes.Code(e.GetCode()) != codes.NotFound || e.GetDetails()[0].UnmarshalTo(details) != nil || string(details.GetStreamIdentifier().GetStreamName()) != "s ü" {
		t.Errorf("batch: %v", reply)
	}
	if _, err := f.append(optionsAny("links"), message("$>", "application/json", []byte("0@s ü"))); err != nil {
		t.Fatal(err)
	}
	read, err := f.read(&options{StreamOption: ofStream("links", from(1)), CountOption: count(many), ResolveLinks: true})
	if diff := cmp.Diff([]string{"link to nothing"}, read); err != nil || diff != "" {
		t.Errorf("link to a tombstoned stream: %v (-want +got):\n%s", err, diff)
	}
}
