package reports

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"recapito/api"
	"recapito/api/reports/export"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/readmodels"
)

// Reports are the queries over the read models. Implemented by the composition root over
// readmodels and projections. Queries with an AsOf are of the past that Resolve returned.
type Reports interface {
	// EDRs returns a page, and EachEDR hands over every row of it and all that follow.
	EDRs(ctx context.Context, q readmodels.EDRQuery) (readmodels.EDRPage, error)
	EachEDR(ctx context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error
	// Notifications returns those of the ids that are there, at most MaxEDRLimit of them,
	// as they are, or were before a seq.
	Notifications(ctx context.Context, tenant string, ids []string, asOf *uint64) (map[string]readmodels.Notification, error)
	// Unattempted are a person's notifications of which nothing was scheduled: no row is
	// of them.
	Unattempted(ctx context.Context, tenant, person string, from, to time.Time, asOf *uint64) ([]readmodels.Notification, error)
	// EventsBefore counts the events that a notification had before a seq.
	EventsBefore(ctx context.Context, tenant, id string, cut uint64) (int, error)
	Accounting(ctx context.Context, q readmodels.CountQuery) ([]readmodels.AccountingLine, error)
	Rollups(ctx context.Context, q readmodels.CountQuery) ([]readmodels.RollupLine, error)
	// Resolve returns the place in the order of events that a time of the past means, for
	// ever the same. *NoPast if it means none.
	Resolve(ctx context.Context, asOf time.Time) (export.Cut, error)
}

// NoPast: a time is in the future, or before the ledger's first mark.
type NoPast struct {
	First time.Time // of the first mark; zero: the time is in the future
}

func (e *NoPast) Error() string {
	if e.First.IsZero() {
		return "must not be in the future"
	}
	return "must not be before " + e.First.UTC().Format(time.RFC3339Nano) + ", the first time of which the ledger can tell what was known"
}

// asked is a report that was asked for: its manifest and its rows.
type asked struct {
	format   string
	after    string   // a position that must be in what it reads
	reads    []string // projections: every one that page or each looks into
	manifest export.Manifest
	columns  []readmodels.Column
	// page returns it as JSON; each hands over every row, however many.
	page func(ctx context.Context) (any, error)
	each func(ctx context.Context, row func(values []any) error) error
}

// ReportParameters are the parameters of every report.
type ReportParameters struct {
	Accept string `header:"Accept" doc:"application/json, text/csv, application/jsonl or application/vnd.apache.parquet."`
	Format string `query:"format" doc:"Instead of Accept. csv, jsonl and parquet give every row, as a file." enum:"json,csv,jsonl,parquet"`
	AsOf   string `query:"as_of" doc:"What was known at this time (RFC 3339): the same for ever."`
	After  string `query:"after" doc:"The position of a 202: the answer holds everything up to it."`
}

// reportOutput is written by report.
type reportOutput struct {
	Body func(huma.Context)
}

// registerReport adds an operation that returns a page as JSON, or a file.
func registerReport[I any](s *service, op huma.Operation, spec *api.Body, page any, handle func(ctx context.Context, in *I, body []byte) (*asked, error)) {
	op.Tags = []string{"reports"}
	api.Register(s.server, op, spec, func(ctx context.Context, in *I, body []byte) (*reportOutput, error) {
		if s.Reports == nil {
			return nil, event.ErrUnavailable
		}
		a, err := handle(ctx, in, body)
		if err != nil {
			return nil, err
		}
		if err := s.fresh(ctx, a.after, a.reads...); err != nil {
			return nil, err
		}
		a.manifest.Tenant, a.manifest.Version, a.manifest.Began = api.CallOf(ctx).Tenant, s.server.Version, s.server.Now().UTC()
		if f, ok := fileFormat(a.format); ok {
			return &reportOutput{Body: func(hc huma.Context) { s.writeFile(hc, f, a) }}, nil
		}
		answer, err := a.page(ctx)
		if err != nil {
			return nil, reportProblem(err)
		}
		return &reportOutput{Body: func(hc huma.Context) {
			_, w := humachi.Unwrap(hc)
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // a caller that has gone needs no answer
		}}, nil
	})
	s.describeReport(op, page)
}

// reportProblem separates what a caller can mend from read models that fail.
func reportProblem(err error) error {
	var p *api.Problem
	var behind *readmodels.Behind
	switch {
	case errors.As(err, &p):
		return err
	case errors.As(err, &behind):
		return api.NewProblem(api.CodeBehind, behind.Error())
	case errors.Is(err, readmodels.ErrBadCursor):
		return api.Invalid("cursor", strictjson.InvalidValue, "must be the next of a page with the same filters")
	case errors.Is(err, readmodels.ErrTooManyLines):
		return api.Invalid("group_by", strictjson.InvalidValue, "gives more lines than one answer holds: group by less, or narrow the period")
	}
	return errors.Join(event.ErrUnavailable, err)
}

// asOf resolves a parameter to a cut; nil if it was not given.
func (s *service) asOf(ctx context.Context, ps *parameters, value string) (*export.Cut, error) {
	at := ps.at("as_of", value)
	if at.IsZero() || len(ps.wrong) > 0 {
		return nil, nil
	}
	cut, err := s.Reports.Resolve(ctx, at)
	var none *NoPast
	if errors.As(err, &none) {
		return nil, api.Invalid("as_of", strictjson.InvalidValue, none.Error())
	}
	if err != nil {
		return nil, err
	}
	return &cut, nil
}

// seqOf is a cut as queries take it.
func seqOf(cut *export.Cut) *uint64 {
	if cut == nil {
		return nil
	}
	return &cut.Seq
}

// format is what the answer must be: the parameter, else the header.
func (in *ReportParameters) format(ps *parameters) string {
	if in.Format != "" {
		return ps.one("format", in.Format, "json", export.CSV.Name, export.JSONL.Name, export.Parquet.Name)
	}
	return formatOf(in.Accept)
}

// formatOf returns the file that a header Accept names, if it names one.
func formatOf(accept string) string {
	for _, f := range export.Formats() {
		for part := range strings.SplitSeq(accept, ",") {
			if kind, _, _ := strings.Cut(part, ";"); strings.TrimSpace(kind) == f.MediaType {
				return f.Name
			}
		}
	}
	return ""
}

func fileFormat(name string) (export.Format, bool) {
	for _, f := range export.Formats() {
		if f.Name == name {
			return f, true
		}
	}
	return export.Format{}, false
}

// wantsFile reports whether a request asks for a file, which may take long.
func wantsFile(r *http.Request) bool {
	name := r.URL.Query().Get("format")
	if name == "" {
		name = formatOf(r.Header.Get("Accept"))
	}
	_, ok := fileFormat(name)
	return ok
}
