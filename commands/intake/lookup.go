package intake

import (
	"context"
	"fmt"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/intake/strictjson"
	"recapito/domain/address"
)

// Finder finds persons and makes none. Implemented by commands/sealing.
type Finder interface {
	// PersonOf returns the person of a recipient id, if it has one: an erased one's has not.
	PersonOf(ctx context.Context, tenant, recipient string) (link commands.PersonLink, found bool, err error)
	// PersonsAt returns the persons that an address names, at most
	// commands.MaxAddressPersons: the anonymous one first, then the other holders, then
	// those that mention it.
	PersonsAt(ctx context.Context, tenant string, a address.Address) ([]commands.PersonLink, error)
}

// Lookup finds persons by what a caller knows of them.
type Lookup struct {
	Finder Finder
	Routes channel.Routes // whose kinds of address can be named by a channel too
}

// Lookup returns a Lookup over the routes that the intake accepts requests for.
func (n *Intake) Lookup(f Finder) *Lookup { return &Lookup{Finder: f, Routes: n.c.Routes} }

// Whose names a person, or several: by a recipient id, or by an address as a request
// would give it. Never log it.
type Whose struct {
	Recipient string
	Kind      string // of the address: "phone", or a channel's name, "sms"
	Address   string
}

// Persons returns the persons that are named; none if nobody is known by it any more,
// which an erased person is not. *strictjson.Invalid if it cannot be anybody's.
func (l *Lookup) Persons(ctx context.Context, tenant string, w Whose) ([]commands.PersonLink, error) {
	if w.Recipient != "" {
		if len(w.Recipient) > MaxRecipientLength {
			return nil, &strictjson.Invalid{Problems: []strictjson.Problem{{Field: "recipient", Code: "too_long", Message: fmt.Sprintf("must have at most %d bytes", MaxRecipientLength)}}}
		}
		link, found, err := l.Finder.PersonOf(ctx, tenant, w.Recipient)
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking up the person of a recipient: %w", err)
		case !found:
			return nil, nil
		}
		return []commands.PersonLink{link}, nil
	}
	kind, ok := l.kind(w.Kind)
	if !ok {
		return nil, &strictjson.Invalid{Problems: []strictjson.Problem{{Field: "destination.kind", Code: "invalid_value", Message: "must be a kind of address, such as phone or email, or a channel"}}}
	}
	a, err := kind.Parse(w.Address)
	if err != nil {
		return nil, &strictjson.Invalid{Problems: []strictjson.Problem{{Field: "destination.address", Code: "invalid_address", Message: err.Error()}}}
	}
	links, err := l.Finder.PersonsAt(ctx, tenant, a)
	if err != nil {
		return nil, fmt.Errorf("looking up the persons of an address: %w", err)
	}
	return links, nil
}

// kind returns a kind of address by its own name, or by that of a channel.
func (l *Lookup) kind(name string) (address.Kind, bool) {
	if k, ok := address.Named(address.Kinds(), name); ok {
		return k, true
	}
	for _, r := range l.Routes {
		if name == r.Kind.Name || name == r.Kind.Address.Name {
			return r.Kind.Address, true
		}
	}
	return address.Kind{}, false
}
