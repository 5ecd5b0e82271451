package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/domain/notification"
)

// Projections rebuilds read models. The composition root implements it over
// projections.Projections.
type Projections interface {
	// Rebuild begins to fill a new table next to the live one; one under way goes on.
	// Not known if there is no such projection.
	Rebuild(ctx context.Context, name string) (known bool, err error)
	Projection(ctx context.Context, name string) (p Projection, known bool)
	// RebuildAll begins to rebuild every one, reading the ledger once.
	RebuildAll(ctx context.Context) error
	// Projections returns all of them.
	Projections(ctx context.Context) []Projection
}

// Projection is how far a projection is, or its rebuild if one is under way.
type Projection struct {
	Name   string `json:"name"`
	State  string `json:"state" doc:"standby, starting, catching_up, live, retrying or rebuilding"`
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

func (s *Server) projections() {
	Register(s, huma.Operation{
		OperationID: "rebuild-projection", Method: http.MethodPost, Path: "/v1/projections/{name}:rebuild", Tags: administration,
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound},
		Summary: "Build a read model anew next to the live one, and swap them when it is complete",
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
	Register(s, huma.Operation{
		OperationID: "get-projection", Method: http.MethodGet, Path: "/v1/projections/{name}", Tags: administration,
		Summary: "How far a read model, or its rebuild, is", Errors: []int{http.StatusNotFound},
	}, nil, func(ctx context.Context, in *projectionInput, _ []byte) (*projectionOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		return s.projection(ctx, in.Name)
	})
	Register(s, huma.Operation{
		OperationID: "rebuild-projections", Method: http.MethodPost, Path: "/v1/projections:rebuild", Tags: administration,
		DefaultStatus: http.StatusAccepted,
		Summary:       "Build every read model anew next to the live ones, reading the ledger once",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*projectionsOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		if err := s.Projections.RebuildAll(ctx); err != nil {
			return nil, err
		}
		return &projectionsOutput{Body: projectionsBody{s.Projections.Projections(ctx)}}, nil
	})
	Register(s, huma.Operation{
		OperationID: "list-projections", Method: http.MethodGet, Path: "/v1/projections", Tags: administration,
		Summary: "How far the read models, or their rebuilds, are, and until when they are complete",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*projectionsOutput, error) {
		if err := s.mayRebuild(ctx); err != nil {
			return nil, err
		}
		return &projectionsOutput{Body: projectionsBody{s.Projections.Projections(ctx)}}, nil
	})
}

func (s *Server) mayRebuild(ctx context.Context) error { return adminOf(ctx, s.Projections != nil) }

func (s *Server) projection(ctx context.Context, name string) (*projectionOutput, error) {
	p, known := s.Projections.Projection(ctx, name)
	if !known {
		return nil, notification.ErrAbsent
	}
	CallOf(ctx).Target = name
	return &projectionOutput{Body: p}, nil
}
