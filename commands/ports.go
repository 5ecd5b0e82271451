package commands

import (
	"context"
	"time"

	"recapito/domain/address"
	"recapito/domain/personal"
	"recapito/domain/receipt"
	"recapito/domain/scenario"
)

// Persons resolves who a request is for, and makes what its repetition is recognised by.
// Implemented by commands/sealing.
type Persons interface {
	// Resolve returns the person of a request by its recipient id (if not empty) and
	// addresses; the rules are PersonClaim's. It is durable when it returns.
	Resolve(ctx context.Context, tenant, recipient string, addresses []address.Address) (personal.Ref, error)
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
