package commands

import (
	"context"
	"errors"
	"fmt"

	"recapito/domain/personal"
)

// Finder finds persons and makes none. Implemented by commands/sealing.
type Finder interface {
	// FindPerson answers the person that a recipient id (if not empty) and addresses
	// belong to, if one is known; ErrKeyErased if it was erased.
	FindPerson(ctx context.Context, tenant, recipient string, addresses []Address) (ref personal.Ref, found bool, err error)
}

// FindPerson answers the id of the person that a recipient id belongs to, or an address
// as a request would name it; empty if none is known any more, which an erased one is
// not. *Invalid if it cannot be anybody's.
func FindPerson(ctx context.Context, f Finder, tenant, recipient string, address Address) (person string, err error) {
	var ps problems
	var addresses []Address
	if address != (Address{}) {
		normal, wrong := normaliseAddress(address.Channel, address.Value)
		if wrong != nil {
			ps.add("destination.address", "invalid_address", "%s", wrong)
		}
		addresses = []Address{{address.Channel, normal}}
	}
	if len(recipient) > MaxRecipientLength {
		ps.add("recipient", "too_long", "must have at most %d bytes", MaxRecipientLength)
	}
	if len(ps) > 0 {
		return "", &Invalid{Problems: ps}
	}
	ref, found, err := f.FindPerson(ctx, tenant, recipient, addresses)
	switch {
	case errors.Is(err, ErrKeyErased):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("looking up a person: %w", err)
	case !found:
		return "", nil
	}
	return ref.Person, nil
}
