package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/intake"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

// Intake accepts requests. Implemented by commands/intake.
type Intake interface {
	Submit(ctx context.Context, o commands.Origin, key string, r intake.Request) (intake.Accepted, error)
}

// Notifications reads and cancels notifications. Implemented by commands.Notifications.
type Notifications interface {
	Get(ctx context.Context, tenant, id string) (commands.Loaded[notification.State], error)
	Cancel(ctx context.Context, o commands.Origin, id, reason string) (commands.Cancelled, error)
	History(ctx context.Context, tenant, id string, from event.Revision, limit int) ([]commands.HistoryEntry, error)
}

// Access knows callers and keeps keys. Implemented by access.Access.
type Access interface {
	Authenticate(ctx context.Context, key string) (access.Principal, error)
	Create(ctx context.Context, o commands.Origin, tenant, label string) (access.Created, error)
	List(ctx context.Context, tenant string) ([]tenant.Key, error)
	Revoke(ctx context.Context, o commands.Origin, tenant, keyID string) (access.Revoked, error)
}

// Options of New. Notifications, Access, Calls and Scenarios are required; without
// Projections or Reconcile their paths return 503.
type Options struct {
	// Ledger is what a resource of its own aggregate makes its handler on.
	Ledger        *commands.Ledger
	Intake        Intake
	Notifications Notifications
	Access        Access
	Calls         Calls
	Scenarios     commands.Scenarios
	Projections   Projections
	Reconcile     Reconcile
	Aside         Aside
	Checks        []Check // for /readyz
	// Callbacks are the handlers of the routes whose providers report by HTTP, by route.
	// Each authenticates its caller itself.
	Callbacks map[string]http.Handler
	Resources []Resource // more than those of this package, such as reports

	Version string                // shown in /openapi.json
	Log     *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: none
	Now     func() time.Time      // nil: time.Now

	MaxInFlight int // requests under /v1 at a time; 0: DefaultMaxInFlight
}

// Server is what resources are added to.
type Server struct {
	Options
	router   *chi.Mux
	api      huma.API
	inFlight chan struct{}
	// reconciling is held by the one comparison under way.
	reconciling chan struct{}
	allowed     []func(r *http.Request) time.Duration
	// operations are the ids of those under /v1, by method and path.
	operations map[string]string
	metrics    *metrics
	health     *health
}

// New returns the handler of everything that is served over HTTP.
func New(o Options) http.Handler { return newServer(o).router }

func newServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ledger == nil { // the operations are only described
		o.Ledger = &commands.Ledger{CacheSize: -1}
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	takeOverErrors()
	s := &Server{
		Options: o, router: chi.NewMux(), inFlight: make(chan struct{}, o.MaxInFlight), reconciling: make(chan struct{}, 1), operations: map[string]string{},
		metrics: newMetrics(o.Metrics), health: newHealth(o.Checks, o.Log, o.Now),
	}
	s.router.Use(s.observe, s.authenticate, s.limit, middleware.GetHead)
	s.router.NotFound(func(w http.ResponseWriter, _ *http.Request) { NewProblem(CodeNotFound, "").Write(w) })
	s.router.MethodNotAllowed(s.methodNotAllowed)

	s.api = humachi.New(s.router, humaConfig(o.Version))
	for _, add := range append(resources, o.Resources...) {
		add(s)
	}
	s.docs()
	for route, handler := range o.Callbacks {
		s.router.Handle(callbackPath+route, handler)
	}
	return s
}

func humaConfig(version string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "recapito", Version: version,
				Description: "An event-sourced notification ledger. Errors are problem+json (RFC 9457) with a stable `code`.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key."},
				},
			},
			Tags: []*huma.Tag{
				{Name: "notifications", Description: "Ask for notifications, follow and stop them."},
				{Name: "reports", Description: "What read models hold: behind the ledger by a moment."},
				{Name: "administration", Description: "With the local admin key only."},
				{Name: "health", Description: "For load balancers and operators; no key."},
			},
		},
		// Bodies are read by strictjson, more strictly than by huma.
		Formats: map[string]huma.Format{
			"application/json": huma.DefaultJSONFormat,
			"json":             huma.DefaultJSONFormat, // of application/problem+json
		},
		DefaultFormat: "application/json",
	}
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		looked := m
		if m == http.MethodHead {
			looked = http.MethodGet
		}
		if s.router.Match(chi.NewRouteContext(), looked, r.URL.Path) {
			w.Header().Add("Allow", m)
		}
	}
	NewProblem(CodeMethod, "").Write(w)
}
