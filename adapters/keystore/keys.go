package keystore

import (
	"context"
	"fmt"
	"slices"

	"recapito/commands"
)

// wrapped is the record of a tenant's key or a secret.
type wrapped struct {
	Wrapped []byte `json:"wrapped"`
}

// routeRecord is a route's key.
type routeRecord struct {
	ID          string `json:"id"`
	Wrapped     []byte `json:"wrapped"`
	ExpiresUnix int64  `json:"expires_unix"`
}

func (r routeRecord) key(route string) commands.RouteKey {
	return commands.RouteKey{ID: r.ID, Route: route, Wrapped: r.Wrapped, ExpiresUnix: r.ExpiresUnix}
}

// TenantKey implements commands.KeyStore.
func (s *Store) TenantKey(ctx context.Context, tenant string) ([]byte, error) {
	r, found, err := read[wrapped](ctx, s, recordKey(kindTenant, tenant))
	if err == nil && !found {
		err = commands.ErrKeyAbsent
	}
	return r.Wrapped, err
}

// CreateTenantKey implements commands.KeyStore.
func (s *Store) CreateTenantKey(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	r, err := create(ctx, s, recordKey(kindTenant, tenant), wrapped{key})
	return r.Wrapped, err
}

// Secret implements commands.KeyStore.
func (s *Store) Secret(ctx context.Context, name string, candidate []byte) ([]byte, error) {
	r, err := create(ctx, s, recordKey(kindSecret, name), wrapped{candidate})
	return r.Wrapped, err
}

// CreateRouteKey implements commands.KeyStore.
func (s *Store) CreateRouteKey(ctx context.Context, key commands.RouteKey) (commands.RouteKey, error) {
	r, err := create(ctx, s, recordKey(kindRoute, key.Route, key.ID),
		routeRecord{ID: key.ID, Wrapped: key.Wrapped, ExpiresUnix: key.ExpiresUnix})
	if err != nil {
		return commands.RouteKey{}, err
	}
	return r.key(key.Route), nil
}

// RouteKeys implements commands.KeyStore.
func (s *Store) RouteKeys(ctx context.Context, route string, nowUnix int64) ([]commands.RouteKey, error) {
	found, err := s.routeRecordKeys(ctx, route)
	if err != nil {
		return nil, err
	}
	var keys []commands.RouteKey
	for _, k := range found {
		// Read again under its lock: the walk may have met one not yet synced.
		r, ok, err := read[routeRecord](ctx, s, k)
		if err != nil {
			return nil, err
		}
		if ok && r.ExpiresUnix > nowUnix {
			keys = append(keys, r.key(route))
		}
	}
	slices.SortFunc(keys, func(a, b commands.RouteKey) int {
		if a.ExpiresUnix != b.ExpiresUnix {
			return int(max(-1, min(1, b.ExpiresUnix-a.ExpiresUnix)))
		}
		return slices.Compare([]byte(b.ID), []byte(a.ID))
	})
	return keys, nil
}

// routeRecordKeys walks the keys of a route's records: one a week.
func (s *Store) routeRecordKeys(ctx context.Context, route string) (keys [][]byte, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = s.walk(ctx, recordKey(kindRoute, route, ""), func(key, _ []byte) (bool, error) {
		keys = append(keys, slices.Clone(key))
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading route keys: %w", err)
	}
	return keys, nil
}
