package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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

// Person implements commands.KeyStore; commands.ErrKeyErased if the person was erased.
func (s *Store) Person(ctx context.Context, tenant string, hashes [][]byte) (*commands.PersonKey, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	keys := hashKeys(tenant, hashes)
	defer s.hashes.lock(keys, true)()
	keyID, _, err := s.owner(keys)
	if err != nil || keyID == "" {
		return nil, err
	}
	standing, err := s.standing(tenant, keyID)
	if err != nil {
		return nil, err
	}
	return &standing, nil
}

// ClaimPerson implements commands.KeyStore; commands.ErrKeyErased if the person that
// the hashes belong to was erased, and then nothing is written.
func (s *Store) ClaimPerson(ctx context.Context, tenant string, hashes [][]byte, candidate commands.PersonKey) (commands.PersonKey, error) {
	if len(hashes) == 0 || candidate.PersonID == "" || candidate.KeyID == "" || len(candidate.Wrapped) == 0 {
		return commands.PersonKey{}, errors.New("claiming a person: no hashes, or no candidate")
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return commands.PersonKey{}, err
	}
	defer leave()
	keys := hashKeys(tenant, hashes)
	// Held until the write is synced: whoever is answered with this person by the same
	// hashes is answered after that.
	defer s.hashes.lock(keys, false)()
	keyID, missing, err := s.owner(keys)
	if err != nil {
		return commands.PersonKey{}, err
	}
	batch := s.db.NewBatch()
	defer batch.Close() // it was committed, or nothing of it matters
	var claimed commands.PersonKey
	if keyID != "" {
		if claimed, err = s.standing(tenant, keyID); err != nil || len(missing) == 0 {
			return claimed, err
		}
	} else {
		key := recordKey(kindPerson, tenant, candidate.KeyID)
		lock := s.records.of(key)
		lock.Lock()
		defer lock.Unlock()
		if found, err := s.get(key, new(personRecord)); err != nil || found {
			return commands.PersonKey{}, errors.Join(errors.New("claiming a person: the candidate's key id is taken"), err)
		}
		if err := set(batch, key, personRecord{Person: candidate.PersonID, Wrapped: candidate.Wrapped}); err != nil {
			return commands.PersonKey{}, err
		}
		claimed = candidate
	}
	for _, k := range missing {
		if err := set(batch, k, claimed.KeyID); err != nil {
			return commands.PersonKey{}, err
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return commands.PersonKey{}, fmt.Errorf("claiming a person: %w", err)
	}
	return claimed, nil
}

// owner answers the key id that hashes are mapped to, empty if none is, and the keys
// of those not yet mapped. Call it under their locks.
func (s *Store) owner(keys [][]byte) (keyID string, missing [][]byte, err error) {
	for _, k := range keys {
		var mapped string
		found, err := s.get(k, &mapped)
		switch {
		case err != nil:
			return "", nil, err
		case !found:
			missing = append(missing, k)
		case keyID != "" && keyID != mapped:
			return "", nil, commands.ErrTwoPersons
		default:
			keyID = mapped
		}
	}
	return keyID, missing, nil
}

// standing answers the key that a hash is mapped to. It holds the lock of that record
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
		return commands.PersonKey{}, fmt.Errorf("a hash is mapped to a key: %w", commands.ErrKeyAbsent)
	}
	return r.key(keyID)
}

// MarkErased puts a tombstone in the place of a person's key: from then on it is
// refused with commands.ErrKeyErased, and its id is never used again. The wrapped
// key's bytes stay in Pebble's log and tables until those are compacted and retired,
// so this alone does not make an erasure that could be certified.
func (s *Store) MarkErased(ctx context.Context, tenant, keyID string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
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
	data, err := json.Marshal(personRecord{Person: r.Person, Erased: true})
	if err != nil {
		return fmt.Errorf("marking a key erased: %w", err)
	}
	if err := s.db.Set(key, data, pebble.Sync); err != nil {
		return fmt.Errorf("marking a key erased: %w", err)
	}
	return nil
}

func hashKeys(tenant string, hashes [][]byte) [][]byte {
	keys := make([][]byte, len(hashes))
	for i, h := range hashes {
		keys[i] = recordKey(kindHash, tenant, string(h))
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
