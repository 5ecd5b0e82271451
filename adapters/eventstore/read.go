package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"recapito/domain/event"
)

// readAhead is how many events are taken from the transport before they are visited.
const readAhead = 64

// received runs a call that emits items, and handles them here, in the caller's
// goroutine. It returns handle's error, or the call's own once all items before it are
// handled.
func received[T any](ctx context.Context, s *Store, call func(ctx context.Context, c *esdb.Client, emit func(T) error) error, handle func(T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	items := make(chan T, readAhead)
	done, err := s.begin(ctx, func(ctx context.Context, c *esdb.Client) error {
		return call(ctx, c, func(item T) error {
			select {
			case items <- item:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	if err != nil {
		return err
	}
	for {
		select {
		case item := <-items:
			if err := handle(item); err != nil {
				return err
			}
			continue
		case <-ctx.Done():
			return s.ended(ctx, done)
		case err = <-done:
		}
		for ctx.Err() == nil {
			select {
			case item := <-items:
				if err := handle(item); err != nil {
					return err
				}
				continue
			default:
			}
			break
		}
		return err
	}
}

// ReadStream implements commands.Store.
func (s *Store) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if err := checkStream(read.Stream); err != nil {
		return err
	}
	if read.Limit < 0 || read.From > event.RevisionEnd {
		return fmt.Errorf("%w: limit %d, from revision %d", event.ErrInvalid, read.Limit, read.From)
	}
	options := esdb.ReadStreamOptions{From: esdb.Revision(uint64(read.From))}
	if read.Direction == event.Backwards {
		options.Direction = esdb.Backwards
		if read.From == event.RevisionEnd {
			options.From = esdb.End{}
		}
	}
	err := received(ctx, s, func(ctx context.Context, c *esdb.Client, emit func(event.Recorded) error) error {
		r, err := c.ReadStream(ctx, read.Stream, options, count(read.Limit))
		if err != nil {
			return err
		}
		return emitAll(r, emit)
	}, visit)
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorCodeResourceNotFound:
			return fmt.Errorf("%w: %q", event.ErrStreamNotFound, read.Stream)
		case esdb.ErrorCodeStreamDeleted:
			return &event.StreamDeleted{Stream: read.Stream}
		}
	}
	return readError(err)
}

// ReadAll implements commands.Store.
func (s *Store) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	if read.Limit < 0 || read.From > event.PositionEnd {
		return fmt.Errorf("%w: limit %d, from position %d", event.ErrInvalid, read.Limit, read.From)
	}
	options := esdb.ReadAllOptions{From: position(read.From)}
	switch backwards := read.Direction == event.Backwards; {
	case backwards && read.From == event.PositionEnd:
		options.Direction, options.From = esdb.Backwards, esdb.End{}
	case backwards:
		options.Direction = esdb.Backwards
	case read.From == 0:
		options.From = esdb.Start{}
	}
	limit := count(read.Limit)
	if !read.Filter.IsEmpty() {
		limit = math.MaxUint64
	}
	enough := errors.New("enough")
	passed := 0
	err := received(ctx, s, func(ctx context.Context, c *esdb.Client, emit func(event.Recorded) error) error {
		r, err := c.ReadAll(ctx, options, limit)
		if err != nil {
			return err
		}
		return emitAll(r, emit)
	}, func(e event.Recorded) error {
		if !read.Filter.Passes(e.Stream, e.Type) {
			return nil
		}
		if err := visit(e); err != nil {
			return err
		}
		if passed++; passed == read.Limit {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		return nil
	}
	return readError(err)
}

func emitAll(r *esdb.ReadStream, emit func(event.Recorded) error) error {
	defer r.Close()
	for {
		resolved, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(recorded(resolved)); err != nil {
			return err
		}
	}
}

func count(limit int) uint64 {
	if limit == 0 {
		return math.MaxUint64
	}
	return uint64(limit)
}

func position(p event.Position) esdb.Position {
	return esdb.Position{Commit: uint64(p), Prepare: uint64(p)}
}

func recorded(resolved *esdb.ResolvedEvent) event.Recorded {
	return recordedEvent(resolved.OriginalEvent())
}

func recordedEvent(e *esdb.RecordedEvent) event.Recorded {
	return event.Recorded{
		Stream:   e.StreamID,
		Revision: event.Revision(e.EventNumber),
		Position: event.Position(e.Position.Commit),
		ID:       e.EventID.String(),
		Type:     e.EventType,
		Data:     e.Data,
		Metadata: e.UserMetadata,
		Binary:   e.ContentType != "application/json",
		Created:  e.CreatedDate,
	}
}

// readError distinguishes a caller's own errors from those of the connection.
func readError(err error) error {
	var e *esdb.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
	}
	return err
}
