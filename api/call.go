package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/calls"
	"recapito/commands/intake/strictjson"
	"recapito/domain/tenant"
)

// The headers of ours.
const (
	headerTenant    = "Recapito-Tenant"
	headerKey       = "Idempotency-Key"
	headerRequestID = "X-Request-Id"
)

// Call is one request on its way through the middleware: whose it is, and what the log and
// the record contain of it.
type Call struct {
	id           string // made here: what a caller sends could be anything
	Principal    access.Principal
	Tenant       string
	Notification string // the id of the one that it is about
	Target       string // another thing that it is about: a key, a projection, a person
	traceparent  string
	began        time.Time
	place        *calls.Place // in the record; nil: none is needed, or there was none
	code         Code         // of the problem that is returned
	eventful     bool         // an event of its own records it
	recorded     bool
	logged       atomic.Bool // its fault is logged already
}

type callKey struct{}

// CallOf returns the call that a context belongs to.
func CallOf(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// origin is what the events that a call causes say of it.
func (c *Call) origin() commands.Origin {
	return commands.Origin{Tenant: c.Tenant, Actor: c.Principal.Actor, Traceparent: c.traceparent}
}

// traceparents is W3C Trace Context, version 00. Anything else is not taken over into
// events, which keep it for ever.
var traceparents = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// observe is the outermost: it names the call, turns panics into problems, and logs and
// counts what became of it, without bodies, queries or paths.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.Now()
		c := &Call{id: uuid.NewString(), began: began}
		if t := r.Header.Get("Traceparent"); traceparents.MatchString(t) {
			c.traceparent = t
		}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		ww := answer{middleware.NewWrapResponseWriter(w, r.ProtoMajor), c}
		ww.Header().Set(headerRequestID, c.id)
		ww.Header().Set("Cache-Control", "no-store")
		ww.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					s.done(r, c, ww.Status(), s.Now().Sub(began))
					panic(v)
				}
				s.recovered(ww, r, c, v)
			}
			s.done(r, c, ww.Status(), s.Now().Sub(began))
		}()
		next.ServeHTTP(ww, r)
	})
}

// recovered returns a problem after a panic. What was panicked with may hold what was sent, so only
// its type is logged, and the message of the runtime's own errors, which name no values.
func (s *Server) recovered(w middleware.WrapResponseWriter, r *http.Request, c *Call, v any) {
	if r.Context().Err() != nil && w.Status() != 0 {
		return // huma panics when the caller has gone and the answer cannot be written
	}
	attributes := []any{"request", c.id, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack())}
	if err, ok := v.(runtime.Error); ok {
		attributes = append(attributes, "error", err.Error())
	}
	s.Log.Error("http: a handler panicked", attributes...)
	if w.Status() == 0 {
		NewProblem(CodeInternal, "").instance(c.id).Write(w)
	}
}

func (s *Server) done(r *http.Request, c *Call, status int, took time.Duration) {
	route := "none"
	if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePattern() != "" {
		route = rc.RoutePattern()
	}
	if status == 0 {
		status = http.StatusOK
	}
	s.record(r, c, status, took)
	method := methodOf(r)
	s.metrics.observe(method, route, status, took)
	level := slog.LevelInfo
	if route == "/livez" || route == "/readyz" {
		level = slog.LevelDebug
	}
	attributes := []any{"method", method, "route", route, "status", status, "duration", took, "request", c.id}
	if c.Tenant != "" {
		attributes = append(attributes, "tenant", c.Tenant)
	}
	if c.Notification != "" {
		attributes = append(attributes, "notification", c.Notification)
	}
	s.Log.Log(r.Context(), level, "http: request", attributes...)
}

var knownMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// authenticate lets nobody under /v1 without a key, not even to learn which paths are
// there.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !versioned(r) {
			next.ServeHTTP(w, r)
			return
		}
		c := CallOf(r.Context())
		var err error
		key, ok := bearer(r.Header.Values("Authorization"))
		if ok {
			c.Principal, err = s.Access.Authenticate(r.Context(), key)
		}
		if !s.admit(w, r, c) {
			return
		}
		if !ok || errors.Is(err, access.ErrUnknownKey) {
			NewProblem(CodeUnauthorized, "").Write(w)
			return
		}
		if err != nil {
			s.Problem(r.Context(), err, false).Write(w)
			return
		}
		if problem := c.chooseTenant(r.Header.Values(headerTenant)); problem != nil {
			problem.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// callbackPath is where providers report by HTTP. What stands below it is authenticated
// and bounded by its own handler.
const callbackPath = "/v1/callbacks/"

func versioned(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, callbackPath) {
		return false
	}
	return r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/")
}

func bearer(headers []string) (string, bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, key, _ := strings.Cut(headers[0], " ")
	return strings.TrimSpace(key), strings.EqualFold(scheme, "bearer")
}

// chooseTenant settles for which tenant the call is.
func (c *Call) chooseTenant(named []string) *Problem {
	if len(named) > 1 {
		return Invalid(headerTenant, tooMany, "must be given once")
	}
	if !c.Principal.Admin {
		if len(named) == 1 && named[0] != c.Principal.Tenant {
			return NewProblem(CodeForbidden, "the key belongs to another tenant than "+headerTenant+" names")
		}
		c.Tenant = c.Principal.Tenant
		return nil
	}
	c.Tenant = tenant.Default
	if len(named) == 1 {
		if !tenant.ValidName(named[0]) {
			c.Tenant = ""
			return Invalid(headerTenant, strictjson.InvalidValue, "must be 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen")
		}
		c.Tenant = named[0]
	}
	return nil
}

// limit bounds how many requests under /v1 are worked on at a time, and for how long.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !versioned(r) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case s.inFlight <- struct{}{}:
			defer func() { <-s.inFlight }()
		default:
			NewProblem(CodeTooManyRequests, "").Write(w)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout(r))
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Problem returns what the caller gets for an error, and logs, once, what is a fault of
// ours.
func (s *Server) Problem(ctx context.Context, err error, changes bool) *Problem {
	p, fault := problemOf(err, changes)
	if !fault {
		return p
	}
	c := CallOf(ctx)
	if p.Code == CodeInternal {
		p = p.instance(c.id)
	}
	if c.logged.CompareAndSwap(false, true) && !errors.Is(err, context.Canceled) {
		level := slog.LevelWarn
		if p.Code == CodeInternal {
			level = slog.LevelError
		}
		s.Log.Log(ctx, level, "http: a request failed", "request", c.id, "code", string(p.Code), "error", err)
	}
	return p
}
