package intake

import (
	"context"
	"errors"
	"fmt"

	"recapito/commands"
	"recapito/domain/address"
	"recapito/domain/personal"
)

// Finder finds persons and makes none. Implemented by commands/sealing.
type Finder interface {
	// FindPerson returns the person that a recipient id (if not empty) and addresses
	// belong to, if one is known; commands.ErrKeyErased if it was erased.
	FindPerson(ctx context.Context, tenant, recipient string, addresses []commands.Address) (ref personal.Ref, found bool, err error)
}

// FindPerson returns the id of the person that a recipient id belongs to, or an address
// as a request would name it; empty if none is known any more, which an erased one is
// not. *Invalid if it cannot be anybody's.
func FindPerson(ctx context.Context, f Finder, tenant, recipient string, destination commands.Address) (person string, err error) {
	var ps problems
	var addresses []commands.Address
	if destination != (commands.Address{}) {
		normal, wrong := address.Phone.Normalise(destination.Value)
		if wrong != nil {
			ps.add("destination.address", "invalid_address", "%s", wrong)
		}
		addresses = []commands.Address{{Channel: destination.Channel, Value: normal}}
	}
	if len(recipient) > MaxRecipientLength {
		ps.add("recipient", "too_long", "must have at most %d bytes", MaxRecipientLength)
	}
	if len(ps) > 0 {
		return "", &Invalid{Problems: ps}
	}
	ref, found, err := f.FindPerson(ctx, tenant, recipient, addresses)
	switch {
	case errors.Is(err, commands.ErrKeyErased):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("looking up a person: %w", err)
	case !found:
		return "", nil
	}
	return ref.Person, nil
}
