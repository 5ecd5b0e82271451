package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"recapito/commands"
)

// personRecord is a person's key; once erased, only whose it was is left.
type personRecord struct {
	Person  string `json:"person"`
	Wrapped []byte `json:"wrapped,omitempty"`
	Erased  bool   `json:"erased,omitempty"`
}

func (r personRecord) key(keyID string) (commands.PersonKey, error) {
	if r.Erased {
		return commands.PersonKey{}, commands.ErrKeyErased
	}
	return commands.PersonKey{PersonID: r.Person, KeyID: keyID, Wrapped: r.Wrapped}, nil
}

// linkRecord is the value of a link from an address to a person, and of a recipient id's;
// what links what is the record's key.
type linkRecord struct {
	KeyID string `json:"key,omitempty"` // of a recipient id's only
	From  int64  `json:"from"`
	To    int64  `json:"to,omitempty"`
}

// PersonKey implements commands.KeyStore.
func (s *Store) PersonKey(ctx context.Context, tenant, keyID string) (commands.PersonKey, error) {
	r, found, err := read[personRecord](ctx, s, recordKey(kindPerson, tenant, keyID))
	switch {
	case err != nil:
		return commands.PersonKey{}, err
	case !found:
		return commands.PersonKey{}, commands.ErrKeyAbsent
	}
	return r.key(keyID)
}

// RecipientPerson implements commands.KeyStore.
func (s *Store) RecipientPerson(ctx context.Context, tenant string, hash []byte) (*commands.PersonLink, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.hashes.lock(hashKeys(tenant, hash), true)()
	var r linkRecord
	found, err := s.get(recordKey(kindRecipient, tenant, string(hash)), &r)
	if err != nil || !found {
		return nil, err
	}
	key, err := s.standing(tenant, r.KeyID)
	if err != nil {
		return nil, err
	}
	return &commands.PersonLink{PersonID: key.PersonID, KeyID: r.KeyID, Kind: commands.LinkHeld, From: r.From, To: r.To}, nil
}

// AddressPersons implements commands.KeyStore.
func (s *Store) AddressPersons(ctx context.Context, tenant string, hash []byte) ([]commands.PersonLink, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.hashes.lock(hashKeys(tenant, hash), true)()
	links, err := s.links(ctx, tenant, hash, "", commands.MaxAddressPersons)
	if err != nil {
		return nil, err
	}
	for i := range links {
		key, err := s.standing(tenant, links[i].KeyID)
		if err != nil {
			return nil, err
		}
		links[i].PersonID = key.PersonID
	}
	return links, nil
}

