package esdbserver_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"recapito/adapters/eventlog"
)

func TestWrongExpectedVersionHasOldAndNewFields(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A", "B")
	o := optionsAny("s")
	o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 7}
	got, err := f.append(o, message("C", "application/json", nil))
	if err != nil {
		t.Fatal(err)
	}
	w := got.GetWrongExpectedVersion()
	if w.GetExpectedRevision() != 7 || w.GetExpectedRevision_20_6_0() != 7 || w.GetCurrentRevision() != 1 || w.GetCurrentRevision_20_6_0() != 1 {
		t.Errorf("got %v", got)
	}
	o = optionsAny("none")
	o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
	if got, err = f.append(o, message("C", "application/json", nil)); err != nil {
		t.Fatal(err)
	}
	w = got.GetWrongExpectedVersion()
	if w.GetExpectedStreamExists() == nil || w.GetStreamExists_20_6_0() == nil || w.GetCurrentNoStream() == nil || w.GetNoStream_20_6_0() == nil {
		t.Errorf("got %v", got)
	}
}

func TestAppendsThatAreRefused(t *testing.T) {
	f := newFixture(t)
	half := bytes.Repeat([]byte("x"), eventlog.MaxAppendBytes/2)
	beyond := optionsAny("s")
	beyond.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 1 << 63}
	untyped := message("", "application/json", nil)
	untyped.GetProposedMessage().Metadata = map[string]string{"content-type": "application/json"}
	nameless := message("A", "application/json", nil)
	nameless.GetProposedMessage().Id = nil
	tests := map[string]struct {
		messages  []*streams.AppendReq
		want      codes.Code
		exception string
	}{
		"nothing":       {nil, codes.InvalidArgument, ""},
		"no options":    {[]*streams.AppendReq{message("A", "application/json", nil)}, codes.InvalidArgument, ""},
		"options twice": {[]*streams.AppendReq{optionsAny("s"), optionsAny("s")}, codes.InvalidArgument, ""},
		"no expectation": {[]*streams.AppendReq{{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{StreamIdentifier: name("s")}}}},
			codes.InvalidArgument, ""},
		"revision beyond": {[]*streams.AppendReq{beyond, message("A", "application/json", nil)}, codes.InvalidArgument, ""},
		"no events":       {[]*streams.AppendReq{optionsAny("s")}, codes.InvalidArgument, ""},
		"no name":         {[]*streams.AppendReq{optionsAny(""), message("A", "application/json", nil)}, codes.InvalidArgument, ""},
		"no id":           {[]*streams.AppendReq{optionsAny("s"), nameless}, codes.InvalidArgument, ""},
		"no type":         {[]*streams.AppendReq{optionsAny("s"), untyped}, codes.InvalidArgument, "missing-required-metadata-property"},
		"too large": {[]*streams.AppendReq{optionsAny("s"), message("A", "application/json", half), message("A", "application/json", half), message("A", "application/json", half)},
			codes.InvalidArgument, "maximum-append-size-exceeded"},
	}
	for what, test := range tests {
		var trailers metadata.MD
		call, err := f.streams.Append(f.ctx, grpc.Trailer(&trailers))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range test.messages {
			if err := call.Send(m); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		_, err = call.CloseAndRecv()
		if status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
		exception := append(trailers.Get("exception"), "")[0]
		if exception != test.exception {
			t.Errorf("%s: exception %q, want %q", what, exception, test.exception)
		}
	}
	got, err := f.read(&options{StreamOption: ofStream("s", start), CountOption: count(many)})
	if err != nil || len(got) != 1 || got[0] != "not found" {
		t.Errorf("after refused appends the stream has %q, %v", got, err)
	}
}

// batchPart is one request of BatchAppend.
func batchPart(correlation uuid.UUID, stream string, final bool, events int, size int) *streams.BatchAppendReq {
	r := &streams.BatchAppendReq{CorrelationId: structured(correlation), IsFinal: final}
	if stream != "" {
		r.Options = &streams.BatchAppendReq_Options{
			StreamIdentifier: name(stream), ExpectedStreamPosition: &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}},
		}
	}
	for range events {
		r.ProposedMessages = append(r.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id: structured(uuid.New()), Metadata: meta("A", "application/json"), Data: bytes.Repeat([]byte("1"), size),
		})
	}
	return r
}

