package delivery

import (
	"context"
	"log/slog"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/planning"
	"recapito/domain/deadline"
	"recapito/domain/notification"
)

// Config is what delivery acts on.
type Config struct {
	Ledger        *commands.Ledger
	Notifications *commands.Notifications
	Receipts      *commands.Receipts
	Tokens        commands.Tokens
	Planner       *planning.Planner
	Routes        channel.Routes
	Deadlines     Deadlines
	Queue         Queue
	Guards        []Guard // all of them are asked before a claim; none: every claim is allowed
	Log           *slog.Logger
}

// Deadlines takes deadlines. They are durable when Set returns, and fired at least
// once. Implemented by commands/deadlines.
type Deadlines interface {
	Set(ctx context.Context, deadlines ...deadline.DeadlineSet) error
}

// Queue takes due attempts for the workers of their channel. A message may be lost
// (the attempt's watchdog dispatches again) or come twice. Implemented by Topics.
type Queue interface {
	Dispatch(ctx context.Context, d DispatchMessage, channel, priority string) error
}

// Guard is a claim guard: what may have changed since planning (a consent, a suspension, a
// window), read again just before a claim, to the end of each stream that it reads.
//
// Check returns what it found and how far it read. An error means that it does not know:
// nothing is claimed, and the attempt's message comes again.
type Guard interface {
	Check(ctx context.Context, s *notification.State, a *notification.Attempt) (notification.Guard, error)
}
