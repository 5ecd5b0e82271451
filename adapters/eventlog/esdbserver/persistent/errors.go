package persistent

import "errors"

// Errors of groups and consumers.
var (
	ErrNotFound       = errors.New("the group does not exist")
	ErrExists         = errors.New("the group exists")
	ErrMaxSubscribers = errors.New("the group has as many consumers as it may")
	// ErrDropped ends a consumer whose group was changed, deleted or started again, or
	// that asked to be stopped.
	ErrDropped = errors.New("the consumer was dropped")
)

// Invalid is a request that cannot be.
type Invalid struct{ Reason string }

func (i *Invalid) Error() string { return i.Reason }
