// Package catalogue knows every event of every aggregate and builds the one codec.
package catalogue

import (
	"slices"

	"recapito/domain/audit"
	"recapito/domain/checkpoint"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/lease"
	"recapito/domain/mark"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// Definitions lists every event there is, aggregate by aggregate.
func Definitions() []event.Definition {
	return slices.Concat(
		notification.Definitions(),
		receipt.Definitions(),
		tenant.Definitions(),
		audit.Definitions(),
		deadline.Definitions(),
		checkpoint.Definitions(),
		lease.Definitions(),
		mark.Definitions(),
	)
}

// NewCodec builds the codec over every event. It errs only if two definitions clash,
// which a test excludes.
func NewCodec() (*event.Codec, error) { return event.NewCodec(Definitions()...) }
