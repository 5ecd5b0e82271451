package sealing

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/domain/address"
	"recapito/domain/personal"
)

// Resolve returns the person of a request by its recipient id (if not empty) and
// addresses, and links the addresses to that person; the rules are
// commands.PersonClaim's. Addresses that identify nobody count for nothing. It is durable
// when it returns, so a value sealed with the result can be opened after any crash.
func (s *Sealing) Resolve(ctx context.Context, tenant, recipient string, addresses []address.Address) (personal.Ref, error) {
	if recipient == "" && len(addresses) == 0 {
		return personal.Ref{}, ErrNobody
	}
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return personal.Ref{}, err
	}
	asked := s.now()
	claim := commands.PersonClaim{At: asked.Unix(), Candidate: commands.PersonKey{PersonID: uuid.NewString(), KeyID: uuid.NewString()}}
	claim.Candidate.Wrapped = wrap(t.wrapping, newKey(), personPlace(tenant, claim.Candidate.PersonID, claim.Candidate.KeyID))
	if recipient != "" {
		claim.Recipient = recipientHash(t, recipient)
	}
	for _, a := range addresses {
		if a.Identity != "" {
			claim.Addresses = append(claim.Addresses, addressHash(t, a))
		}
	}
	standing, err := s.store.ClaimPerson(ctx, tenant, claim)
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

// PersonOf returns the person of a recipient id, if it has one: an erased one's has not.
func (s *Sealing) PersonOf(ctx context.Context, tenant, recipient string) (link commands.PersonLink, found bool, err error) {
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return link, false, err
	}
	p, err := s.store.RecipientPerson(ctx, tenant, recipientHash(t, recipient))
	if err != nil {
		return link, false, fmt.Errorf("finding a person: %w", err)
	}
	if p == nil {
		return link, false, nil
	}
	return *p, true, nil
}

// PersonsAt returns the persons that an address names, as commands.KeyStore's
// AddressPersons; none for an address that identifies nobody.
func (s *Sealing) PersonsAt(ctx context.Context, tenant string, a address.Address) ([]commands.PersonLink, error) {
	if a.Identity == "" {
		return nil, nil
	}
	t, err := s.tenantKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	links, err := s.store.AddressPersons(ctx, tenant, addressHash(t, a))
	if err != nil {
		return nil, fmt.Errorf("finding the persons of an address: %w", err)
	}
	return links, nil
}

func recipientHash(t *tenantKeys, recipient string) []byte {
	return keyedHash(t.search, "recipient", recipient)
}

// addressHash is by kind, never by channel: a number is one over SMS and voice.
func addressHash(t *tenantKeys, a address.Address) []byte {
	return keyedHash(t.search, "address", a.Kind, a.Identity)
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
