package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"recapito/commands/calls"
	"recapito/domain/audit"
)

// Calls keeps a record of calls. Implemented by calls.Recorder.
type Calls interface {
	Admit(ctx context.Context, known bool) (*calls.Place, error)
}

// RecordedFirst, as the Metadata of an operation, makes its calls durable in the ledger's
// record before they return: for what looks up a person.
var RecordedFirst = map[string]any{recordedFirstKey: true}

const recordedFirstKey = "recorded-first"

// admit takes a place in the record for a call under /v1 before anything is done for it;
// without one it is refused here.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, c *Call) bool {
	known := c.Principal.Actor != ""
	place, err := s.Calls.Admit(r.Context(), known)
	switch {
	case err == nil:
		c.place = place
		return true
	case known:
		s.Problem(r.Context(), err, false).Write(w)
	default: // strangers must not fill the log either
		NewProblem(CodeTooManyRequests, "").Write(w)
	}
	return false
}

// record ends the place that a call took: what no event records is recorded here.
func (s *Server) record(r *http.Request, c *Call, status int, took time.Duration) {
	switch {
	case c.place == nil || c.recorded:
	case c.eventful && status < http.StatusBadRequest:
		c.place.Release()
	default:
		c.place.Record(c.of(), s.auditCall(r, c, status, took))
	}
}

// recordFirst makes a call durable before it returns.
func (s *Server) recordFirst(ctx context.Context, op huma.Operation, c *Call, err error) error {
	if c.place == nil || c.recorded {
		return nil
	}
	status := max(op.DefaultStatus, http.StatusOK)
	if p, is := err.(huma.StatusError); is { //nolint:errorlint // as register made it
		status = p.GetStatus()
	}
	entry := s.entry(c, status, s.Now().Sub(c.began))
	entry.Operation, entry.Method, entry.Path = op.OperationID, op.Method, op.Path
	c.recorded = true
	return c.place.RecordFirst(ctx, c.of(), entry)
}

// of is the tenant in whose record a call stands; empty if nobody knows.
func (c *Call) of() string {
	if c.Tenant == "" {
		return c.Principal.Tenant
	}
	return c.Tenant
}

func (s *Server) auditCall(r *http.Request, c *Call, status int, took time.Duration) audit.Call {
	entry := s.entry(c, status, took)
	entry.Method, entry.Path = methodOf(r), s.template(r)
	looked := entry.Method
	if looked == http.MethodHead {
		looked = http.MethodGet
	}
	entry.Operation = s.operations[looked+" "+entry.Path]
	if entry.Operation == "" {
		entry.Path = ""
	}
	return entry
}

func (s *Server) entry(c *Call, status int, took time.Duration) audit.Call {
	return audit.Call{
		ID: c.id, At: c.began.UTC(), Actor: c.Principal.Actor, Status: status, Code: string(c.code),
		Notification: c.Notification, Target: c.Target, Traceparent: c.traceparent, Millis: took.Milliseconds(),
	}
}

// template returns the pattern of the path, also of a call that was not routed.
func (s *Server) template(r *http.Request) string {
	if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePattern() != "" {
		return rc.RoutePattern()
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return s.router.Find(chi.NewRouteContext(), method, r.URL.Path)
}

func methodOf(r *http.Request) string {
	if slices.Contains(knownMethods, r.Method) {
		return r.Method
	}
	return "other"
}

// answer is a response whose problem, if it is one, is noted for the record.
type answer struct {
	middleware.WrapResponseWriter
	call *Call
}

// Flush lets what is streamed go out.
func (a answer) Flush() { _ = http.NewResponseController(a.WrapResponseWriter).Flush() }

func (a answer) note(c Code) { a.call.code = c }
