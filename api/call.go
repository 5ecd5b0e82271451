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
	"recapito/domain/tenant"
)

// The headers of ours.
const (
	headerTenant    = "Recapito-Tenant"
	headerKey       = "Idempotency-Key"
	headerRequestID = "X-Request-Id"
)

// call is one request on its way through the middleware: who it is from, and what the
// log says of it.
type call struct {
	id           string // made here: what a caller sends could be anything
	principal    access.Principal
	tenant       string
	notification string
	target       string // another thing that it is about: a key, a projection
	traceparent  string
	began        time.Time
	place        *calls.Place // in the record; nil: none is needed, or there was none
	code         Code         // of the problem it is answered with
	told         bool         // an event of its own tells of it
	recorded     bool
	logged       atomic.Bool // its fault is logged already
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// origin is what the events that a call causes say of it.
func (c *call) origin() commands.Origin {
	return commands.Origin{Tenant: c.tenant, Actor: c.principal.Actor, Traceparent: c.traceparent}
}

// traceparents is W3C Trace Context, version 00. Anything else is not taken over into
// events, which keep it for ever.
var traceparents = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// observe is the outermost: it names the call, turns panics into problems, and logs and
// counts what became of it, without bodies, queries or paths.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.Now()
		c := &call{id: uuid.NewString(), began: began}
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

// recovered answers for a panic. What was panicked with may hold what was sent, so only
// its type is logged, and the message of the runtime's own errors, which name no values.
func (s *server) recovered(w middleware.WrapResponseWriter, r *http.Request, c *call, v any) {
	if r.Context().Err() != nil && w.Status() != 0 {
		return // huma panics when the caller has gone and the answer cannot be written
	}
	attributes := []any{"request", c.id, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack())}
	if err, ok := v.(runtime.Error); ok {
		attributes = append(attributes, "error", err.Error())
	}
	s.Log.Error("http: a handler panicked", attributes...)
	if w.Status() == 0 {
		newProblem(CodeInternal, "").instance(c.id).write(w)
	}
}

func (s *server) done(r *http.Request, c *call, status int, took time.Duration) {
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
	if c.tenant != "" {
		attributes = append(attributes, "tenant", c.tenant)
	}
	if c.notification != "" {
		attributes = append(attributes, "notification", c.notification)
	}
	s.Log.Log(r.Context(), level, "http: request", attributes...)
}

var knownMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// authenticate lets nobody under /v1 without a key, not even to learn which paths are
// there.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !versioned(r) {
			next.ServeHTTP(w, r)
			return
		}
		c := callOf(r.Context())
		var err error
		key, ok := bearer(r.Header.Values("Authorization"))
		if ok {
			c.principal, err = s.Access.Authenticate(r.Context(), key)
		}
		if !s.admit(w, r, c) {
			return
		}
		if !ok || errors.Is(err, access.ErrUnknownKey) {
			newProblem(CodeUnauthorized, "").write(w)
			return
		}
		if err != nil {
			s.problem(r.Context(), err, false).write(w)
			return
		}
		if problem := c.chooseTenant(r.Header.Values(headerTenant)); problem != nil {
			problem.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func versioned(r *http.Request) bool {
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
func (c *call) chooseTenant(named []string) *Problem {
	if len(named) > 1 {
		return invalid(headerTenant, tooMany, "must be given once")
	}
	if !c.principal.Admin {
		if len(named) == 1 && named[0] != c.principal.Tenant {
			return newProblem(CodeForbidden, "the key belongs to another tenant than "+headerTenant+" names")
		}
		c.tenant = c.principal.Tenant
		return nil
	}
	c.tenant = tenant.Default
	if len(named) == 1 {
		if !tenant.ValidName(named[0]) {
			c.tenant = ""
			return invalid(headerTenant, invalidValue, "must be 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen")
		}
		c.tenant = named[0]
	}
	return nil
}

// limit bounds how many requests under /v1 are worked on at a time, and for how long.
func (s *server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !versioned(r) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case s.inFlight <- struct{}{}:
			defer func() { <-s.inFlight }()
		default:
			newProblem(CodeTooManyRequests, "").write(w)
			return
		}
		timeout := requestTimeout
		if strings.HasSuffix(r.URL.Path, ":batch") {
			timeout = batchTimeout
		}
		if wantsFile(r) {
			timeout = fileTimeout
		}
		if strings.HasSuffix(r.URL.Path, ":reconcile") {
			timeout = reconcileTimeout
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// problem answers what the caller is told of an error, and logs, once, what is a fault
// of ours.
func (s *server) problem(ctx context.Context, err error, changes bool) *Problem {
	p, fault := problemOf(err, changes)
	if !fault {
		return p
	}
	c := callOf(ctx)
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
