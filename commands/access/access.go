// Package access knows who a caller is by their API key. A tenant's keys are events of
// the tenant (domain/tenant); the text of a key is shown once, when it is made, and
// only its SHA-256 is stored. The local admin key is no event: it is made anew at each
// start, given to New, and belongs to no tenant.
//
// Every process keeps an index of all keys in memory, fed by a subscription to the
// tenants' streams (Run). Promises: no key is accepted before the index has caught up;
// once Create or Revoke has returned, this process knows of it at once, and the others
// as soon as the event reaches them. A revoked key never opens again, in whatever order
// its events come.
package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"recapito/commands"
	"recapito/commands/aside"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/commands/retry"
	"recapito/domain/audit"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

const (
	// MaxLabelLength of a key, in bytes.
	MaxLabelLength = 64
	// maxIDTries bounds how often a new key gets another id because its own was taken.
	maxIDTries = 5
)

// ErrUnknownKey: the key opens nothing. The error does not show whether it ever did.
var ErrUnknownKey = errors.New("the key is not known")

// Principal is who a key lets in.
type Principal struct {
	Tenant string // empty for the admin key, which names one with each call
	KeyID  string
	Actor  string // as events name it
	Admin  bool
}

// AdminActor is the actor of what is done with the local admin key.
const AdminActor = audit.LocalActor

// Options of New.
type Options struct {
	AdminKey string       // as NewKey makes it; empty: there is none
	Log      *slog.Logger // nil: slog.Default()
	Aside    *aside.List  // nil: what cannot be read is an error
}

// Access is safe for concurrent use.
type Access struct {
	ledger  *commands.Ledger
	handler *commands.Handler[tenant.State, tenant.Command, tenant.Event]
	index   *index
	admin   *digest
	log     *slog.Logger
	aside   *aside.Consumer

	ready chan struct{}         // closed when the index has caught up for the first time
	lost  atomic.Pointer[error] // why the subscription is not live now
}

