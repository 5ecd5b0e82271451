package receipts

import (
	"log/slog"

	"recapito/commands"
	"recapito/commands/aside"
	"recapito/commands/channel"
)

// Config is what the receiver and the matcher act on.
type Config struct {
	Ledger        *commands.Ledger
	Notifications *commands.Notifications
	Receipts      *commands.Receipts
	Tokens        commands.Tokens
	Routes        channel.Routes
	Log           *slog.Logger
	Aside         *aside.Consumer // of the matcher; nil: what cannot be read is an error
}
