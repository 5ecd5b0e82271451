package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"recapito/domain/event"
)

// Reconcile compares every number of every table with the event store, telling how far it
// is. The composition root gives it, over projections.Reconciler.
type Reconcile func(ctx context.Context, progress func(done, total uint64)) (Reconciliation, error)

// Reconciliation is what a comparison found.
type Reconciliation struct {
	Events      uint64       `json:"events" doc:"Ledger events that the tables were compared with: those all of them held."`
	Rows        uint64       `json:"rows" doc:"Rows and cells of the tables that were compared."`
	Differences []Difference `json:"differences" doc:"At most 100."`
}

// Difference is a place where a table is not what the events say.
type Difference struct {
	Table string `json:"table"`
	Key   string `json:"key" doc:"Of the row: ids, or a cell."`
	What  string `json:"what" doc:"missing, extra, repeated, or the columns that differ, with their numbers."`
}

// ReconcileLine is a line of the answer: one of the three.
type ReconcileLine struct {
	Progress *ReconcileProgress `json:"progress,omitempty" doc:"How far it is."`
	Result   *Reconciliation    `json:"result,omitempty" doc:"The last line."`
	Problem  *Problem           `json:"problem,omitempty" doc:"The last line, if it could not be ended."`
}

// ReconcileProgress is in events of the ledger, which is read several times.
type ReconcileProgress struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

// reconcileEvery is how often progress is reported, at most.
const reconcileEvery = 500 * time.Millisecond

type streamed struct{ Body func(huma.Context) }

func (s *Server) reconcile() {
	s.allowPath(":reconcile", reconcileTimeout)
	op := huma.Operation{
		OperationID: "reconcile", Method: http.MethodPost, Path: "/v1/projections:reconcile", Tags: administration,
		Summary:     "Compare every number of every read model with the ledger",
		Description: "While the system runs. The answer is streamed, a JSON object a line: how far it is, and at the end what was found.",
	}
	Register(s, op, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*streamed, error) {
		if _, err := adminOnly(ctx); err != nil {
			return nil, err
		}
		if s.Reconcile == nil {
			return nil, event.ErrUnavailable
		}
		select {
		case s.reconciling <- struct{}{}:
		default:
			return nil, NewProblem(CodeTooManyRequests, "the read models are being compared already")
		}
		return &streamed{Body: func(hc huma.Context) {
			defer func() { <-s.reconciling }()
			s.streamReconciliation(hc)
		}}, nil
	})
	schema := s.api.OpenAPI().Components.Schemas
	s.Documented(op).Responses["200"] = &huma.Response{
		Description: "Lines, the last of which has a result or a problem.",
		Content: map[string]*huma.MediaType{"application/jsonl": {
			Schema: schema.Schema(reflect.TypeFor[ReconcileLine](), true, ""),
		}},
	}
}

func (s *Server) streamReconciliation(hc huma.Context) {
	r, w := humachi.Unwrap(hc)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/jsonl")
	lines := json.NewEncoder(w)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	send := func(l ReconcileLine) {
		_ = control.SetWriteDeadline(s.Now().Add(WriteTimeout))
		if lines.Encode(l) != nil || control.Flush() != nil {
			cancel() // nobody reads it any more
		}
	}
	send(ReconcileLine{Progress: &ReconcileProgress{}})
	last := s.Now()
	found, err := s.Reconcile(ctx, func(done, total uint64) {
		if s.Now().Sub(last) >= reconcileEvery {
			last = s.Now()
			send(ReconcileLine{Progress: &ReconcileProgress{done, total}})
		}
	})
	if err != nil {
		send(ReconcileLine{Problem: s.Problem(ctx, err, false)})
		return
	}
	if found.Differences == nil {
		found.Differences = []Difference{}
	}
	send(ReconcileLine{Result: &found})
}
