package esdbserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"recapito/domain/event"
)

// Delete hides a stream's events; the next append goes on where it ended.
func (s *streamsService) Delete(ctx context.Context, request *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := request.GetOptions()
	var expected event.Expected
	var err error
	switch v := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Any:
		expected = event.Any()
	case *streams.DeleteReq_Options_NoStream:
		expected = event.NoStream()
	case *streams.DeleteReq_Options_StreamExists:
		expected = event.StreamExists()
	case *streams.DeleteReq_Options_Revision:
		expected, err = exactly(v.Revision)
	default:
		err = refuse(codes.InvalidArgument, "no expected revision")
	}
	p, err := s.end(ctx, "Delete", string(o.GetStreamIdentifier().GetStreamName()), expected, err, s.log.Delete)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: p, PreparePosition: p},
	}}, nil
}

// Tombstone ends a stream for ever.
func (s *streamsService) Tombstone(ctx context.Context, request *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := request.GetOptions()
	var expected event.Expected
	var err error
	switch v := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Any:
		expected = event.Any()
	case *streams.TombstoneReq_Options_NoStream:
		expected = event.NoStream()
	case *streams.TombstoneReq_Options_StreamExists:
		expected = event.StreamExists()
	case *streams.TombstoneReq_Options_Revision:
		expected, err = exactly(v.Revision)
	default:
		err = refuse(codes.InvalidArgument, "no expected revision")
	}
	// EventStoreDB calls both of them so in its errors.
	p, err := s.end(ctx, "Delete", string(o.GetStreamIdentifier().GetStreamName()), expected, err, s.log.Tombstone)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: p, PreparePosition: p},
	}}, nil
}

func exactly(n uint64) (event.Expected, error) {
	r, err := revisionOf(n)
	return event.Exact(r), err
}

// end deletes or tombstones and returns the position, or the call's own error.
func (s *streamsService) end(ctx context.Context, operation, stream string, expected event.Expected, err error, how func(context.Context, string, event.Expected) (event.Appended, error)) (uint64, error) {
	var appended event.Appended
	if err == nil {
		err = s.mayDelete(ctx, stream)
	}
	if err == nil {
		appended, err = how(ctx, stream, expected)
	}
	var wrong *event.WrongVersion
	if errors.As(err, &wrong) {
		err = wrongVersionOf(operation, wrong)
	}
	if err != nil {
		return 0, repliedUnary(ctx, s.logger, err)
	}
	return uint64(appended.Position), nil
}

// Expectations as EventStoreDB numbers them.
const (
	numberNoStream     = -1
	numberAny          = -2
	numberStreamExists = -4
)

// wrongVersionOf is the reply to operations that have none for it in their protocol.
func wrongVersionOf(operation string, e *event.WrongVersion) *refusal {
	expected, actual := strconv.Itoa(numberAny), strconv.FormatUint(uint64(e.Actual), 10)
	exact, isExact := e.Expected.Exactly()
	switch {
	case isExact:
		expected = strconv.FormatUint(uint64(exact), 10)
	case e.Expected.IsNoStream():
		expected = strconv.Itoa(numberNoStream)
	case e.Expected.IsStreamExists():
		expected = strconv.Itoa(numberStreamExists)
	}
	if e.NoStream {
		actual = strconv.Itoa(numberNoStream)
	}
	message := fmt.Sprintf("%s failed due to WrongExpectedVersion. Stream: %s, Expected version: %s, Actual version: %s", operation, e.Stream, expected, actual)
	return refuse(codes.FailedPrecondition, message,
		trailerException, "wrong-expected-version", trailerStream, trailer(e.Stream), trailerExpected, expected, trailerActual, actual)
}
