package sealing

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"recapito/commands"
	"recapito/domain/receipt"
)

const (
	// RouteKeyPeriod is how long a route's key makes tokens before the next one does.
	RouteKeyPeriod = 7 * 24 * time.Hour
	// OrphanWindow is how long after its last use a route key still finds the attempt
	// that an orphan receipt may belong to. After it the tokens mean nothing any more.
	OrphanWindow = receipt.Window
	// tokenBytes of an HMAC are plenty to tell destinations of one route apart.
	tokenBytes = 16
)

// ErrRouteKeyExpired: a token was asked for a time whose key has expired.
var ErrRouteKeyExpired = errors.New("route key expired")

type routeKey struct {
	id      string
	raw     []byte
	expires time.Time
}

// DestinationToken returns the token of a destination under the key that the route
// has at that time, made if need be. The destination is normalised
// by the caller.
func (s *Sealing) DestinationToken(ctx context.Context, route, destination string, at time.Time) (receipt.Token, error) {
	id, _ := routeKeyID(route, at)
	keys, err := s.routeKeys(ctx, route, at)
	if err != nil {
		return receipt.Token{}, fmt.Errorf("destination token: %w", err)
	}
	for _, k := range keys {
		if k.id == id {
			return k.token(route, destination), nil
		}
	}
	return receipt.Token{}, fmt.Errorf("destination token: %w", ErrRouteKeyExpired)
}

// DestinationTokens returns the token of a destination under every key of the route
// that has not expired, neither then nor now, newest first: what a receipt is looked
// up by.
func (s *Sealing) DestinationTokens(ctx context.Context, route, destination string, at time.Time) ([]receipt.Token, error) {
	keys, err := s.routeKeys(ctx, route, at)
	if err != nil {
		return nil, fmt.Errorf("destination tokens: %w", err)
	}
	var tokens []receipt.Token
	for _, k := range keys {
		if at.Before(k.expires) {
			tokens = append(tokens, k.token(route, destination))
		}
	}
	return tokens, nil
}

func (k routeKey) token(route, destination string) receipt.Token {
	hash := keyedHash(k.raw, "destination", route, destination)[:tokenBytes]
	return receipt.Token{Key: k.id, Token: base64.RawURLEncoding.EncodeToString(hash)}
}

// routeKeyID names the key of the period that at lies in by route and period, so that
// all instances make the same one.
func routeKeyID(route string, at time.Time) (id string, expires time.Time) {
	begin := at.UTC().Truncate(RouteKeyPeriod)
	return route + "/" + begin.Format("20060102"), begin.Add(RouteKeyPeriod + OrphanWindow)
}

// routeKeys returns the keys that have not expired, the one of at's period among them:
// if what is held lacks it, it is made (unless it has expired: no key is made again)
// and all are read anew, so that no key that another instance made before is missed.
func (s *Sealing) routeKeys(ctx context.Context, route string, at time.Time) ([]routeKey, error) {
	id, expires := routeKeyID(route, at)
	asked := s.now()
	read := func() ([]routeKey, error) { return s.readRouteKeys(ctx, route, asked) }
	keys, err := s.routes.get(route, read)
	if err != nil || !asked.Before(expires) || slices.ContainsFunc(keys, func(k routeKey) bool { return k.id == id }) {
		return keys, err
	}
	candidate := commands.RouteKey{ID: id, Route: route, ExpiresUnix: expires.Unix(),
		Wrapped: wrap(s.master.routes, newKey(), routePlace(route, id))}
	if _, err := s.store.CreateRouteKey(ctx, candidate); err != nil {
		return nil, fmt.Errorf("making a route key: %w", err)
	}
	if keys, err = read(); err != nil {
		return nil, err
	}
	s.routes.put(route, keys, asked)
	return keys, nil
}

func (s *Sealing) readRouteKeys(ctx context.Context, route string, now time.Time) ([]routeKey, error) {
	stored, err := s.store.RouteKeys(ctx, route, now.Unix())
	if err != nil {
		return nil, fmt.Errorf("route keys: %w", err)
	}
	keys := make([]routeKey, len(stored))
	for i, k := range stored {
		if keys[i], err = s.openRouteKey(k); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (s *Sealing) openRouteKey(k commands.RouteKey) (routeKey, error) {
	raw, err := unwrap(s.master.routes, k.Wrapped, routePlace(k.Route, k.ID))
	if err != nil {
		return routeKey{}, fmt.Errorf("route key: %w", err)
	}
	return routeKey{id: k.ID, raw: raw, expires: time.Unix(k.ExpiresUnix, 0)}, nil
}
