package commands

import (
	"context"
	"time"

	"recapito/domain/personal"
	"recapito/domain/receipt"
	"recapito/domain/scenario"
)

// Address is a destination on a channel, in clear and normalised. Never log it.
type Address struct {
	Channel string
	Value   string
}

// String hides the value.
func (a Address) String() string { return a.Channel + ":[personal]" }

// GoString hides the value too.
func (a Address) GoString() string { return a.String() }

// Persons knows who is behind an address and makes the keyed hashes that stand for
// them elsewhere. Implemented by commands/sealing.
type Persons interface {
	// ClaimPerson returns the person of the recipient id (if not empty) and addresses,
	// making one if none of them is known; durable when it returns. ErrTwoPersons if
	// they belong to different ones.
	ClaimPerson(ctx context.Context, tenant, recipient string, addresses []Address) (personal.Ref, error)
	// RequestHMAC authenticates a canonical request under a subkey of the person's key;
	// ErrKeyErased once that is destroyed.
	RequestHMAC(ctx context.Context, tenant string, ref personal.Ref, canonical []byte) ([]byte, error)
}

// Tokens makes the keyed hashes that stand for destinations in events. Implemented by
// commands/sealing.
type Tokens interface {
	// DestinationToken is the destination under the route's current key.
	DestinationToken(ctx context.Context, route, destination string, at time.Time) (receipt.Token, error)
	// DestinationTokens is the destination under every key of the route that has not
	// expired, newest first.
	DestinationTokens(ctx context.Context, route, destination string, at time.Time) ([]receipt.Token, error)
}

// Scenarios returns the scenarios of a tenant. Implemented by adapters/scenariofile.
type Scenarios interface {
	Scenario(tenant, name string) (scenario.Definition, bool)
	List(tenant string) []scenario.Definition
}

// Lease lets one of several instances do a piece of work that only one needs to do. It
// saves double work and no more. Implemented by commands/lease.
type Lease interface {
	// Hold calls do while this instance holds the lease, and waiting now and then while
	// it does not: whether there is work, and a mark that moves when some is done. It
	// returns when ctx has ended.
	Hold(ctx context.Context, waiting func(context.Context) (mark uint64, waits bool, err error), do func(context.Context))
}
