package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/tenant"
)

// adminOnly refuses a tenant's key.
func adminOnly(ctx context.Context) (*Call, error) {
	c := CallOf(ctx)
	if !c.Principal.Admin {
		return nil, NewProblem(CodeForbidden, "this needs the local admin key")
	}
	return c, nil
}

// adminOf refuses a tenant's key, and reports a part that this server does not have.
func adminOf(ctx context.Context, there bool) error {
	if _, err := adminOnly(ctx); err != nil {
		return err
	}
	if !there {
		return event.ErrUnavailable
	}
	return nil
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
	return keyBody{ID: k.ID, Tenant: tenantName, Label: k.Label, CreatedAt: k.CreatedAt.UTC(), RevokedAt: Instant(k.RevokedAt)}
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

func (s *Server) keys() {
	Register(s, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Tags: administration, DefaultStatus: http.StatusCreated,
		Summary: "Make an API key of the tenant", Errors: []int{http.StatusConflict},
	}, &Body{Schema: reflect.TypeFor[keyRequest](), Limit: MaxBodyBytes, Optional: true}, s.createKey)
	Register(s, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: administration,
		Summary: "The tenant's API keys, without the keys themselves",
	}, nil, s.listKeys)
	Register(s, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{id}", Tags: administration,
		Summary: "Revoke an API key of the tenant", Errors: []int{http.StatusNotFound},
	}, nil, s.revokeKey)
}

func (s *Server) createKey(ctx context.Context, _ *struct{}, data []byte) (*createdKeyOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	label := ""
	if len(data) > 0 {
		o, err := strictjson.Parse(data)
		if err != nil {
			return nil, err
		}
		o.Only("label")
		label = o.Text("label")
		if err := o.Err(); err != nil {
			return nil, err
		}
	}
	created, err := s.Access.Create(ctx, c.origin(), c.Tenant, label)
	if err != nil {
		return nil, err
	}
	c.Target, c.eventful = created.ID, true
	return &createdKeyOutput{Body: createdKeyBody{
		ID: created.ID, Tenant: c.Tenant, Label: created.Label, CreatedAt: created.CreatedAt.UTC(), Key: created.Text,
	}}, nil
}

func (s *Server) listKeys(ctx context.Context, _ *struct{}, _ []byte) (*keysOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.Access.List(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	out := keysBody{Keys: []keyBody{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, keyView(c.Tenant, k))
	}
	return &keysOutput{Body: out}, nil
}

func (s *Server) revokeKey(ctx context.Context, in *keyInput, _ []byte) (*keyOutput, error) {
	c, err := adminOnly(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.Access.Revoke(ctx, c.origin(), c.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	c.Target, c.eventful = k.ID, k.Now
	return &keyOutput{Body: keyView(c.Tenant, k.Key)}, nil
}