// ClaimPerson implements commands.KeyStore.
func (s *Store) ClaimPerson(ctx context.Context, tenant string, c commands.PersonClaim) (commands.PersonKey, error) {
	c, err := c.Checked()
	if err != nil {
		return commands.PersonKey{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return commands.PersonKey{}, err
	}
	defer leave()
	// As a rule the person is known and linked to every address.
	if claimed, done, err := s.claimKnown(ctx, tenant, c); err != nil || done {
		return claimed, err
	}
	// Held until the write is synced: whoever is shown this person by the same hashes is
	// shown it after that.
	defer s.hashes.lock(hashKeys(tenant, c.Hashes()...), false)()
	keyID, err := s.choose(ctx, tenant, c)
	if err != nil {
		return commands.PersonKey{}, err
	}
	batch := s.db.NewBatch()
	defer batch.Close() // it was committed, or nothing of it matters
	claimed, made := c.Candidate, keyID == ""
	if made {
		unlock, err := s.makePerson(batch, tenant, c)
		if err != nil {
			return commands.PersonKey{}, err
		}
		defer unlock()
	} else if claimed, err = s.standing(tenant, keyID); err != nil {
		return commands.PersonKey{}, err
	}
	for i, hash := range c.Addresses {
		if err := s.link(batch, tenant, hash, claimed.KeyID, c.Link(i, made), c.At); err != nil {
			return commands.PersonKey{}, err
		}
	}
	if batch.Empty() {
		return claimed, nil
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return commands.PersonKey{}, fmt.Errorf("claiming a person: %w", err)
	}
	return claimed, nil
}

// claimKnown claims a person that needs no write. Done is false where one is needed.
func (s *Store) claimKnown(ctx context.Context, tenant string, c commands.PersonClaim) (claimed commands.PersonKey, done bool, err error) {
	defer s.hashes.lock(hashKeys(tenant, c.Hashes()...), true)()
	keyID, err := s.choose(ctx, tenant, c)
	if err != nil || keyID == "" {
		return claimed, false, err
	}
	for i, hash := range c.Addresses {
		kind, err := s.linked(tenant, hash, keyID)
		if err != nil || kind == 0 || kind > c.Link(i, false) {
			return claimed, false, err
		}
	}
	claimed, err = s.standing(tenant, keyID)
	return claimed, err == nil, err
}

// choose returns the key id of the person that a claim goes to; empty for a new one. Call
// it under the locks of the claim's hashes.
func (s *Store) choose(ctx context.Context, tenant string, c commands.PersonClaim) (keyID string, err error) {
	if c.Recipient != nil {
		var r linkRecord
		_, err := s.get(recordKey(kindRecipient, tenant, string(c.Recipient)), &r)
		return r.KeyID, err
	}
	if len(c.Addresses) == 0 {
		return "", nil
	}
	anonymous, err := s.links(ctx, tenant, c.Addresses[0], kindOfLink(commands.LinkAnonymous), 1)
	if err != nil || len(anonymous) > 0 {
		return firstKey(anonymous), err
	}
	holders, err := s.links(ctx, tenant, c.Addresses[0], kindOfLink(commands.LinkHeld), 2)
	if err != nil || len(holders) != 1 {
		return "", err
	}
	return firstKey(holders), nil
}

func firstKey(links []commands.PersonLink) string {
	if len(links) == 0 {
		return ""
	}
	return links[0].KeyID
}

// makePerson writes a claim's candidate, and that its recipient id is that person's.
func (s *Store) makePerson(b *pebble.Batch, tenant string, c commands.PersonClaim) (unlock func(), err error) {
	key := recordKey(kindPerson, tenant, c.Candidate.KeyID)
	lock := s.records.of(key)
	lock.Lock()
	if found, err := s.get(key, new(personRecord)); err != nil || found {
		lock.Unlock()
		return nil, errors.Join(errors.New("claiming a person: the candidate's key id is taken"), err)
	}
	err = set(b, key, personRecord{Person: c.Candidate.PersonID, Wrapped: c.Candidate.Wrapped})
	if err == nil && c.Recipient != nil {
		err = errors.Join(
			set(b, recordKey(kindRecipient, tenant, string(c.Recipient)), linkRecord{KeyID: c.Candidate.KeyID, From: c.At}),
			b.Set(recordKey(kindName, tenant, c.Candidate.KeyID, string(c.Recipient)), nil, nil))
	}
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	return lock.Unlock, nil
}

// link links an address to a person, unless it is linked as that kind or as one that
// says more.
func (s *Store) link(b *pebble.Batch, tenant string, hash []byte, keyID string, kind commands.LinkKind, at int64) error {
	standing, err := s.linked(tenant, hash, keyID)
	if err != nil || standing != 0 && standing <= kind {
		return err
	}
	if standing != 0 {
		if err := b.Delete(linkKey(tenant, hash, standing, keyID), nil); err != nil {
			return err
		}
	}
	return errors.Join(
		set(b, linkKey(tenant, hash, kind, keyID), linkRecord{From: at}),
		b.Set(recordKey(kindName, tenant, keyID, string(hash)), nil, nil))
}

// linked returns how an address is linked to a person; 0 if it is not.
func (s *Store) linked(tenant string, hash []byte, keyID string) (commands.LinkKind, error) {
	for _, kind := range linkKinds {
		if found, err := s.get(linkKey(tenant, hash, kind, keyID), new(linkRecord)); err != nil || found {
			return kind, err
		}
	}
	return 0, nil
}

var linkKinds = []commands.LinkKind{commands.LinkAnonymous, commands.LinkHeld, commands.LinkMentioned}

// kindOfLink is a link's kind in its record's key, before the key id.
func kindOfLink(kind commands.LinkKind) string { return string(rune('0' + kind)) }

func linkKey(tenant string, hash []byte, kind commands.LinkKind, keyID string) []byte {
	return recordKey(kindLink, tenant, string(hash), kindOfLink(kind)+keyID)
}

// links returns the links of an address whose kind and key id begin with a prefix, at
// most limit, without the persons' ids. Call it under the hash's lock.
func (s *Store) links(ctx context.Context, tenant string, hash []byte, prefix string, limit int) (links []commands.PersonLink, err error) {
	first := recordKey(kindLink, tenant, string(hash), "")
	err = s.walk(ctx, append(slices.Clone(first), prefix...), func(key, value []byte) (more bool, err error) {
		kind, keyID := key[len(first)]-'0', string(key[len(first)+1:])
		var r linkRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return false, err
		}
		links = append(links, commands.PersonLink{KeyID: keyID, Kind: commands.LinkKind(kind), From: r.From, To: r.To})
		return len(links) < limit, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the links of an address: %w", err)
	}
	return links, nil
}

// standing returns the key that a hash is linked to. It holds the lock of that record
// only while reading it; a record's writer never waits for a hash's lock.
func (s *Store) standing(tenant, keyID string) (commands.PersonKey, error) {
	key := recordKey(kindPerson, tenant, keyID)
	lock := s.records.of(key)
	lock.RLock()
	defer lock.RUnlock()
	var r personRecord
	found, err := s.get(key, &r)
	switch {
	case err != nil:
		return commands.PersonKey{}, err
	case !found:
		return commands.PersonKey{}, fmt.Errorf("a hash is linked to a key: %w", commands.ErrKeyAbsent)
	}
	return r.key(keyID)
}

// MarkErased puts a tombstone in the place of a person's key and removes every link to
// the person, in one step: from then on the key is ErrKeyErased and its id is never used
// again, and the recipient id and the addresses are free for their next person. The
// wrapped key's bytes stay in Pebble's log and tables until those are compacted and
// retired, so this alone does not make an erasure that could be certified.
func (s *Store) MarkErased(ctx context.Context, tenant, keyID string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	hashes, unlock, err := s.lockNames(ctx, tenant, keyID)
	if err != nil {
		return err
	}
	defer unlock()
	key := recordKey(kindPerson, tenant, keyID)
	lock := s.records.of(key)
	lock.Lock()
	defer lock.Unlock()
	var r personRecord
	found, err := s.get(key, &r)
	switch {
	case err != nil:
		return err
	case !found:
		return commands.ErrKeyAbsent
	case r.Erased:
		return nil
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := set(batch, key, personRecord{Person: r.Person, Erased: true}); err != nil {
		return err
	}
	for _, hash := range hashes {
		gone := [][]byte{recordKey(kindName, tenant, keyID, hash)}
		for _, kind := range linkKinds {
			gone = append(gone, linkKey(tenant, []byte(hash), kind, keyID))
		}
		var r linkRecord
		recipient := recordKey(kindRecipient, tenant, hash)
		if _, err := s.get(recipient, &r); err != nil {
			return err
		}
		if r.KeyID == keyID {
			gone = append(gone, recipient)
		}
		for _, k := range gone {
			if err := batch.Delete(k, nil); err != nil {
				return fmt.Errorf("marking a key erased: %w", err)
			}
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("marking a key erased: %w", err)
	}
	return nil
}

// lockNames locks every hash that is linked to a person and returns them. A claim that
// links one more must hold one that is linked, so the list is complete once what is locked
// is what is linked.
func (s *Store) lockNames(ctx context.Context, tenant, keyID string) (hashes []string, unlock func(), err error) {
	hashes, err = s.names(ctx, tenant, keyID)
	for err == nil {
		var keys [][]byte
		for _, h := range hashes {
			keys = append(keys, hashKeys(tenant, []byte(h))...)
		}
		unlock := s.hashes.lock(keys, false)
		now, err := s.names(ctx, tenant, keyID)
		if err == nil && slices.Equal(now, hashes) {
			return hashes, unlock, nil
		}
		unlock()
		if hashes = now; err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, err
}

func (s *Store) names(ctx context.Context, tenant, keyID string) (hashes []string, err error) {
	first := recordKey(kindName, tenant, keyID, "")
	err = s.walk(ctx, first, func(key, _ []byte) (bool, error) {
		hashes = append(hashes, strings.Clone(string(key[len(first):])))
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what names a person: %w", err)
	}
	return hashes, nil
}

// hashKeys are what the locks of hashes are taken by.
func hashKeys(tenant string, hashes ...[]byte) [][]byte {
	keys := make([][]byte, len(hashes))
	for i, h := range hashes {
		keys[i] = recordKey(kindLink, tenant, string(h))
	}
	return keys
}

func set(b *pebble.Batch, key []byte, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	return b.Set(key, data, nil)
}
