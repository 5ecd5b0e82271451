// Package tenant is the aggregate of one tenant's API keys. A key is shown once, when
// it is made; here stands only its hash.
package tenant

import (
	"maps"
	"regexp"
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of tenant streams.
const StreamPrefix = "tenant-"

// Stream names the stream of a tenant.
func Stream(name string) string { return StreamPrefix + name }

// Default is the tenant of a call with the local admin key that names none.
const Default = "default"

// System is the tenant of what belongs to none: a receipt before it is matched. No
// key can be made for it.
const System = "system"

// MaxKeys is how many keys, revoked ones included, a tenant may have.
const MaxKeys = 1000

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ValidName reports whether a tenant may be called that: 1–63 lower-case letters,
// digits and hyphens, not beginning with a hyphen.
func ValidName(name string) bool { return namePattern.MatchString(name) && name != System }

// Event is one of the events below. Their names are the storage format.
//
//sumtype:decl
type Event interface{ tenantEvent() }

// KeyCreated: an API key of the tenant. Hash is SHA-256 of the complete key, which holds
// 256 random bits.
type KeyCreated struct {
	KeyID string    `json:"key_id"`
	Hash  string    `json:"hash"`
	Label string    `json:"label,omitempty"`
	At    time.Time `json:"at"`
}

// KeyRevoked: the key opens nothing any more.
type KeyRevoked struct {
	KeyID string    `json:"key_id"`
	Hash  string    `json:"hash"`
	At    time.Time `json:"at"`
}

func (KeyCreated) tenantEvent() {}
func (KeyRevoked) tenantEvent() {}

// OccurredAt of each event.
func (e KeyCreated) OccurredAt() time.Time { return e.At }
func (e KeyRevoked) OccurredAt() time.Time { return e.At }

// definitions registers the events under their stored names.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[KeyCreated]("TenantKeyCreated",
			event.Doc("An API key of the tenant, as the SHA-256 of the complete key; the key itself is shown once and kept nowhere.")),
		event.Define[KeyRevoked]("TenantKeyRevoked",
			event.Doc("The API key opens nothing any more.")),
	}
}

// Command is one of the commands below.
//
//sumtype:decl
type Command interface{ tenantCommand() }

// CreateKey adds a key by its hash.
type CreateKey struct {
	KeyID, Hash, Label string
	At                 time.Time
}

// RevokeKey ends a key.
type RevokeKey struct {
	KeyID string
	At    time.Time
}

func (CreateKey) tenantCommand() {}
func (RevokeKey) tenantCommand() {}

// Rules that a command can break.
var (
	ErrNoKey       = &event.Rule{Code: "not_found", Message: "the tenant has no such key"}
	ErrTooManyKeys = &event.Rule{Code: "too_many_keys", Message: "the tenant has 1,000 keys, which is the limit"}
)

// Key is one key of the tenant.
type Key struct {
	ID, Hash, Label string
	CreatedAt       time.Time
	RevokedAt       time.Time // zero: it opens
}

// State is a tenant folded from its events.
type State struct {
	Keys map[string]Key // by id
}

// Decider is the aggregate.
var Decider = event.Decider[State, Command, Event]{
	Initial: func() State { return State{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Evolve folds one event.
func Evolve(s State, e Event) State {
	keys := maps.Clone(s.Keys)
	if keys == nil {
		keys = map[string]Key{}
	}
	switch e := e.(type) {
	case KeyCreated:
		keys[e.KeyID] = Key{ID: e.KeyID, Hash: e.Hash, Label: e.Label, CreatedAt: e.At}
	case KeyRevoked:
		k := keys[e.KeyID]
		k.RevokedAt = e.At
		keys[e.KeyID] = k
	}
	return State{Keys: keys}
}

// Decide returns what a command changes.
func Decide(s State, c Command) ([]Event, error) {
	switch c := c.(type) {
	case CreateKey:
		if _, ok := s.Keys[c.KeyID]; ok {
			return nil, nil
		}
		if len(s.Keys) >= MaxKeys {
			return nil, ErrTooManyKeys
		}
		return []Event{KeyCreated(c)}, nil
	case RevokeKey:
		k, ok := s.Keys[c.KeyID]
		if !ok {
			return nil, ErrNoKey
		}
		if !k.RevokedAt.IsZero() {
			return nil, nil
		}
		return []Event{KeyRevoked{KeyID: k.ID, Hash: k.Hash, At: c.At}}, nil
	}
	return nil, nil
}
