package delivery

import (
	"context"
	"log/slog"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/deadline"
)

// Config is what delivery acts on.
type Config struct {
	Ledger        *commands.Ledger
	Notifications *commands.Notifications
	Receipts      *commands.Receipts
	Tokens        commands.Tokens
	Scenarios     commands.Scenarios
	Routes        channel.Routes
	Deadlines     Deadlines
	Queue         Queue
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
