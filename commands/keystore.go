package commands

import (
	"context"
	"errors"
)

// KeyStore keeps wrapped keys and the map from keyed hashes to persons. It moves
// bytes and never sees a key in clear; commands/sealing is built over it.
// commands/keystoretest is the suite every implementation must pass. What a call
// that returned nil wrote is durable. A store that does not answer is an error,
// never "erased".
type KeyStore interface {
	// TenantKey returns the tenant's wrapped key; ErrKeyAbsent if it has none yet.
	TenantKey(ctx context.Context, tenant string) (wrapped []byte, err error)
	// CreateTenantKey stores wrapped as the tenant's key unless it has one, and
	// returns the one that stands.
	CreateTenantKey(ctx context.Context, tenant string, wrapped []byte) (standing []byte, err error)
	// Person returns the person that the hashes belong to; nil if none is known;
	// ErrTwoPersons if they belong to different ones.
	Person(ctx context.Context, tenant string, hashes [][]byte) (*PersonKey, error)
	// ClaimPerson maps every hash that is not yet mapped to the person the others are
	// mapped to, or all to candidate if none is, in one atomic step, and returns the
	// person that stands. ErrTwoPersons as above, and then nothing is written.
	ClaimPerson(ctx context.Context, tenant string, hashes [][]byte, candidate PersonKey) (PersonKey, error)
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

// RouteKey is a wrapped HMAC key for destination tokens.
type RouteKey struct {
	ID          string
	Route       string
	Wrapped     []byte
	ExpiresUnix int64 // no token is looked up with it from then on
}

// Errors of a key store.
var (
	// ErrKeysUnavailable: the store does not answer, and nobody knows what it would say.
	ErrKeysUnavailable = errors.New("key store unavailable")

	ErrKeyAbsent  = errors.New("no such key")
	ErrKeyErased  = errors.New("key erased")
	ErrTwoPersons = errors.New("the addresses belong to different persons")
)
