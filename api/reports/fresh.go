package reports

import (
	"context"
	"errors"
	"strconv"

	"recapito/api"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/readmodels"
)

// Passed waits until projections hold what the ledger held at a position.
// projections.Projections.Passed is one.
type Passed func(ctx context.Context, position event.Position, projections ...string) error

// fresh waits, if the caller gave a position in the parameter `after`, until the read
// models that the operation reads hold everything up to it.
func (s *service) fresh(ctx context.Context, after string, projections ...string) error {
	if after == "" {
		return nil
	}
	position, err := strconv.ParseUint(after, 10, 64)
	if err != nil {
		return api.Invalid("after", strictjson.WrongType, "must be the position of a 202, an integer")
	}
	if s.Passed == nil {
		return event.ErrUnavailable
	}
	err = s.Passed(ctx, event.Position(position), projections...)
	var behind *readmodels.Behind
	switch {
	case errors.Is(err, readmodels.ErrNoSuchPosition):
		return api.Invalid("after", strictjson.InvalidValue, "must be a position that the ledger has reached")
	case errors.As(err, &behind):
		return api.NewProblem(api.CodeBehind, behind.Error())
	case err != nil:
		return errors.Join(event.ErrUnavailable, err)
	}
	return nil
}
