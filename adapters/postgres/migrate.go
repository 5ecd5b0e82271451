package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"recapito/commands"
)

// schema holds one file a version, in order: 0001 makes version 1. A file that was
// released is never changed.
//
//go:embed schema/*.sql
var schema embed.FS

// migrationLock is the advisory lock of who changes the schema.
const migrationLock = 0x72656361706b6579 // "recapkey"

var errNewer = errors.New("its schema is of a newer version of this program")

// migrate refuses a server that loses commits, and applies what the schema lacks.
func (s *Store) migrate(ctx context.Context) error {
	var fsync string
	if err := s.pool.QueryRow(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return fmt.Errorf("%w: %w", commands.ErrKeysUnavailable, err)
	}
	if fsync != "on" {
		return errors.New("the server runs without fsync: a crash of its machine would lose keys")
	}
	files, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Who may use the schema need not be allowed to make one.
		var made bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass('recapito_keys.version') IS NOT NULL").Scan(&made); err != nil {
			return err
		}
		version := 0
		if made {
			if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM recapito_keys.version").Scan(&version); err != nil {
				return err
			}
		}
		if version == len(files) {
			return nil
		}
		if version > len(files) {
			return errNewer
		}
		return upgrade(ctx, tx, files)
	})
}

// upgrade applies the versions that are missing, one instance at a time.
func upgrade(ctx context.Context, tx pgx.Tx, files []string) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS recapito_keys;
		CREATE TABLE IF NOT EXISTS recapito_keys.version (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	version := 0 // again: another instance may have been faster
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM recapito_keys.version").Scan(&version); err != nil {
		return err
	}
	for n := version + 1; n <= len(files); n++ {
		text, err := schema.ReadFile(files[n-1])
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(text)); err != nil {
			return fmt.Errorf("version %d: %w", n, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO recapito_keys.version (version) VALUES ($1)", n); err != nil {
			return err
		}
	}
	return nil
}
