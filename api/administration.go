package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

// adminOnly refuses a tenant's key.
func adminOnly(ctx context.Context) (*call, error) {
	c := callOf(ctx)
	if !c.principal.Admin {
		return nil, newProblem(CodeForbidden, "this needs the local admin key")
	}
	return c, nil
}

var administration = []string{"administration"}

type keyBody struct {
	ID        string     `json:"id"`
	Tenant    string     `json:"tenant"`
	Label     string     `json:"label,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

func keyView(tenantName string, k tenant.Key) keyBody {
	return keyBody{ID: k.ID, Tenant: tenantName, Label: k.Label, CreatedAt: k.CreatedAt.UTC(), RevokedAt: instant(k.RevokedAt)}
}

// keyRequest documents the body of a new key.
type keyRequest struct {
	Label string `json:"label,omitempty" doc:"What the key is for. Stored in clear." maxLength:"64"`
}

type createdKeyBody struct {
	ID        string    `json:"id"`
	Tenant    string    `json:"tenant"`
	Label     string    `json:"label,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Key       string    `json:"key" doc:"The key itself, shown this once."`
}

type createdKeyOutput struct{ Body createdKeyBody }

type keysOutput struct{ Body keysBody }

type keysBody struct {
	Keys []keyBody `json:"keys"`
}

type keyOutput struct{ Body keyBody }

type keyInput struct {
	ID string `path:"id" doc:"The key's id."`
}

func (s *server) keys() {
	register(s, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Tags: administration, DefaultStatus: http.StatusCreated,
		Summary: "Make an API key of the tenant", Errors: []int{http.StatusConflict},
	}, &bodySpec{schema: reflect.TypeFor[keyRequest](), limit: MaxBodyBytes, optional: true}, s.createKey)
	register(s, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: administration,
		Summary: "The tenant's API keys, without the keys themselves",
	}, nil, s.listKeys)
	register(s, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{id}", Tags: administration,
		Summary: "Revoke an API key of the tenant", Errors: []int{http.StatusNotFound},
	}, nil, s.revokeKey)
}

func (s *server) createKey(ctx context.Context, _ *struct{}, data []byte) (*createdKeyOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	label := ""
	if len(data) > 0 {
		o, problem := body(data)
		if problem != nil {
			return nil, problem
		}
		o.only("label")
		label = o.text("label")
		if problem := o.problem(); problem != nil {
			return nil, problem
		}
	}
	created, err := s.Access.Create(ctx, c.origin(), c.tenant, label)
	if err != nil {
		return nil, err
	}
	c.target, c.told = created.ID, true
	return &createdKeyOutput{Body: createdKeyBody{
		ID: created.ID, Tenant: c.tenant, Label: created.Label, CreatedAt: created.CreatedAt.UTC(), Key: created.Text,
	}}, nil
}

func (s *server) listKeys(ctx context.Context, _ *struct{}, _ []byte) (*keysOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.Access.List(ctx, c.tenant)
	if err != nil {
		return nil, err
	}
	out := keysBody{Keys: []keyBody{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, keyView(c.tenant, k))
	}
	return &keysOutput{Body: out}, nil
}

func (s *server) revokeKey(ctx context.Context, in *keyInput, _ []byte) (*keyOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.Access.Revoke(ctx, c.origin(), c.tenant, in.ID)
	if err != nil {
		return nil, err
	}
	c.target, c.told = k.ID, k.Now
	return &keyOutput{Body: keyView(c.tenant, k.Key)}, nil
}

// Projections rebuilds read models. The composition root implements it over
// projections.Projections.
type Projections interface {
	// Rebuild begins to fill a new table beside the live one; one under way goes on.
	// Not known if there is no such projection.
	Rebuild(ctx context.Context, name string) (known bool, err error)
	Projection(ctx context.Context, name string) (p Projection, known bool)
	// RebuildAll begins to rebuild every one, in one pass over the ledger.
	RebuildAll(ctx context.Context) error
	// Projections answers all of them.
	Projections(ctx context.Context) []Projection
}

// Projection is how far a projection is, or its rebuild if one is under way.
type Projection struct {
	Name   string `json:"name"`
	State  string `json:"state" doc:"standby, starting, catching_up, live, retrying, stopped or rebuilding"`
	Done   uint64 `json:"done" doc:"Ledger events in the table, or in the one being built."`
	Total  uint64 `json:"total" doc:"Ledger events there are; grows while the system runs."`
	Rate   uint64 `json:"rate,omitempty" doc:"Ledger events a second that go into the table being built."`
	Left   uint64 `json:"left_seconds,omitempty" doc:"How long the rebuild will take at this rate, in seconds."`
	Behind int64  `json:"behind" doc:"Ledger events that are not in the table yet, as far as this instance knows."`
	LagMs  int64  `json:"lag_ms" doc:"How long ago the event store took the oldest of those, in milliseconds."`
	// CompleteUntil is that of the table that is shown, also while another is built.
	CompleteUntil *time.Time `json:"complete_until,omitempty" doc:"Every ledger event recorded before then is in the table; looked at every 10 s."`
	Error         string     `json:"error,omitempty"`
}

type projectionsBody struct {
	Projections []Projection `json:"projections"`
}

type projectionsOutput struct{ Body projectionsBody }

type projectionInput struct {
	Name string `path:"name" doc:"The projection, such as edr."`
}

type projectionOutput struct{ Body Projection }

func (s *server) projections() {
	register(s, huma.Operation{
		OperationID: "rebuild-projection", Method: http.MethodPost, Path: "/v1/projections/{name}:rebuild", Tags: administration,
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound},
		Summary: "Build a read model anew beside the live one, and swap them when it is whole",
	}, nil, func(ctx context.Context, in *projectionInput, _ []byte) (*projectionOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		known, err := s.Projections.Rebuild(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, notification.ErrAbsent
		}
		return s.projection(ctx, in.Name)
	})
	register(s, huma.Operation{
		OperationID: "get-projection", Method: http.MethodGet, Path: "/v1/projections/{name}", Tags: administration,
		Summary: "How far a read model, or its rebuild, is", Errors: []int{http.StatusNotFound},
	}, nil, func(ctx context.Context, in *projectionInput, _ []byte) (*projectionOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		return s.projection(ctx, in.Name)
	})
	register(s, huma.Operation{
		OperationID: "rebuild-projections", Method: http.MethodPost, Path: "/v1/projections:rebuild", Tags: administration,
		DefaultStatus: http.StatusAccepted,
		Summary:       "Build every read model anew beside the live ones, in one pass over the ledger",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*projectionsOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		if err := s.Projections.RebuildAll(ctx); err != nil {
			return nil, err
		}
		return &projectionsOutput{Body: projectionsBody{s.Projections.Projections(ctx)}}, nil
	})
	register(s, huma.Operation{
		OperationID: "list-projections", Method: http.MethodGet, Path: "/v1/projections", Tags: administration,
		Summary: "How far the read models, or their rebuilds, are, and until when they are complete",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*projectionsOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		return &projectionsOutput{Body: projectionsBody{s.Projections.Projections(ctx)}}, nil
	})
}

func (s *server) mayRebuild(ctx context.Context) error {
	if _, err := adminOnly(ctx); err != nil {
		return err
	}
	if s.Projections == nil {
		return event.ErrUnavailable
	}
	return nil
}

func (s *server) projection(ctx context.Context, name string) (*projectionOutput, error) {
	p, known := s.Projections.Projection(ctx, name)
	if !known {
		return nil, notification.ErrAbsent
	}
	callOf(ctx).target = name
	return &projectionOutput{Body: p}, nil
}
