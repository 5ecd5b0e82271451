package sealing

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/personal"
)

// ClaimPerson returns the person that a recipient id (if not empty) and addresses
// belong to, and makes all of them theirs, in one step: a new person if none is known.
// It is durable when it returns, so a value sealed with the answer can be opened after
// any crash. commands.ErrTwoPersons if they are known as different persons, and
// commands.ErrKeyErased if the person was erased; then nothing is changed.
func (s *Sealing) ClaimPerson(ctx context.Context, tenant, recipient string, addresses []commands.Address) (personal.Ref, error) {
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return personal.Ref{}, err
	}
	hashes := personHashes(t, recipient, addresses)
	if len(hashes) == 0 {
		return personal.Ref{}, ErrNobody
	}
	candidate := commands.PersonKey{PersonID: uuid.NewString(), KeyID: uuid.NewString()}
	candidate.Wrapped = wrap(t.wrapping, newKey(), personPlace(tenant, candidate.PersonID, candidate.KeyID))
	asked := s.now()
	standing, err := s.store.ClaimPerson(ctx, tenant, hashes, candidate)
	if err != nil {
		return personal.Ref{}, fmt.Errorf("claiming a person: %w", err)
	}
	key, err := s.openPersonKey(ctx, tenant, standing)
	if err != nil {
		return personal.Ref{}, fmt.Errorf("key of a person: %w", err)
	}
	// The caller seals with it next.
	s.persons.put(string(joined(tenant, standing.KeyID)), key, asked)
	return personal.Ref{Person: standing.PersonID, Key: standing.KeyID}, nil
}

// FindPerson returns the person that a recipient id and addresses belong to, if one is
// known; it makes none. Errors as ClaimPerson's.
func (s *Sealing) FindPerson(ctx context.Context, tenant, recipient string, addresses []commands.Address) (ref personal.Ref, found bool, err error) {
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return personal.Ref{}, false, err
	}
	hashes := personHashes(t, recipient, addresses)
	if len(hashes) == 0 {
		return personal.Ref{}, false, ErrNobody
	}
	key, err := s.store.Person(ctx, tenant, hashes)
	switch {
	case err != nil:
		return personal.Ref{}, false, fmt.Errorf("finding a person: %w", err)
	case key == nil:
		return personal.Ref{}, false, nil
	}
	return personal.Ref{Person: key.PersonID, Key: key.KeyID}, true, nil
}

func personHashes(t *tenantKeys, recipient string, addresses []commands.Address) [][]byte {
	hashes := make([][]byte, 0, 1+len(addresses))
	if recipient != "" {
		hashes = append(hashes, keyedHash(t.search, "recipient", recipient))
	}
	for _, a := range addresses {
		hashes = append(hashes, keyedHash(t.search, "address", a.Channel, a.Value))
	}
	return hashes
}

// RequestHMAC returns the HMAC of a canonical request under a subkey of the person's
// key: it shows whether two requests are the same, and nothing once the key is gone
// (commands.ErrKeyErased).
func (s *Sealing) RequestHMAC(ctx context.Context, tenant string, ref personal.Ref, canonical []byte) ([]byte, error) {
	key, err := s.personKey(ctx, tenant, ref)
	if err != nil {
		return nil, err
	}
	sub, err := derive(key.raw, useRequests)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, sub)
	h.Write(canonical)
	return h.Sum(nil), nil
}
