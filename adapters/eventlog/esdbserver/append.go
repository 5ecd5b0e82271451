package esdbserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

type streamsService struct {
	streams.UnimplementedStreamsServer
	log      *eventlog.Log
	logger   *slog.Logger
	now      func() time.Time
	stopping context.Context // ends when the server closes
	users    authenticator
	policy   Policy
}

// Append takes one append: its options, then its events, then its end.
func (s *streamsService) Append(call streams.Streams_AppendServer) error {
	reply, err := s.append(call)
	if err != nil {
		drain(call)
		return replied(call, s.logger, err)
	}
	return call.SendAndClose(reply)
}

func (s *streamsService) append(call streams.Streams_AppendServer) (*streams.AppendResp, error) {
	first, err := call.Recv()
	if err != nil {
		return nil, receiveError(err)
	}
	options := first.GetOptions()
	if options == nil {
		return nil, refuse(codes.InvalidArgument, "an append begins with its options")
	}
	expected, err := expectedOf(options)
	if err != nil {
		return nil, err
	}
	var events []event.New
	size := 0
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, receiveError(err)
		}
		p := message.GetProposedMessage()
		if p == nil {
			return nil, refuse(codes.InvalidArgument, "options stand once, at the beginning")
		}
		e, err := newEvent(p)
		if err != nil {
			return nil, err
		}
		// What is too large is not gathered.
		if size += sizeOf(e); size > eventlog.MaxAppendBytes || len(events) == eventlog.MaxAppendCount {
			return nil, tooLarge()
		}
		events = append(events, e)
	}
	stream := string(options.GetStreamIdentifier().GetStreamName())
	if err := s.mayWrite(call.Context(), stream); err != nil {
		return nil, err
	}
	appended, err := s.log.Append(call.Context(), stream, expected, events)
	var wrong *event.WrongVersion
	if errors.As(err, &wrong) {
		return wrongVersion(wrong), nil
	}
	if err != nil {
		return nil, err
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(appended.Revision)},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: uint64(appended.Position), PreparePosition: uint64(appended.Position),
		}},
	}}}, nil
}

// receiveError is of a call that ended before its append was complete.
func receiveError(err error) error {
	if errors.Is(err, io.EOF) {
		return refuse(codes.InvalidArgument, "an append begins with its options")
	}
	return err
}

// Limits of what is still taken of an append that was refused.
const (
	drainMessages = eventlog.MaxAppendCount
	drainTimeout  = time.Second
)

// drain takes what the caller is still sending: a client that finds its call ended while
// it sends may not look for the reason.
func drain(call grpc.ServerStream) {
	done := make(chan struct{})
	go func() { // ends with the call
		defer close(done)
		for range drainMessages {
			if call.RecvMsg(&emptypb.Empty{}) != nil {
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(drainTimeout):
	}
}

// revisionOf refuses what no stream can have.
func revisionOf(n uint64) (event.Revision, error) {
	if event.Revision(n) >= event.RevisionEnd {
		return 0, refuse(codes.InvalidArgument, "a revision is below 2^63 - 1")
	}
	return event.Revision(n), nil
}

func expectedOf(o *streams.AppendReq_Options) (event.Expected, error) {
	switch v := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Any:
		return event.Any(), nil
	case *streams.AppendReq_Options_NoStream:
		return event.NoStream(), nil
	case *streams.AppendReq_Options_StreamExists:
		return event.StreamExists(), nil
	case *streams.AppendReq_Options_Revision:
		r, err := revisionOf(v.Revision)
		return event.Exact(r), err
	}
	return event.Expected{}, refuse(codes.InvalidArgument, "no expected revision")
}

// wrongVersion fills the fields of today and in those that clients from before
// 20.6.1 read.
func wrongVersion(e *event.WrongVersion) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if e.NoStream {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(e.Actual)}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(e.Actual)}
	}
	exact, isExact := e.Expected.Exactly()
	switch {
	case isExact:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(exact)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(exact)}
	case e.Expected.IsNoStream():
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	case e.Expected.IsStreamExists():
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}
