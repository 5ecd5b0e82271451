package esdbserver

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// Trailers by which clients distinguish errors.
const (
	trailerException = "exception"
	trailerGroup     = "group-name"
	trailerReason    = "reason"
	trailerStream    = "stream-name"
	trailerMaxAppend = "maximum-append-size"
	trailerRequired  = "required-metadata-properties"
	trailerExpected  = "expected-version"
	trailerActual    = "actual-version"
)

// refusal is an error with its reply in the protocol.
type refusal struct {
	status   *status.Status
	trailers metadata.MD
}

func (r *refusal) Error() string { return r.status.Message() }

func refuse(code codes.Code, message string, trailers ...string) *refusal {
	return &refusal{status: status.New(code, message), trailers: metadata.Pairs(trailers...)}
}

func missingMetadata(name string) error {
	return refuse(codes.InvalidArgument, "Required Metadata Property '"+name+"' is missing",
		trailerException, "missing-required-metadata-property", trailerRequired, metaType+","+metaContentType)
}

func tooLarge() *refusal {
	limit := strconv.Itoa(eventlog.MaxAppendBytes)
	return refuse(codes.InvalidArgument, "Maximum Append Size of "+limit+" Exceeded.",
		trailerException, "maximum-append-size-exceeded", trailerMaxAppend, limit)
}

func streamDeleted(stream string) *refusal {
	return refuse(codes.FailedPrecondition, "Event stream '"+stream+"' is deleted.",
		trailerException, "stream-deleted", trailerStream, trailer(stream))
}

// trailer writes a name so that it can be sent: a trailer takes printable ASCII only.
func trailer(name string) string {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return url.PathEscape(name)
		}
	}
	return name
}

// replied turns an error into the call's reply and its trailers.
func replied(s grpc.ServerStream, logger *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	r := logged(logger, err)
	s.SetTrailer(r.trailers)
	return r.status.Err()
}

// readOnly begins the message to an append while the log takes none. The code is not
// Unavailable, at which clients leave a connection that is well.
const readOnly = "Server Is Read-Only: "

// repliedUnary does the same for a call of one request and one reply.
func repliedUnary(ctx context.Context, logger *slog.Logger, err error) error {
	r := logged(logger, err)
	_ = grpc.SetTrailer(ctx, r.trailers) // fails only outside of a call
	return r.status.Err()
}

// logged is the reply to an error, which is logged if it is the server's own.
func logged(logger *slog.Logger, err error) *refusal {
	r := refusalOf(err)
	if !errors.As(err, new(*refusal)) && (r.status.Code() == codes.DataLoss || r.status.Code() == codes.Internal) {
		logger.Error("event store: a call failed", "error", err)
	}
	return r
}

func refusalOf(err error) *refusal {
	var r *refusal
	var taken *event.Refusal
	var deleted *event.StreamDeleted
	var already interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &already): // of the transport itself
		return &refusal{status: already.GRPCStatus()}
	case errors.As(err, &deleted):
		return streamDeleted(deleted.Stream)
	case errors.Is(err, event.ErrTooLarge):
		return tooLarge()
	case errors.Is(err, event.ErrInvalid):
		return refuse(codes.InvalidArgument, err.Error())
	case errors.Is(err, event.ErrUnknownOutcome):
		return refuse(codes.Aborted, "Operation timed out")
	case errors.As(err, &taken):
		return refuse(codes.FailedPrecondition, readOnly+taken.Reason)
	case errors.Is(err, event.ErrUnavailable):
		return refuse(codes.Unavailable, "Server Is Not Ready")
	case errors.Is(err, eventlog.ErrCorrupt):
		return refuse(codes.DataLoss, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(codes.DeadlineExceeded, "deadline exceeded")
	case errors.Is(err, context.Canceled):
		return refuse(codes.Canceled, "canceled")
	}
	return refuse(codes.Internal, err.Error())
}
