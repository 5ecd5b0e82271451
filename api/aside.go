package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/commands/aside"
	"recapito/domain/notification"
)

// Aside lists the stored events that consumers could not take. Implemented by
// commands/aside.
type Aside interface {
	Entries(ctx context.Context) ([]aside.Entry, error)
	Retry(ctx context.Context, id string) error
}

type asideBody struct {
	SetAside []asideEntry `json:"set_aside" doc:"By consumer, the oldest first; the newest 1,000 of each."`
}

type asideEntry struct {
	ID       string    `json:"id" doc:"Names the entry." example:"delivery@1042"`
	Consumer string    `json:"consumer" doc:"What could not take it: delivery, matcher, deadlines, keys or projection-<name>."`
	Stream   string    `json:"stream"`
	Revision uint64    `json:"revision"`
	Position uint64    `json:"position"`
	Type     string    `json:"type"`
	Why      string    `json:"why" doc:"Without anything of the event."`
	At       time.Time `json:"at" doc:"When it was set aside."`
}

type asideOutput struct{ Body asideBody }

type asideInput struct {
	ID string `path:"id" doc:"The entry's id."`
}

func (s *Server) setAside() {
	Register(s, huma.Operation{
		OperationID: "list-set-aside", Method: http.MethodGet, Path: "/v1/set-aside", Tags: administration,
		Summary: "Stored events that a part of the ledger could not take, and went on without",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*asideOutput, error) {
		if err := s.mayTakeUp(ctx); err != nil {
			return nil, err
		}
		entries, err := s.Aside.Entries(ctx)
		if err != nil {
			return nil, err
		}
		out := &asideOutput{Body: asideBody{SetAside: []asideEntry{}}}
		for _, e := range entries {
			out.Body.SetAside = append(out.Body.SetAside, asideEntry{
				ID: e.ID(), Consumer: e.Consumer, Stream: e.Stream, Revision: uint64(e.Revision), Position: uint64(e.Position), Type: e.Type, Why: e.Why, At: e.At.UTC(),
			})
		}
		return out, nil
	})
	Register(s, huma.Operation{
		OperationID: "retry-set-aside", Method: http.MethodPost, Path: "/v1/set-aside/{id}:retry", Tags: administration,
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound, http.StatusConflict},
		Summary: "Have the event taken again, after what was wrong with this program was mended",
	}, nil, func(ctx context.Context, in *asideInput, _ []byte) (*struct{}, error) {
		if err := s.mayTakeUp(ctx); err != nil {
			return nil, err
		}
		err := s.Aside.Retry(ctx, in.ID)
		switch {
		case errors.Is(err, aside.ErrNoEntry):
			return nil, notification.ErrAbsent
		case errors.Is(err, aside.ErrNoRetry), errors.Is(err, aside.ErrStillNot):
			return nil, NewProblem(CodeUnreadable, err.Error())
		}
		return nil, err
	})
}

func (s *Server) mayTakeUp(ctx context.Context) error { return adminOf(ctx, s.Aside != nil) }
