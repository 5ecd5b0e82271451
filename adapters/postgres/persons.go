package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"recapito/commands"
)

// PersonKey implements commands.KeyStore.
func (s *Store) PersonKey(ctx context.Context, tenant, keyID string) (key commands.PersonKey, err error) {
	key.KeyID = keyID
	err = s.do(ctx, "reading a person's key", func(ctx context.Context) error {
		err := s.pool.QueryRow(ctx, "SELECT person, wrapped FROM recapito_keys.persons WHERE tenant = $1 AND key_id = $2", tenant, keyID).
			Scan(&key.PersonID, &key.Wrapped)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return commands.ErrKeyAbsent
		case err == nil && key.Wrapped == nil:
			return commands.ErrKeyErased
		}
		return err
	})
	if err != nil {
		return commands.PersonKey{}, err
	}
	return key, nil
}

// Person implements commands.KeyStore; commands.ErrKeyErased if the person was erased.
func (s *Store) Person(ctx context.Context, tenant string, hashes [][]byte) (person *commands.PersonKey, err error) {
	err = s.do(ctx, "finding a person", func(ctx context.Context) error {
		known, err := owner(ctx, s.pool, tenant, hashes)
		if err == nil {
			person, err = known.person()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return person, nil
}

// ClaimPerson implements commands.KeyStore; commands.ErrKeyErased if the person that
// the hashes belong to was erased, and then nothing is written.
func (s *Store) ClaimPerson(ctx context.Context, tenant string, hashes [][]byte, candidate commands.PersonKey) (claimed commands.PersonKey, err error) {
	if len(hashes) == 0 || candidate.PersonID == "" || candidate.KeyID == "" || len(candidate.Wrapped) == 0 {
		return claimed, errors.New("claiming a person: no hashes, or no candidate")
	}
	hashes = slices.Clone(hashes)
	slices.SortFunc(hashes, slices.Compare[[]byte])
	hashes = slices.CompactFunc(hashes, slices.Equal[[]byte])
	err = s.do(ctx, "claiming a person", func(ctx context.Context) error {
		known, err := owner(ctx, s.pool, tenant, hashes) // as a rule all are known
		if err != nil {
			return err
		}
		if p, err := known.person(); err != nil || p != nil && len(known.missing(hashes)) == 0 {
			if err == nil {
				claimed = *p
			}
			return err
		}
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
			claimed, err = claim(ctx, tx, tenant, hashes, candidate)
			return err
		})
	})
	if err != nil {
		return commands.PersonKey{}, err
	}
	return claimed, nil
}

// claim decides under the locks of all the hashes, which the transaction's end gives
// free once its commit is durable.
func claim(ctx context.Context, tx pgx.Tx, tenant string, hashes [][]byte, candidate commands.PersonKey) (commands.PersonKey, error) {
	for _, lock := range locks(tenant, hashes) {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
			return commands.PersonKey{}, err
		}
	}
	known, err := owner(ctx, tx, tenant, hashes) // a statement sees what was committed before it
	if err != nil {
		return commands.PersonKey{}, err
	}
	standing, err := known.person()
	if err != nil {
		return commands.PersonKey{}, err
	}
	if standing == nil {
		standing = &candidate
		made, err := tx.Exec(ctx, "INSERT INTO recapito_keys.persons (tenant, key_id, person, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			tenant, candidate.KeyID, candidate.PersonID, candidate.Wrapped)
		if err != nil {
			return commands.PersonKey{}, err
		}
		if made.RowsAffected() == 0 {
			return commands.PersonKey{}, errTaken
		}
	}
	if missing := known.missing(hashes); len(missing) > 0 {
		if _, err := tx.Exec(ctx, "INSERT INTO recapito_keys.hashes (tenant, hash, key_id) SELECT $1, unnest($2::bytea[]), $3",
			tenant, missing, standing.KeyID); err != nil {
			return commands.PersonKey{}, err
		}
	}
	return *standing, nil
}

// locks are the advisory locks of hashes, in the one order in which all take them. Two
// hashes may share one.
func locks(tenant string, hashes [][]byte) []int64 {
	all := make([]int64, len(hashes))
	for i, hash := range hashes {
		sum := sha256.New()
		sum.Write(binary.AppendUvarint(nil, uint64(len(tenant))))
		sum.Write([]byte(tenant))
		sum.Write(hash)
		all[i] = int64(binary.BigEndian.Uint64(sum.Sum(nil))) //nolint:gosec // any 64 bits
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mapping is what of some hashes is known: whose they are.
type mapping struct {
	hashes [][]byte
	keys   []commands.PersonKey // of distinct persons
}

type queries interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func owner(ctx context.Context, from queries, tenant string, hashes [][]byte) (m mapping, err error) {
	rows, err := from.Query(ctx, `SELECT h.hash, p.key_id, p.person, p.wrapped FROM recapito_keys.hashes h
		JOIN recapito_keys.persons p USING (tenant, key_id) WHERE h.tenant = $1 AND h.hash = ANY($2)`, tenant, hashes)
	if err != nil {
		return m, err
	}
	var hash []byte
	var key commands.PersonKey
	_, err = pgx.ForEachRow(rows, []any{&hash, &key.KeyID, &key.PersonID, &key.Wrapped}, func() error {
		m.hashes = append(m.hashes, hash)
		if !slices.ContainsFunc(m.keys, func(k commands.PersonKey) bool { return k.KeyID == key.KeyID }) {
			m.keys = append(m.keys, commands.PersonKey{KeyID: key.KeyID, PersonID: key.PersonID, Wrapped: key.Wrapped})
		}
		return nil
	})
	return m, err
}

// person is the one that the known hashes belong to; nil if none is known.
func (m mapping) person() (*commands.PersonKey, error) {
	switch {
	case len(m.keys) == 0:
		return nil, nil //nolint:nilnil // as commands.KeyStore's Person
	case len(m.keys) > 1:
		return nil, commands.ErrTwoPersons
	case m.keys[0].Wrapped == nil:
		return nil, commands.ErrKeyErased
	}
	return &m.keys[0], nil
}

func (m mapping) missing(hashes [][]byte) [][]byte {
	return slices.DeleteFunc(slices.Clone(hashes), func(h []byte) bool {
		return slices.ContainsFunc(m.hashes, func(known []byte) bool { return slices.Equal(known, h) })
	})
}

// MarkErased forgets a person's key: from then on the result is
// commands.ErrKeyErased, and its id is never used again. Its bytes stay in the server's
// files and log until those are vacuumed and recycled, so this alone does not make an
// erasure that could be certified.
func (s *Store) MarkErased(ctx context.Context, tenant, keyID string) error {
	return s.do(ctx, "marking a key erased", func(ctx context.Context) error {
		done, err := s.pool.Exec(ctx, "UPDATE recapito_keys.persons SET wrapped = NULL WHERE tenant = $1 AND key_id = $2", tenant, keyID)
		if err == nil && done.RowsAffected() == 0 {
			return commands.ErrKeyAbsent
		}
		return err
	})
}
