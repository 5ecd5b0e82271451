// Package sealing keeps personal data under a key for each person. It seals and opens
// the values of events (it is the personal.Sealer), knows persons by their addresses,
// and makes the keyed hashes that stand in events instead of destinations.
//
// Keys form a tree: the master key wraps each tenant's key and the route keys, a
// tenant's key wraps the keys of its persons. The key store keeps only wrapped keys and
// keyed hashes; this package is the only one that sees a key in clear, and holds an
// opened key at most Lease. So a person's key that is destroyed in the store is
// forgotten everywhere twice that time later, and with it everything sealed under it.
//
// A key that was destroyed is distinguished from every failure: only commands.ErrKeyErased
// from the store means erased. A store that does not answer, a key that is absent, and
// a value that was changed or moved are errors.
package sealing

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"recapito/commands"
	"recapito/domain/personal"
)

const (
	// Lease is how long an opened key is used before the store is asked for it again.
	Lease = 5 * time.Second
	// maxOpenKeys bounds the opened keys held at once, of persons and of tenants and
	// routes each: about 1 kB a key.
	maxOpenKeys = 1 << 14
	// MasterKeyBytes is the length of the master key.
	MasterKeyBytes = keyBytes
)

var (
	// ErrDamaged: a value or a wrapped key does not authenticate. It was changed or
	// moved, or its key is wrapped under another master key.
	ErrDamaged = errors.New("does not authenticate: changed, moved, or under another master key")
	// ErrNobody: neither a recipient nor an address was given to find a person by.
	ErrNobody = errors.New("no recipient and no address")
)

// Options of New; the zero value is fine.
type Options struct {
	Now func() time.Time // time.Now if nil
}

// Sealing is safe for concurrent use. It starts nothing and needs no closing.
type Sealing struct {
	store   commands.KeyStore
	master  masterKeys
	now     func() time.Time
	persons *leased[*personKey]
	tenants *leased[*tenantKeys]
	routes  *leased[[]routeKey]
}

var _ personal.Sealer = (*Sealing)(nil)

// New makes a Sealing over a store; master is the master key, MasterKeyBytes long.
func New(store commands.KeyStore, master []byte, o Options) (*Sealing, error) {
	if store == nil {
		return nil, errors.New("sealing: no key store")
	}
	m, err := newMasterKeys(master)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sealing{
		store: store, master: m, now: o.Now,
		persons: newLeased[*personKey](o.Now), tenants: newLeased[*tenantKeys](o.Now), routes: newLeased[[]routeKey](o.Now),
	}, nil
}

// Seal encrypts r ‖ clear under the person's key, bound to associated, with the
// commitment with it. commands.ErrKeyErased if the key was destroyed: reload what was
// to be sealed, it now opens as erased.
func (s *Sealing) Seal(ctx context.Context, tenant string, ref personal.Ref, associated, clear []byte) (personal.Sealed, error) {
	key, err := s.personKey(ctx, tenant, ref)
	if err != nil {
		return personal.Sealed{}, err
	}
	const r = personal.CommitmentSecretBytes
	random := make([]byte, nonceBytes+r) // one call for both
	rand.Read(random)
	nonce := random[:nonceBytes:nonceBytes]
	packed, compression := compress(clear)
	plain := make([]byte, 0, r+len(packed))
	plain = append(append(plain, random[nonceBytes:]...), packed...)
	return personal.Sealed{
		Ref:         ref,
		Nonce:       nonce,
		Ciphertext:  key.values.Seal(make([]byte, 0, len(plain)+key.values.Overhead()), nonce, plain, associated),
		Commitment:  personal.Commitment(plain[:r], associated, clear),
		Compression: compression,
	}, nil
}

// Open decrypts a value and checks its commitment; erased if its key was destroyed.
func (s *Sealing) Open(ctx context.Context, tenant string, v personal.Sealed, associated []byte) (clear []byte, erased bool, err error) {
	clear, _, erased, err = s.Reveal(ctx, tenant, v, associated)
	return clear, erased, err
}

// Reveal opens a value and shows r too, which proves it to someone without the key
// (personal.Sealed.Commits).
func (s *Sealing) Reveal(ctx context.Context, tenant string, v personal.Sealed, associated []byte) (clear, r []byte, erased bool, err error) {
	key, err := s.personKey(ctx, tenant, v.Ref)
	switch {
	case errors.Is(err, commands.ErrKeyErased):
		return nil, nil, true, nil
	case err != nil:
		return nil, nil, false, err
	}
	if len(v.Nonce) != nonceBytes {
		return nil, nil, false, fmt.Errorf("personal value: %w", ErrDamaged)
	}
	plain, err := key.values.Open(nil, v.Nonce, v.Ciphertext, associated)
	if err != nil || len(plain) < personal.CommitmentSecretBytes {
		return nil, nil, false, fmt.Errorf("personal value: %w", ErrDamaged)
	}
	r = plain[:personal.CommitmentSecretBytes]
	clear, err = decompress(plain[personal.CommitmentSecretBytes:], v.Compression)
	if err != nil {
		return nil, nil, false, fmt.Errorf("personal value: %w: %w", ErrDamaged, err)
	}
	if !v.Commits(r, associated, clear) {
		return nil, nil, false, fmt.Errorf("commitment of a personal value: %w", ErrDamaged)
	}
	return clear, r, false, nil
}

// personKey is an opened key of a person.
type personKey struct {
	person string
	raw    []byte
	values cipher.AEAD
}

func (s *Sealing) personKey(ctx context.Context, tenant string, ref personal.Ref) (*personKey, error) {
	key, err := s.persons.get(string(joined(tenant, ref.Key)), func() (*personKey, error) {
		stored, err := s.store.PersonKey(ctx, tenant, ref.Key)
		if err != nil {
			return nil, err
		}
		return s.openPersonKey(ctx, tenant, stored)
	})
	if err != nil {
		return nil, fmt.Errorf("key of a person: %w", err)
	}
	if key.person != ref.Person {
		return nil, fmt.Errorf("key of a person: named for another one: %w", ErrDamaged)
	}
	return key, nil
}

func (s *Sealing) openPersonKey(ctx context.Context, tenant string, stored commands.PersonKey) (*personKey, error) {
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	raw, err := unwrap(t.wrapping, stored.Wrapped, personPlace(tenant, stored.PersonID, stored.KeyID))
	if err != nil {
		return nil, err
	}
	values, err := newAEAD(raw)
	if err != nil {
		return nil, err
	}
	return &personKey{person: stored.PersonID, raw: raw, values: values}, nil
}
