package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

// LoadLatest reads the newest event of an operational stream that can be read into v, and
// returns the revision to expect of the next append. An earlier state is as good: what came
// after it is done again.
func LoadLatest[T any](ctx context.Context, s Store, stream string, v *T) (event.Expected, error) {
	at, found := event.NoStream(), false
	read := event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: checkpoint.Kept}
	err := s.ReadStream(ctx, read, func(e event.Recorded) error {
		if at.IsNoStream() {
			at = event.Exact(e.Revision)
		}
		var state T
		if !found && json.Unmarshal(e.Data, &state) == nil {
			*v, found = state, true
		}
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		return at, err
	}
	return at, nil
}

// AppendOperational appends one event without personal data to an operational stream
// whose newest event holds all its state. Of a stream that it begins, a store is given
// first to keep no more than the newest ones.
func AppendOperational(ctx context.Context, s Store, stream string, expected event.Expected, name string, v any) (event.Revision, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("encoding %s: %w", name, err)
	}
	if expected.IsNoStream() {
		metadata, limits := checkpoint.Limits(stream, uuid.NewString())
		if _, err := s.Append(ctx, metadata, event.NoStream(), []event.New{limits}); err != nil && !errors.Is(err, event.ErrWrongVersion) {
			return 0, fmt.Errorf("limiting %s: %w", stream, err)
		}
	}
	appended, err := s.Append(ctx, stream, expected, []event.New{{ID: uuid.NewString(), Type: name, Data: data}})
	return appended.Revision, err
}
