package readmodels

import (
	"errors"
	"fmt"
)

// ErrNoSuchPosition: a reader asks for a place in the event store that is not there yet.
var ErrNoSuchPosition = errors.New("the event store has no such position")

// Behind is the error of a reader who asked for more than a projection's table holds, and
// did not want to wait longer.
type Behind struct {
	Projection string
	Position   uint64 // of the last ledger event in its table, as far as it is known
	Why        string // if it does not go on by itself
}

func (b *Behind) Error() string {
	text := fmt.Sprintf("projection %s is at position %d", b.Projection, b.Position)
	if b.Why != "" {
		text += ", " + b.Why
	}
	return text
}
