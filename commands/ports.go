package commands

import (
	"context"
	"time"

	"recapito/commands/channel"
	"recapito/domain/deadline"
	"recapito/domain/notification"
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
	// ClaimPerson answers the person of the recipient id (if not empty) and addresses,
	// making one if none of them is known; durable when it returns. ErrTwoPersons if
	// they belong to different ones.
	ClaimPerson(ctx context.Context, tenant, recipient string, addresses []Address) (personal.Ref, error)
	// RequestHMAC authenticates a canonical request under a subkey of the person's key;
	// ErrKeyErased once that is destroyed.
	RequestHMAC(ctx context.Context, tenant string, ref personal.Ref, canonical []byte) ([]byte, error)
	// DestinationToken is the destination under the route's current key.
	DestinationToken(ctx context.Context, route, destination string, at time.Time) (receipt.Token, error)
	// DestinationTokens is the destination under every key of the route that has not
	// expired, newest first.
	DestinationTokens(ctx context.Context, route, destination string, at time.Time) ([]receipt.Token, error)
}

// Scenarios answers the scenarios of a tenant. Implemented by adapters/scenariofile.
type Scenarios interface {
	Scenario(tenant, name string) (scenario.Definition, bool)
	List(tenant string) []scenario.Definition
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

// Lease lets one of several instances do a piece of work that only one needs to do. It
// saves double work and no more. Implemented by commands/lease.
type Lease interface {
	// Hold calls do while this instance holds the lease, and waiting now and then while
	// it does not: whether there is work, and a mark that moves when some is done. It
	// answers when ctx has ended.
	Hold(ctx context.Context, waiting func(context.Context) (mark uint64, waits bool, err error), do func(context.Context))
}

// Route is one way to a channel's network, and its settings.
type Route struct {
	Name    string
	Channel string
	Form    receipt.Form // how its provider writes message ids
	Policy  notification.Policy
	Wire    channel.Channel
}

// Routes lists the routes; the first of a channel is taken.
type Routes []Route

// For answers the route of a channel.
func (rs Routes) For(channel string) (Route, bool) {
	for _, r := range rs {
		if r.Channel == channel {
			return r, true
		}
	}
	return Route{}, false
}

// Named answers a route by its name.
func (rs Routes) Named(name string) (Route, bool) {
	for _, r := range rs {
		if r.Name == name {
			return r, true
		}
	}
	return Route{}, false
}

// DefaultPolicy is what a route's attempts are held to where its settings are silent.
func DefaultPolicy() notification.Policy {
	const d = time.Second
	return notification.Policy{
		Tries: 3, BackOff: notification.Duration(5 * d), BackOffMax: notification.Duration(10 * 60 * d),
		WireLimit: notification.Duration(30 * d), Redispatch: notification.Duration(30 * d),
		Patience: notification.Duration(3600 * d),
		Unknown:  notification.UnknownWait, UnknownLimit: notification.Duration(3600 * d), Resends: 1,
	}
}
