package commands

import (
	"context"
	"errors"
	"slices"
)

// KeyStore keeps wrapped keys and the map from keyed hashes to persons. It moves
// bytes and never sees a key in clear; commands/sealing is built over it.
// commands/keystoretest is the suite every implementation must pass. What a call
// that returned nil wrote is durable. A store that does not respond is an error,
// never "erased".
type KeyStore interface {
	// TenantKey returns the tenant's wrapped key; ErrKeyAbsent if it has none yet.
	TenantKey(ctx context.Context, tenant string) (wrapped []byte, err error)
	// CreateTenantKey stores wrapped as the tenant's key unless it has one, and
	// returns the one that stands.
	CreateTenantKey(ctx context.Context, tenant string, wrapped []byte) (standing []byte, err error)
	// ClaimPerson returns the person that a request goes to and links its addresses, in
	// one atomic step. The rules are PersonClaim's. Claims that share a hash are decided
	// one after the other.
	ClaimPerson(ctx context.Context, tenant string, c PersonClaim) (PersonKey, error)
	// RecipientPerson returns the person of a recipient id; nil if it has none, which an
	// erased one's has not.
	RecipientPerson(ctx context.Context, tenant string, hash []byte) (*PersonLink, error)
	// AddressPersons returns the persons that an address is linked to, at most
	// MaxAddressPersons: the anonymous one first, then the others that hold it, then
	// those that mention it, each group in the order of the key ids. An erased person is
	// linked to nothing.
	AddressPersons(ctx context.Context, tenant string, hash []byte) ([]PersonLink, error)
	// PersonKey returns a person's key by its id: ErrKeyAbsent if there never was one,
	// ErrKeyErased once it is destroyed.
	PersonKey(ctx context.Context, tenant, keyID string) (PersonKey, error)
	// RouteKeys returns the keys under which destinations of a route are tokenised and
	// that have not expired at now (Unix seconds), newest first.
	RouteKeys(ctx context.Context, route string, nowUnix int64) ([]RouteKey, error)
	// CreateRouteKey stores key unless one with its ID stands, and returns the one that stands.
	CreateRouteKey(ctx context.Context, key RouteKey) (RouteKey, error)
	// Secret returns the named secret of the installation (wrapped), creating it from
	// candidate if absent.
	Secret(ctx context.Context, name string, candidate []byte) (standing []byte, err error)
}

// PersonKey is a person and the wrapped data key of everything personal about them.
type PersonKey struct {
	PersonID string // random; what events and ClickHouse hold
	KeyID    string // random; never made again
	Wrapped  []byte // AES-256 key wrapped by the tenant's key
}

// PersonClaim is what a request names, as keyed hashes.
//
// With a recipient, the person is the recipient id's: a new one if the id has none,
// whatever else knows the addresses. That person holds every address of the request.
//
// Without one, the person is the anonymous person of the first address if there is one;
// else the address's holder if it has exactly one; else a new anonymous person, who holds
// the first address from then on. So an address has at most one anonymous person. The
// request's other addresses are mentioned by that person, which joins nobody.
//
// A claim without a recipient and without addresses makes a new person.
type PersonClaim struct {
	Recipient []byte   // nil if the request names none
	Addresses [][]byte // those that identify a person, in the request's order
	Candidate PersonKey
	At        int64 // Unix seconds: when links made by this claim begin
}

// Checked returns the claim with each address once, or what is wrong with it.
func (c PersonClaim) Checked() (PersonClaim, error) {
	if c.Candidate.PersonID == "" || c.Candidate.KeyID == "" || len(c.Candidate.Wrapped) == 0 {
		return c, errors.New("claiming a person: no candidate")
	}
	addresses := c.Addresses
	c.Addresses = nil
	for _, h := range addresses {
		if !slices.ContainsFunc(c.Addresses, func(one []byte) bool { return slices.Equal(one, h) }) {
			c.Addresses = append(c.Addresses, h)
		}
	}
	for _, h := range c.Hashes() {
		if len(h) == 0 {
			return c, errors.New("claiming a person: an empty hash")
		}
	}
	return c, nil
}

// Hashes returns all hashes of a claim: those that it must be alone with.
func (c PersonClaim) Hashes() [][]byte {
	all := slices.Clone(c.Addresses)
	if c.Recipient != nil {
		all = append(all, c.Recipient)
	}
	return all
}

// Link is how the claim links its i-th address to the person that it made, or found.
func (c PersonClaim) Link(i int, made bool) LinkKind {
	switch {
	case c.Recipient != nil:
		return LinkHeld
	case i == 0 && made:
		return LinkAnonymous
	default:
		return LinkMentioned
	}
}

// LinkKind is how an address names a person. A smaller number is the stronger link.
type LinkKind int

// The kinds of link. Their numbers are part of the storage formats.
const (
	// LinkAnonymous: a person without a recipient id holds the address.
	LinkAnonymous LinkKind = 1 + iota
	// LinkHeld: a person with a recipient id holds it.
	LinkHeld
	// LinkMentioned: a request of the person names it next to another.
	LinkMentioned
)

// MaxAddressPersons is how many persons of one address are returned.
const MaxAddressPersons = 1000

// PersonLink is a person that a recipient id or an address names.
type PersonLink struct {
	PersonID string
	KeyID    string
	Kind     LinkKind // of a recipient id: LinkHeld
	From     int64    // Unix seconds
	To       int64    // Unix seconds; 0 while it stands
}

// RouteKey is a wrapped HMAC key for destination tokens.
type RouteKey struct {
	ID          string
	Route       string
	Wrapped     []byte
	ExpiresUnix int64 // no token is looked up with it from then on
}

// Errors of a key store.
var (
	// ErrKeysUnavailable: the store does not respond.
	ErrKeysUnavailable = errors.New("key store unavailable")

	ErrKeyAbsent = errors.New("no such key")
	ErrKeyErased = errors.New("key erased")
)
