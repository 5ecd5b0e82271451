package eventstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"recapito/commands/retry"
	"recapito/domain/event"
)

// Limits of an append: those of adapters/eventlog, of which maxAppendBytes is
// EventStoreDB's default.
const (
	maxAppendBytes = 1 << 20 // data, metadata and type of all events
	maxAppendCount = 4096
	maxStreamBytes = 1024 // without the $$ of a metadata stream
	maxTypeBytes   = 512
)

// Append implements commands.Store.
func (s *Store) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	data, err := checked(stream, events)
	if err != nil {
		return event.Appended{}, err
	}
	revision, err := revisionOf(expected)
	if err != nil {
		return event.Appended{}, err
	}
	_, exact := expected.Exactly()
	repeatable := exact || expected.IsNoStream()
	var appended event.Appended
	err = retry.Policy{First: firstBackOff, Tries: appendTries}.Do(ctx, nil, func(ctx context.Context) (err error) {
		appended, err = s.appendOnce(ctx, stream, expected, revision, data)
		var refusal *event.Refusal
		refused := errors.As(err, &refusal)
		if refused {
			s.refused.Store(true)
		}
		again := errors.Is(err, event.ErrUnavailable) || repeatable && errors.Is(err, event.ErrUnknownOutcome)
		if refused || !again || s.ctx.Err() != nil {
			return retry.Permanent(err)
		}
		return err
	})
	return appended, err
}

func (s *Store) appendOnce(ctx context.Context, stream string, expected event.Expected, revision esdb.ExpectedRevision, data []esdb.EventData) (event.Appended, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	results := make(chan *esdb.WriteResult, 1)
	timeout := appendTimeout
	done, err := s.begin(ctx, func(ctx context.Context, c *esdb.Client) error {
		result, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision, Deadline: &timeout}, data...)
		if err == nil {
			results <- result
		}
		return err
	})
	if err != nil {
		return event.Appended{}, err // nothing was sent
	}
	if err := s.ended(ctx, done); err != nil {
		return event.Appended{}, appendError(stream, expected, err)
	}
	result := <-results
	return event.Appended{Revision: event.Revision(result.NextExpectedVersion), Position: event.Position(result.CommitPosition)}, nil
}

// readOnly begins the embedded store's message while it takes no appends.
const readOnly = "Server Is Read-Only: "

// writable asks a server that refused an append whether it still does, by one that no
// server can carry out.
func (s *Store) writable(ctx context.Context) error {
	probe := []event.New{{ID: uuid.NewString(), Type: "probe", Data: []byte("{}")}}
	_, err := s.Append(ctx, "recapito-probe", event.Exact(never), probe)
	if errors.Is(err, event.ErrWrongVersion) {
		s.refused.Store(false)
		return nil
	}
	return err
}

// never is a revision that no stream reaches.
const never = 1 << 62

// appendError classifies what became of an append. What is not known to have been refused
// may have been written.
func appendError(stream string, expected event.Expected, err error) error {
	var e *esdb.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%w: %w", event.ErrUnknownOutcome, err)
	}
	switch e.Code() {
	case esdb.ErrorCodeWrongExpectedVersion:
		return wrongVersion(stream, expected, e)
	case esdb.ErrorCodeStreamDeleted:
		return &event.StreamDeleted{Stream: stream}
	case esdb.ErrorCodeNotLeader, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated, esdb.ErrorCodeUnsupportedFeature:
		return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
	}
	switch s := status.Convert(unwrapped(err)); s.Code() {
	case codes.FailedPrecondition:
		if reason, ok := strings.CutPrefix(s.Message(), readOnly); ok {
			return &event.Refusal{Reason: reason}
		}
		return &event.Refusal{Reason: "it takes no appends", Cause: err}
	case codes.InvalidArgument:
		if strings.HasPrefix(s.Message(), "Maximum Append Size") {
			return fmt.Errorf("%w: %w", event.ErrTooLarge, err)
		}
		return fmt.Errorf("%w: %w", event.ErrInvalid, err)
	case codes.ResourceExhausted: // one message was over the server's limit
		return fmt.Errorf("%w: %w", event.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", event.ErrUnknownOutcome, err)
}

// actual finds the stream's revision in the official client's message, the only place that has it.
var actual = regexp.MustCompile(`but got '(no_stream|\d+)'`)

func wrongVersion(stream string, expected event.Expected, e *esdb.Error) error {
	found := actual.FindStringSubmatch(e.Error())
	if found == nil {
		return fmt.Errorf("%w: %w", event.ErrWrongVersion, e)
	}
	wrong := &event.WrongVersion{Stream: stream, Expected: expected, NoStream: found[1] == "no_stream"}
	if !wrong.NoStream {
		n, err := strconv.ParseUint(found[1], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %w", event.ErrWrongVersion, e)
		}
		wrong.Actual = event.Revision(n)
	}
	return wrong
}

func revisionOf(expected event.Expected) (esdb.ExpectedRevision, error) {
	exact, isExact := expected.Exactly()
	switch {
	case isExact && exact >= event.RevisionEnd:
		return nil, fmt.Errorf("%w: expected revision %d", event.ErrInvalid, exact)
	case isExact:
		return esdb.Revision(uint64(exact)), nil
	case expected.IsNoStream():
		return esdb.NoStream{}, nil
	case expected.IsStreamExists():
		return esdb.StreamExists{}, nil
	}
	return esdb.Any{}, nil
}

func checkStream(stream string) error {
	if stream == "" || stream == "$$" || len(strings.TrimPrefix(stream, "$$")) > maxStreamBytes || strings.IndexByte(stream, 0) >= 0 || !utf8.ValidString(stream) {
		return fmt.Errorf("%w: a stream's name is UTF-8 without NUL, of 1 to %d bytes", event.ErrInvalid, maxStreamBytes)
	}
	return nil
}

// checked refuses here what the embedded store would refuse, and prepares the rest: the
// official client would make up ids that are missing.
func checked(stream string, events []event.New) ([]esdb.EventData, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: no events", event.ErrInvalid)
	}
	if len(events) > maxAppendCount {
		return nil, fmt.Errorf("%w: %d events, at most %d", event.ErrTooLarge, len(events), maxAppendCount)
	}
	data := make([]esdb.EventData, len(events))
	size := 0
	for i, e := range events {
		id, err := uuid.Parse(e.ID)
		if err != nil || id == uuid.Nil || len(e.ID) != len(id.String()) {
			return nil, fmt.Errorf("%w: event %d: id is not a UUID in canonical form", event.ErrInvalid, i)
		}
		if e.Type == "" || len(e.Type) > maxTypeBytes || !utf8.ValidString(e.Type) {
			return nil, fmt.Errorf("%w: event %d: type must be UTF-8 of 1 to %d bytes", event.ErrInvalid, i, maxTypeBytes)
		}
		if size += len(e.Data) + len(e.Metadata) + len(e.Type); size > maxAppendBytes {
			return nil, fmt.Errorf("%w: more than %d bytes", event.ErrTooLarge, maxAppendBytes)
		}
		data[i] = esdb.EventData{EventID: id, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Metadata}
		if e.Binary {
			data[i].ContentType = esdb.ContentTypeBinary
		}
	}
	return data, nil
}
