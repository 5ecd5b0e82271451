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
	return event.Newest(ctx, s, stream, event.RevisionEnd, checkpoint.Kept, func(e event.Recorded) bool {
		var state T
		if json.Unmarshal(e.Data, &state) != nil {
			return false
		}
		*v = state
		return true
	})
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
