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

// RecipientPerson implements commands.KeyStore.
func (s *Store) RecipientPerson(ctx context.Context, tenant string, hash []byte) (link *commands.PersonLink, err error) {
	err = s.do(ctx, "finding a recipient's person", func(ctx context.Context) error {
		found := commands.PersonLink{Kind: commands.LinkHeld}
		err := s.pool.QueryRow(ctx, `SELECT p.person, key_id, r.from_unix FROM recapito_keys.recipients r
			JOIN recapito_keys.persons p USING (tenant, key_id) WHERE r.tenant = $1 AND r.hash = $2`, tenant, hash).
			Scan(&found.PersonID, &found.KeyID, &found.From)
		if errors.Is(err, pgx.ErrNoRows) {
			link = nil
			return nil
		}
		link = &found
		return err
	})
	if err != nil {
		return nil, err
	}
	return link, nil
}

// AddressPersons implements commands.KeyStore.
func (s *Store) AddressPersons(ctx context.Context, tenant string, hash []byte) (links []commands.PersonLink, err error) {
	err = s.do(ctx, "finding the persons of an address", func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `SELECT p.person, key_id, l.kind, l.from_unix, l.to_unix FROM recapito_keys.links l
			JOIN recapito_keys.persons p USING (tenant, key_id) WHERE l.tenant = $1 AND l.hash = $2
			ORDER BY l.kind, key_id LIMIT $3`, tenant, hash, commands.MaxAddressPersons)
		if err != nil {
			return err
		}
		links, err = pgx.CollectRows(rows, pgx.RowToStructByPos[commands.PersonLink])
		return err
	})
	if err != nil {
		return nil, err
	}
	return links, nil
}

// ClaimPerson implements commands.KeyStore.
func (s *Store) ClaimPerson(ctx context.Context, tenant string, c commands.PersonClaim) (claimed commands.PersonKey, err error) {
	c, err = c.Checked()
	if err != nil {
		return claimed, err
	}
	err = s.do(ctx, "claiming a person", func(ctx context.Context) error {
		claimed = commands.PersonKey{}
		// As a rule the person is known and linked to every address.
		keyID, err := choose(ctx, s.pool, tenant, c)
		if err != nil {
			return err
		}
		if keyID != "" {
			missing, err := unlinked(ctx, s.pool, tenant, c, keyID, false)
			if err != nil {
				return err
			}
			if len(missing) == 0 {
				claimed, err = standing(ctx, s.pool, tenant, keyID, "")
			}
			if err != nil || claimed.Wrapped != nil {
				return err
			}
		}
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
			claimed, err = claim(ctx, tx, tenant, c)
			return err
		})
	})
	if err != nil {
		return commands.PersonKey{}, err
	}
	return claimed, nil
}

// erasures is how often in a row a claim may find that its person was erased meanwhile.
const erasures = 3

// claim decides under the locks of all the hashes, which the transaction's end gives
// free once its commit is durable. The person's row is locked too, so that no erasure
// comes between: one that came first has removed the links, and the claim chooses again.
func claim(ctx context.Context, tx pgx.Tx, tenant string, c commands.PersonClaim) (claimed commands.PersonKey, err error) {
	for _, lock := range locks(tenant, c.Hashes()) {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
			return claimed, err
		}
	}
	keyID := ""
	for range erasures {
		keyID, err = choose(ctx, tx, tenant, c) // a statement sees what was committed before it
		if err != nil || keyID == "" {
			break
		}
		claimed, err = standing(ctx, tx, tenant, keyID, "FOR SHARE")
		if err != nil || claimed.Wrapped != nil {
			break
		}
		err = commands.ErrKeyErased
	}
	if err != nil {
		return commands.PersonKey{}, err
	}
	made := keyID == ""
	if made {
		claimed = c.Candidate
		if err := makePerson(ctx, tx, tenant, c); err != nil {
			return commands.PersonKey{}, err
		}
	}
	missing, err := unlinked(ctx, tx, tenant, c, claimed.KeyID, made)
	if err != nil {
		return commands.PersonKey{}, err
	}
	for _, i := range missing {
		if _, err := tx.Exec(ctx, `INSERT INTO recapito_keys.links (tenant, hash, kind, key_id, from_unix) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, key_id, hash) DO UPDATE SET kind = EXCLUDED.kind, from_unix = EXCLUDED.from_unix`,
			tenant, c.Addresses[i], c.Link(i, made), claimed.KeyID, c.At); err != nil {
			return commands.PersonKey{}, err
		}
	}
	return claimed, nil
}

