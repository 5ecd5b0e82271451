package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"recapito/commands"
)

// row reads one row of bytes; none is commands.ErrKeyAbsent.
func (s *Store) row(ctx context.Context, query string, args ...any) (wrapped []byte, err error) {
	err = s.pool.QueryRow(ctx, query, args...).Scan(&wrapped)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, commands.ErrKeyAbsent
	}
	return wrapped, err
}

// standing returns the row there is, or makes it: rows of these tables never change.
func (s *Store) standing(ctx context.Context, read, insert string, key any, candidate []byte) ([]byte, error) {
	wrapped, err := s.row(ctx, read, key)
	if !errors.Is(err, commands.ErrKeyAbsent) {
		return wrapped, err
	}
	// It waits for others who are making the same row, and then makes none.
	if _, err := s.pool.Exec(ctx, insert, key, candidate); err != nil {
		return nil, err
	}
	return s.row(ctx, read, key)
}

const readTenant = "SELECT wrapped FROM recapito_keys.tenants WHERE tenant = $1"

// TenantKey implements commands.KeyStore.
func (s *Store) TenantKey(ctx context.Context, tenant string) (wrapped []byte, err error) {
	err = s.do(ctx, "reading a tenant's key", func(ctx context.Context) error {
		wrapped, err = s.row(ctx, readTenant, tenant)
		return err
	})
	return wrapped, err
}

// CreateTenantKey implements commands.KeyStore.
func (s *Store) CreateTenantKey(ctx context.Context, tenant string, key []byte) (standing []byte, err error) {
	err = s.do(ctx, "making a tenant's key", func(ctx context.Context) error {
		standing, err = s.standing(ctx, readTenant,
			"INSERT INTO recapito_keys.tenants (tenant, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING", tenant, key)
		return err
	})
	return standing, err
}

// Secret implements commands.KeyStore.
func (s *Store) Secret(ctx context.Context, name string, candidate []byte) (standing []byte, err error) {
	err = s.do(ctx, "reading a secret", func(ctx context.Context) error {
		standing, err = s.standing(ctx, "SELECT wrapped FROM recapito_keys.secrets WHERE name = $1",
			"INSERT INTO recapito_keys.secrets (name, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, candidate)
		return err
	})
	return standing, err
}

// CreateRouteKey implements commands.KeyStore.
func (s *Store) CreateRouteKey(ctx context.Context, key commands.RouteKey) (standing commands.RouteKey, err error) {
	standing = commands.RouteKey{ID: key.ID, Route: key.Route}
	err = s.do(ctx, "making a route's key", func(ctx context.Context) error {
		if _, err := s.pool.Exec(ctx, "INSERT INTO recapito_keys.routes (route, id, wrapped, expires_unix) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			key.Route, key.ID, key.Wrapped, key.ExpiresUnix); err != nil {
			return err
		}
		return s.pool.QueryRow(ctx, "SELECT wrapped, expires_unix FROM recapito_keys.routes WHERE route = $1 AND id = $2",
			key.Route, key.ID).Scan(&standing.Wrapped, &standing.ExpiresUnix)
	})
	if err != nil {
		return commands.RouteKey{}, err
	}
	return standing, nil
}

// RouteKeys implements commands.KeyStore.
func (s *Store) RouteKeys(ctx context.Context, route string, nowUnix int64) (keys []commands.RouteKey, err error) {
	err = s.do(ctx, "reading a route's keys", func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `SELECT id, route, wrapped, expires_unix FROM recapito_keys.routes
			WHERE route = $1 AND expires_unix > $2 ORDER BY expires_unix DESC, id COLLATE "C" DESC`, route, nowUnix)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[commands.RouteKey])
		return err
	})
	return keys, err
}