func TestBatchAppend(t *testing.T) {
	f := newFixture(t)
	f.fill("taken", "A", "A", "A")
	call, err := f.streams.BatchAppend(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	whole, parted, taken, large, late, old, bad := uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()
	tooLate := batchPart(late, "late", true, 1, 1)
	tooLate.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(-time.Second)}
	tooLateOld := batchPart(old, "late", true, 1, 1)
	tooLateOld.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Second))}
	inTime := batchPart(whole, "whole", true, 2, 1)
	inTime.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Hour)}
	for _, r := range []*streams.BatchAppendReq{
		batchPart(parted, "parted", false, 2, 1), inTime, batchPart(parted, "", false, 1, 1),
		batchPart(taken, "taken", true, 1, 1), batchPart(large, "large", true, 3, eventlog.MaxAppendBytes/2), tooLate, tooLateOld,
		batchPart(bad, "bad", true, 0, 0), batchPart(parted, "", true, 0, 0),
	} {
		if err := call.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := call.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got := map[string]*streams.BatchAppendResp{}
	for {
		r, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[r.GetCorrelationId().GetString_()] = r
	}
	if len(got) != 7 {
		t.Errorf("%d replies, want 7", len(got))
	}
	for id, revision := range map[uuid.UUID]uint64{whole: 1, parted: 2} {
		if r := got[id.String()]; r.GetSuccess() == nil || r.GetSuccess().GetCurrentRevision() != revision || r.GetSuccess().GetPosition().GetCommitPosition() == 0 {
			t.Errorf("got %v, want revision %d", r, revision)
		}
	}
	clash := &shared.WrongExpectedVersion{}
	details(t, got[taken.String()], codes.AlreadyExists, clash)
	if clash.GetCurrentStreamRevision() != 2 || clash.GetExpectedNoStream() == nil {
		t.Errorf("clash %v", clash)
	}
	limit := &shared.MaximumAppendSizeExceeded{}
	details(t, got[large.String()], codes.InvalidArgument, limit)
	if limit.GetMaxAppendSize() != eventlog.MaxAppendBytes {
		t.Errorf("limit %d", limit.GetMaxAppendSize())
	}
	details(t, got[late.String()], codes.DeadlineExceeded, &shared.Timeout{})
	details(t, got[old.String()], codes.DeadlineExceeded, &shared.Timeout{})
	details(t, got[bad.String()], codes.InvalidArgument, &shared.BadRequest{})
	for _, stream := range []string{"late", "large", "bad"} {
		if words, err := f.read(&options{StreamOption: ofStream(stream, start), CountOption: count(many)}); err != nil || words[0] != "not found" {
			t.Errorf("stream %s has %q, %v", stream, words, err)
		}
	}
}

func details(t *testing.T, r *streams.BatchAppendResp, code codes.Code, into proto.Message) {
	t.Helper()
	if codes.Code(r.GetError().GetCode()) != code || len(r.GetError().GetDetails()) != 1 {
		t.Errorf("got %v, want %v", r, code)
		return
	}
	if err := r.GetError().GetDetails()[0].UnmarshalTo(into); err != nil {
		t.Error(err)
	}
}

func TestBatchAppendAnswersManyWhileItGoesOn(t *testing.T) {
	f := newFixture(t)
	call, err := f.streams.BatchAppend(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	sent := make(chan error, 1)
	go func() {
		for range n {
			if err := call.Send(batchPart(uuid.New(), uuid.NewString(), true, 1, 100)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range n {
		r, err := call.Recv()
		if err != nil || r.GetSuccess() == nil {
			t.Fatalf("%v, %v", r, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if f.log.Last() != n {
		t.Errorf("%d events, want %d", f.log.Last(), n)
	}
}
