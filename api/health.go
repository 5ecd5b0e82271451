package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Check asks one engine how it is.
type Check struct {
	Name string
	// Required: without it nothing can be accepted, so the instance is not ready. Else
	// it is degraded: what is accepted waits in the ledger for the engine.
	Required bool
	// Probe returns how the engine is: a detail for operators, who need no key to see
	// it (no addresses, no credentials), and an error, which is only logged, if it does
	// not answer. It should end when ctx does.
	Probe func(ctx context.Context) (detail string, err error)
}

const (
	probeTimeout = 2 * time.Second
	// probeEvery bounds how often engines are asked, however often /readyz is.
	probeEvery = time.Second
)

// The states of the instance and of an engine.
const (
	stateReady    = "ready"
	stateDegraded = "degraded"
	stateNotReady = "not_ready"

	engineUp   = "up"
	engineDown = "down"
)

type readyBody struct {
	Status  string                `json:"status" doc:"ready, degraded (requests are accepted and wait for an engine) or not_ready" enum:"ready,degraded,not_ready"`
	Engines map[string]engineBody `json:"engines"`
}

type engineBody struct {
	State  string `json:"state" enum:"up,down"`
	Detail string `json:"detail"`
}

// health asks the engines, and remembers the answer for a moment.
type health struct {
	checks []Check
	log    *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	asked time.Time
	last  readyBody
}

func newHealth(checks []Check, log *slog.Logger, now func() time.Time) *health {
	return &health{checks: checks, log: log, now: now}
}

func (h *health) ready(ctx context.Context) readyBody {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() && h.now().Sub(h.asked) < probeEvery {
		return h.last
	}
	// One caller who goes away must not make the answer of all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	found := make([]engineBody, len(h.checks))
	var probes sync.WaitGroup
	for i, c := range h.checks {
		probes.Go(func() { found[i] = h.probe(ctx, c) })
	}
	probes.Wait()
	now := readyBody{Status: stateReady, Engines: map[string]engineBody{}}
	for i, c := range h.checks {
		now.Engines[c.Name] = found[i]
		switch {
		case found[i].State == engineUp:
		case c.Required:
			now.Status = stateNotReady
		case now.Status == stateReady:
			now.Status = stateDegraded
		}
	}
	h.asked, h.last = h.now(), now
	return now
}

func (h *health) probe(ctx context.Context, c Check) engineBody {
	type answer struct {
		detail string
		err    error
	}
	answers := make(chan answer, 1)
	go func() { // ends when its probe does, also after its answer is not waited for
		detail, err := c.Probe(ctx)
		answers <- answer{detail, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		a = answer{"does not respond", ctx.Err()}
	}
	was, known := h.last.Engines[c.Name]
	if a.err == nil {
		if known && was.State == engineDown {
			h.log.Info("health: an engine is up again", "engine", c.Name)
		}
		return engineBody{engineUp, a.detail}
	}
	if !known || was.State == engineUp {
		h.log.Warn("health: an engine is down", "engine", c.Name, "error", a.err)
	}
	if a.detail == "" {
		a.detail = "does not respond"
	}
	return engineBody{engineDown, a.detail}
}

type liveOutput struct{ Body liveBody }

type liveBody struct {
	Status string `json:"status"`
}

type readyOutput struct {
	Status int
	Body   readyBody
}

func (s *Server) healthRoutes() {
	tags := []string{"health"}
	Register(s, huma.Operation{
		OperationID: "livez", Method: http.MethodGet, Path: "/livez", Tags: tags, Summary: "The process is alive",
	}, nil, func(context.Context, *struct{}, []byte) (*liveOutput, error) {
		return &liveOutput{Body: liveBody{Status: "alive"}}, nil
	})
	Register(s, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: tags,
		Summary: "Requests can be accepted", Description: "200 if ready or degraded, 503 if not; both with the state of each engine.",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*readyOutput, error) {
		out := &readyOutput{Status: http.StatusOK, Body: s.health.ready(ctx)}
		if out.Body.Status == stateNotReady {
			out.Status = http.StatusServiceUnavailable
		}
		return out, nil
	})
}