// New returns an Access. Until Run has caught up, only the admin key is accepted.
func New(l *commands.Ledger, o Options) *Access {
	a := &Access{
		ledger: l, handler: commands.NewHandler(l, tenant.Decider), index: newIndex(),
		log: o.Log, ready: make(chan struct{}),
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if o.Aside != nil {
		a.aside = o.Aside.Of("keys", a.take)
	}
	if o.AdminKey != "" {
		d := digestOf(o.AdminKey)
		a.admin = &d
	}
	return a
}

// Authenticate returns the key's owner. Errors: ErrUnknownKey; event.ErrUnavailable
// while the index has not caught up yet.
func (a *Access) Authenticate(_ context.Context, key string) (Principal, error) {
	if !wellFormed(key) {
		return Principal{}, ErrUnknownKey
	}
	d := digestOf(key)
	if a.admin != nil && subtle.ConstantTimeCompare(d[:], a.admin[:]) == 1 {
		return Principal{Actor: AdminActor, Admin: true}, nil
	}
	// Looked up by hash: what the time it takes may leak is about the hash, from which
	// there is no way to a key.
	if h, ok := a.index.find(d); ok {
		return Principal{Tenant: h.tenant, KeyID: h.id, Actor: audit.KeyActorPrefix + h.id}, nil
	}
	select {
	case <-a.ready:
		return Principal{}, ErrUnknownKey
	default:
		return Principal{}, fmt.Errorf("%w: the keys are still being read", event.ErrUnavailable)
	}
}

// Created is a new key. Key is shown this once.
type Created struct {
	tenant.Key
	Text string
}

// Create makes a key of a tenant. Errors: *strictjson.Invalid, tenant.ErrTooManyKeys.
func (a *Access) Create(ctx context.Context, o commands.Origin, tenantName, label string) (Created, error) {
	if err := checkTenant(tenantName); err != nil {
		return Created{}, err
	}
	if wrong := intake.CheckClear("label", label, MaxLabelLength); len(wrong) > 0 {
		return Created{}, &strictjson.Invalid{Problems: wrong}
	}
	o.Tenant = tenantName
	key := NewKey()
	c := tenant.CreateKey{Hash: digestOf(key).String(), Label: label, At: a.ledger.Now()}
	for range maxIDTries {
		c.KeyID = newKeyID()
		res, err := a.handler.Handle(ctx, o, tenant.Stream(tenantName), c)
		if err != nil {
			return Created{}, fmt.Errorf("creating a key: %w", err)
		}
		if len(res.Events) == 0 { // another key has this id
			continue
		}
		for _, e := range res.Events {
			if err := a.index.apply(tenantName, e); err != nil {
				return Created{}, err
			}
		}
		return Created{Key: res.State.Keys[c.KeyID], Text: key}, nil
	}
	return Created{}, fmt.Errorf("creating a key: no free id in %d tries", maxIDTries)
}

// List returns a tenant's keys, revoked ones too, in the order they were made.
func (a *Access) List(ctx context.Context, tenantName string) ([]tenant.Key, error) {
	if err := checkTenant(tenantName); err != nil {
		return nil, err
	}
	l, err := a.handler.Load(ctx, tenant.Stream(tenantName))
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	keys := make([]tenant.Key, 0, len(l.State.Keys))
	for _, k := range l.State.Keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y tenant.Key) int {
		if c := x.CreatedAt.Compare(y.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return keys, nil
}

// Revoked is a key that opens nothing any more.
type Revoked struct {
	tenant.Key
	Now bool // false: it had been revoked before
}

// Revoke ends a key; ending it again changes nothing. Errors: tenant.ErrNoKey.
func (a *Access) Revoke(ctx context.Context, o commands.Origin, tenantName, keyID string) (Revoked, error) {
	if err := checkTenant(tenantName); err != nil {
		return Revoked{}, err
	}
	o.Tenant = tenantName
	res, err := a.handler.Handle(ctx, o, tenant.Stream(tenantName), tenant.RevokeKey{KeyID: keyID, At: a.ledger.Now()})
	if err != nil {
		return Revoked{}, fmt.Errorf("revoking a key: %w", err)
	}
	k := res.State.Keys[keyID]
	// Also if another process had revoked it and this one has not heard of it yet.
	return Revoked{k, len(res.Events) > 0}, a.index.apply(tenantName, tenant.KeyRevoked{KeyID: k.ID, Hash: k.Hash, At: k.RevokedAt})
}

func checkTenant(name string) error {
	if tenant.ValidName(name) {
		return nil
	}
	return &strictjson.Invalid{Problems: []strictjson.Problem{{
		Field: "tenant", Code: "invalid_value",
		Message: "must be 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen",
	}}}
}

// Ready is closed when every key there was has been read.
func (a *Access) Ready() <-chan struct{} { return a.ready }

// Healthy returns nil while the index follows the tenants' streams.
func (a *Access) Healthy() error {
	select {
	case <-a.ready:
	default:
		return fmt.Errorf("%w: the keys are still being read", event.ErrUnavailable)
	}
	if err := a.lost.Load(); err != nil {
		return fmt.Errorf("%w: the keys are not being followed: %w", event.ErrUnavailable, *err)
	}
	return nil
}

// following is how often a lost subscription is taken up again.
var following = retry.Policy{Most: 5 * time.Second}

// Run feeds the index until ctx ends. A lost subscription is taken up again where it
// stood; meanwhile the keys known so far still open.
func (a *Access) Run(ctx context.Context) {
	var last *event.Position
	log := retry.NewLog(a.log, "access: following the keys")
	_ = following.Keep(ctx, log, func(ctx context.Context, working func()) error {
		err := a.ledger.Store.Subscribe(ctx,
			event.Subscription{After: last, Filter: event.Filter{StreamPrefixes: []string{tenant.StreamPrefix}}},
			event.Handler{
				Event: func(r event.Recorded) error {
					if err := a.aside.Take(ctx, r, func() error { return a.take(ctx, r) }); err != nil {
						return err
					}
					last = &r.Position
					return nil
				},
				CaughtUp: func(event.Position) error {
					a.lost.Store(nil)
					working()
					select {
					case <-a.ready:
					default:
						close(a.ready)
					}
					return nil
				},
			})
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			err = errors.New("the subscription ended")
		}
		a.lost.Store(&err)
		return err
	})
}

// take applies one stored event of a tenant.
func (a *Access) take(ctx context.Context, r event.Recorded) error {
	name := strings.TrimPrefix(r.Stream, tenant.StreamPrefix)
	decoded, err := a.ledger.Codec.Decode(ctx, nil, name, r)
	if errors.Is(err, event.ErrUnknownType) {
		return nil // of a newer release, and no event of a key
	}
	if err != nil {
		return fmt.Errorf("reading a tenant's events: %w", err)
	}
	e, ok := decoded.(tenant.Event)
	if !ok {
		return nil
	}
	if err := a.index.apply(name, e); err != nil {
		return event.NotRead(r, "it holds no SHA-256 of a key")
	}
	return nil
}