// makePerson writes a claim's candidate, and that its recipient id is that person's.
func makePerson(ctx context.Context, tx pgx.Tx, tenant string, c commands.PersonClaim) error {
	made, err := tx.Exec(ctx, "INSERT INTO recapito_keys.persons (tenant, key_id, person, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		tenant, c.Candidate.KeyID, c.Candidate.PersonID, c.Candidate.Wrapped)
	switch {
	case err != nil:
		return err
	case made.RowsAffected() == 0:
		return errTaken
	case c.Recipient == nil:
		return nil
	}
	_, err = tx.Exec(ctx, "INSERT INTO recapito_keys.recipients (tenant, hash, key_id, from_unix) VALUES ($1, $2, $3, $4)",
		tenant, c.Recipient, c.Candidate.KeyID, c.At)
	return err
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

type queries interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// choose returns the key id of the person that a claim goes to; empty for a new one.
func choose(ctx context.Context, from queries, tenant string, c commands.PersonClaim) (keyID string, err error) {
	if c.Recipient != nil {
		err = from.QueryRow(ctx, "SELECT key_id FROM recapito_keys.recipients WHERE tenant = $1 AND hash = $2", tenant, c.Recipient).Scan(&keyID)
		if errors.Is(err, pgx.ErrNoRows) {
			return "", nil
		}
		return keyID, err
	}
	if len(c.Addresses) == 0 {
		return "", nil
	}
	rows, err := from.Query(ctx, `SELECT key_id, kind FROM recapito_keys.links WHERE tenant = $1 AND hash = $2 AND kind < $3
		ORDER BY kind, key_id LIMIT 2`, tenant, c.Addresses[0], commands.LinkMentioned)
	if err != nil {
		return "", err
	}
	type holder struct {
		KeyID string
		Kind  commands.LinkKind
	}
	holders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
	if err != nil || len(holders) == 0 || len(holders) > 1 && holders[0].Kind != commands.LinkAnonymous {
		return "", err
	}
	return holders[0].KeyID, nil
}

// unlinked returns which of a claim's addresses are not linked to a person as the claim
// wants, or as what says more.
func unlinked(ctx context.Context, from queries, tenant string, c commands.PersonClaim, keyID string, made bool) (missing []int, err error) {
	if len(c.Addresses) == 0 {
		return nil, nil
	}
	rows, err := from.Query(ctx, "SELECT hash, kind FROM recapito_keys.links WHERE tenant = $1 AND key_id = $2 AND hash = ANY($3)",
		tenant, keyID, c.Addresses)
	if err != nil {
		return nil, err
	}
	linked := map[string]commands.LinkKind{}
	var hash []byte
	var kind commands.LinkKind
	_, err = pgx.ForEachRow(rows, []any{&hash, &kind}, func() error {
		linked[string(hash)] = kind
		return nil
	})
	for i, h := range c.Addresses {
		if kind, ok := linked[string(h)]; !ok || kind > c.Link(i, made) {
			missing = append(missing, i)
		}
	}
	return missing, err
}

// standing returns the key that a hash is linked to, without its bytes if it was erased.
func standing(ctx context.Context, from queries, tenant, keyID, lock string) (commands.PersonKey, error) {
	key := commands.PersonKey{KeyID: keyID}
	err := from.QueryRow(ctx, "SELECT person, wrapped FROM recapito_keys.persons WHERE tenant = $1 AND key_id = $2 "+lock, tenant, keyID).
		Scan(&key.PersonID, &key.Wrapped)
	return key, err
}

// MarkErased forgets a person's key and removes every link to the person, in one
// transaction: from then on the key is commands.ErrKeyErased and its id is never used
// again, and the recipient id and the addresses are free for their next person. The
// key's bytes stay in the server's files and log until those are vacuumed and recycled,
// so this alone does not make an erasure that could be certified.
func (s *Store) MarkErased(ctx context.Context, tenant, keyID string) error {
	return s.do(ctx, "marking a key erased", func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			// It waits for the claims that hold the row. Each statement after it sees their links.
			done, err := tx.Exec(ctx, "UPDATE recapito_keys.persons SET wrapped = NULL WHERE tenant = $1 AND key_id = $2", tenant, keyID)
			if err == nil && done.RowsAffected() == 0 {
				return commands.ErrKeyAbsent
			}
			for _, table := range []string{"recipients", "links"} {
				if err == nil {
					_, err = tx.Exec(ctx, "DELETE FROM recapito_keys."+table+" WHERE tenant = $1 AND key_id = $2", tenant, keyID)
				}
			}
			return err
		})
	})
}
