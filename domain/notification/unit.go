package notification

import "time"

// UnitOutcome is what is known of one unit of a claim. Channels return it, the worker's
// tries complete it, and RecordOutcome decides on it.
type UnitOutcome struct {
	Fate Fate
	// ProviderID is the provider's message id as it came, of an accepted unit.
	ProviderID string
	// Code is the provider's error code ("0x00000058"), or a code of ours, of a refused unit.
	Code string
	// Transient: trying again later may succeed.
	Transient bool
	// Busy: refused for no fault of the message, because the provider is given too much
	// at once. It is transient, and no try of the message.
	Busy bool
	// At is when the answer came (accepted, refused) or when waiting ended.
	At time.Time
}

// Fate is what is known of one unit of a claim.
type Fate uint8

// The fates of a unit.
const (
	UnitNotSent  Fate = iota // missing: never on the wire, not a byte of it
	UnitAccepted             // the provider took it
	UnitRefused              // the provider refused it
	UnitLost                 // it may have been on the wire, and no answer came
)

// String returns the fate in a word.
func (f Fate) String() string {
	switch f {
	case UnitNotSent:
		return "not sent"
	case UnitAccepted:
		return "accepted"
	case UnitRefused:
		return "refused"
	case UnitLost:
		return "lost"
	}
	return "unknown"
}
