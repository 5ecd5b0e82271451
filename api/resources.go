package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Resource adds its operations to a server.
type Resource func(*Server)

// resources are those of this package, one line each; Options.Resources has the others.
var resources = []Resource{
	(*Server).notifications,
	(*Server).scenarios,
	(*Server).keys,
	(*Server).projections,
	(*Server).reconcile,
	(*Server).setAside,
	(*Server).healthRoutes,
}

// Allow gives requests more time than others: as much as longer returns, if it is not 0.
func (s *Server) Allow(longer func(r *http.Request) time.Duration) {
	s.allowed = append(s.allowed, longer)
}

func (s *Server) timeout(r *http.Request) time.Duration {
	for _, longer := range s.allowed {
		if t := longer(r); t > 0 {
			return t
		}
	}
	return requestTimeout
}

// allowPath gives the paths that end so more time.
func (s *Server) allowPath(suffix string, timeout time.Duration) {
	s.Allow(func(r *http.Request) time.Duration {
		if strings.HasSuffix(r.URL.Path, suffix) {
			return timeout
		}
		return 0
	})
}

// OpenAPI is the description of every operation that was added so far.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

// Operation is where an operation is served, and the status of a call that succeeded.
type Operation struct {
	Method, Path string
	Status       int
}

// Operations are the operations of this package's resources, by id.
func Operations() map[string]Operation {
	all := map[string]Operation{}
	for path, item := range newServer(Options{}).OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodDelete: item.Delete} {
			if op != nil {
				all[op.OperationID] = Operation{method, path, max(op.DefaultStatus, http.StatusOK)}
			}
		}
	}
	return all
}
