package readmodels

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed schema/*.sql
var schema embed.FS

// ErrChangedMigration: a migration that was applied here reads differently now. The
// binary and the database do not belong together; nothing was changed.
var ErrChangedMigration = errors.New("an applied migration was changed")

// migration is one numbered file of the schema. Its statements can each be repeated
// (IF NOT EXISTS and the like): a migration killed between two of them runs again
// from its first.
type migration struct {
	version    uint32
	name       string
	checksum   string
	statements []string
}

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations (
	version UInt32, name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
) ENGINE = ReplacingMergeTree(applied_at) ORDER BY version`

// Migrate brings the connection's database to the newest schema: forward only, each
// migration once, picking up where a killed one stopped. It may run at every start and
// from several processes. A migration changed since it was applied is
// ErrChangedMigration. Migrations of a newer binary are left alone.
func Migrate(ctx context.Context, conn driver.Conn) error {
	all, err := migrations(schema)
	if err != nil {
		return err
	}
	return migrate(ctx, conn, all)
}

func migrate(ctx context.Context, conn driver.Conn, all []migration) error {
	if err := conn.Exec(ctx, createMigrations); err != nil {
		return fmt.Errorf("creating schema_migrations: %w", err)
	}
	applied, err := appliedMigrations(ctx, conn)
	if err != nil {
		return err
	}
	for _, m := range all {
		if sum, ok := applied[m.version]; ok && sum != m.checksum {
			return fmt.Errorf("migration %04d_%s: %w", m.version, m.name, ErrChangedMigration)
		}
	}
	for _, m := range all {
		if _, ok := applied[m.version]; ok {
			continue
		}
		for i, statement := range m.statements {
			if err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migration %04d_%s, statement %d: %w", m.version, m.name, i+1, err)
			}
		}
		const record = `INSERT INTO schema_migrations (version, name, checksum) SELECT {version:UInt32}, {name:String}, {checksum:String}`
		err := conn.Exec(ctx, record, named("version", m.version), named("name", m.name), named("checksum", m.checksum))
		if err != nil {
			return fmt.Errorf("recording migration %04d_%s: %w", m.version, m.name, err)
		}
	}
	return nil
}

func appliedMigrations(ctx context.Context, conn driver.Conn) (map[uint32]string, error) {
	rows, err := conn.Query(ctx, "SELECT version, checksum FROM schema_migrations FINAL")
	if err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	applied := map[uint32]string{}
	for rows.Next() {
		var version uint32
		var checksum string
		if err := rows.Scan(&version, &checksum); err != nil {
			return nil, fmt.Errorf("reading schema_migrations: %w", err)
		}
		applied[version] = checksum
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", err)
	}
	return applied, nil
}

var migrationFile = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// migrations reads the numbered files, in order. A number given twice is an error.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	slices.Sort(names)
	var all []migration
	for _, name := range names {
		parts := migrationFile.FindStringSubmatch(path.Base(name))
		if parts == nil {
			continue // a projection's table or view
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading migration %s: %w", name, err)
		}
		version, err := strconv.ParseUint(parts[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		if len(all) > 0 && all[len(all)-1].version == uint32(version) {
			return nil, fmt.Errorf("two migrations have the number %04d", version)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{
			version: uint32(version), name: parts[2], checksum: hex.EncodeToString(sum[:]), statements: statements(string(text)),
		})
	}
	return all, nil
}

// statements splits a file of ours: comments are lines of their own, and a statement
// ends with a semicolon at the end of a line.
func statements(text string) []string {
	var all []string
	var current strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "--") {
			continue
		}
		end := strings.HasSuffix(trimmed, ";")
		current.WriteString(strings.TrimSuffix(trimmed, ";"))
		current.WriteByte('\n')
		if end {
			all = append(all, strings.TrimSpace(current.String()))
			current.Reset()
		}
	}
	if rest := strings.TrimSpace(current.String()); rest != "" {
		all = append(all, rest)
	}
	return all
}

// Generation returns the id that this database was given when it was made (Migrate).
func Generation(ctx context.Context, conn driver.Conn) (string, error) {
	var id string
	if err := conn.QueryRow(ctx, "SELECT id FROM generation ORDER BY made_at, id LIMIT 1").Scan(&id); err != nil {
		return "", fmt.Errorf("reading the generation of the read models: %w", err)
	}
	return id, nil
}
