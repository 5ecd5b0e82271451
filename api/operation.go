package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
)

// Body is the body that an operation takes. Schema is for the documentation: bodies are
// read by strictjson.
type Body struct {
	Schema   reflect.Type
	Limit    int64 // in bytes
	Optional bool
}

type bodyKey struct{}

// Register adds an operation. Its handler gets the body as it came; its errors become
// problems.
func Register[I, O any](s *Server, op huma.Operation, spec *Body, handle func(ctx context.Context, in *I, body []byte) (*O, error)) {
	op.SkipValidateParams = true // huma's refusals repeat the value; the handlers check
	if strings.HasPrefix(op.Path, "/v1/") {
		s.operations[op.Method+" "+op.Path] = op.OperationID
		op.Security = []map[string][]string{{"key": {}}}
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: headerTenant, In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "With the local admin key: the tenant, `default` if left out.",
		})
		op.Errors = append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable}, op.Errors...)
	}
	if spec != nil {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	op.Middlewares = append(op.Middlewares, checkHeaders, checkQuery)
	if spec != nil {
		op.Middlewares = append(op.Middlewares, spec.read)
	}
	changes := op.Method != http.MethodGet
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		data, _ := ctx.Value(bodyKey{}).([]byte)
		out, err := handle(ctx, in, data)
		if err != nil {
			p := s.Problem(ctx, err, changes)
			CallOf(ctx).code, err = p.Code, p
		}
		if op.Metadata[recordedFirstKey] != nil {
			if unrecorded := s.recordFirst(ctx, op, CallOf(ctx), err); unrecorded != nil {
				return nil, s.Problem(ctx, errors.Join(event.ErrUnavailable, unrecorded), changes)
			}
		}
		if err != nil {
			return nil, err
		}
		return out, nil
	})
	if spec != nil { // only now: huma would read a body that it knows of
		schema := s.api.OpenAPI().Components.Schemas.Schema(spec.Schema, true, "")
		s.Documented(op).RequestBody = &huma.RequestBody{
			Required: !spec.Optional,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
}

// Documented returns an operation as /openapi.json shows it.
func (s *Server) Documented(op huma.Operation) *huma.Operation {
	item := s.api.OpenAPI().Paths[op.Path]
	switch op.Method {
	case http.MethodPost:
		return item.Post
	case http.MethodDelete:
		return item.Delete
	default:
		return item.Get
	}
}

// checkHeaders refuses a header parameter that is empty or given twice.
func checkHeaders(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	for _, p := range ctx.Operation().Parameters {
		given := r.Header.Values(p.Name)
		switch {
		case p.In != "header" || p.Name == headerTenant || len(given) == 0: // the tenant is checked with the key
		case len(given) > 1:
			Invalid(p.Name, tooMany, "must be given once").Write(w)
			return
		case given[0] == "" || !utf8.ValidString(given[0]):
			Invalid(p.Name, strictjson.InvalidValue, "must not be empty, and be UTF-8").Write(w)
			return
		}
	}
	next(ctx)
}

// checkQuery refuses query parameters that are not known, given twice, or too long.
func checkQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	if r.URL.RawQuery == "" {
		next(ctx)
		return
	}
	var known []string
	for _, p := range ctx.Operation().Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		Invalid("query", strictjson.InvalidValue, "is not a query string").Write(w)
		return
	}
	var wrong []FieldProblem
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			place := "query"
			if strictjson.MemberName.MatchString(name) {
				place = name
			}
			wrong = append(wrong, FieldProblem{place, "unknown_parameter", "is no parameter of this path"})
		case len(given) > 1:
			wrong = append(wrong, FieldProblem{name, tooMany, "must be given once"})
		case len(given[0]) > maxParameterLength:
			wrong = append(wrong, FieldProblem{name, tooLong, fmt.Sprintf("must have at most %d bytes", maxParameterLength)})
		}
	}
	if len(wrong) > 0 {
		SortProblems(wrong)
		NewProblem(CodeInvalid, "", wrong[:min(len(wrong), strictjson.MaxProblems)]...).Write(w)
		return
	}
	next(ctx)
}

// read takes the body, up to its limit.
func (b Body) read(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, b.Limit))
	if err != nil {
		var tooLong *http.MaxBytesError
		var slow net.Error
		switch {
		case errors.As(err, &tooLong):
			NewProblem(CodeTooLarge, fmt.Sprintf("the limit is %d bytes", b.Limit)).Write(w)
		case errors.As(err, &slow) && slow.Timeout():
			NewProblem(CodeBodyTimeout, "").Write(w)
		default:
			NewProblem(CodeBadJSON, "the body ended early").Write(w)
		}
		return
	}
	if len(data) == 0 && b.Optional {
		next(ctx)
		return
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	encoding := r.Header.Get("Content-Encoding")
	if err != nil || kind != "application/json" || (encoding != "" && encoding != "identity") {
		NewProblem(CodeUnsupportedMedia, "").Write(w)
		return
	}
	next(huma.WithValue(ctx, bodyKey{}, data))
}
