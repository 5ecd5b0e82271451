package reports

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api"
	"recapito/api/reports/export"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

type metricsInput struct {
	ReportParameters
	DimensionFilters
	From string `query:"from" doc:"Values of what was then or later (RFC 3339, the beginning of an hour; of a day in UTC for what is counted by day). No values if left out."`
	To   string `query:"to" doc:"Values of what was before then; until now if left out."`
}

type metricsBody struct {
	Metrics []readmodels.MetricValue `json:"metrics"`
}

func (s *service) metrics() {
	registerReport(s, huma.Operation{
		OperationID: "list-metrics", Method: http.MethodGet, Path: "/v1/reports/metrics",
		Summary:     "The catalogue of metrics: what is divided by what, by which time, and the query",
		Description: "With a period, each with its value in it. Metrics of notifications have none where a dimension of attempts is given, such as channel, operator or country.",
		Parameters:  filterParameters(readmodels.RollupDimensions()),
	}, nil, metricsBody{}, s.reportMetrics)
}

// reportMetrics returns the catalogue, and the values in a period if one is given. Tests
// are left out, as its queries do, unless they are asked for.
func (s *service) reportMetrics(ctx context.Context, in *metricsInput, _ []byte) (*asked, error) {
	var ps parameters
	format := in.format(&ps)
	from, to := ps.period(in.From, in.To)
	from, to = ps.fullHour("from", from), ps.fullHour("to", to)
	if in.From == "" && in.To != "" {
		ps.add("from", strictjson.MissingField, "is required where to is given")
	}
	where := in.where(&ps, readmodels.RollupDimensions(), nil)
	if where["test"] == nil {
		where["test"] = []string{"false"}
	}
	cut, err := s.asOf(ctx, &ps, in.AsOf)
	if problem := ps.problem(); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	q := readmodels.CountQuery{Tenant: api.CallOf(ctx).Tenant, From: from, To: to, Where: where, AsOf: seqOf(cut)}
	values := func(ctx context.Context) ([]readmodels.MetricValue, error) {
		if from.IsZero() {
			return readmodels.Catalogue(), nil
		}
		return s.metricValues(ctx, q)
	}
	query := map[string]any{}
	for d, v := range where {
		query[d] = v
	}
	addPeriod(query, from, to)
	return &asked{
		format: format, after: in.After, reads: []string{readmodels.RollupsTable.Projection, readmodels.AccountingTable.Projection},
		manifest: export.Manifest{Report: "metrics", Query: query, Cut: cut, AsOf: ps.asOf(in.AsOf)},
		columns:  readmodels.ColumnsOf[readmodels.MetricValue](),
		page: func(ctx context.Context) (any, error) {
			all, err := values(ctx)
			return metricsBody{all}, err
		},
		each: func(ctx context.Context, row func([]any) error) error {
			all, err := values(ctx)
			if err != nil {
				return err
			}
			var cells []any
			for _, v := range all {
				cells = readmodels.ValuesOf(cells[:0], v)
				if err := row(cells); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// metricValues asks for what the values are made from.
func (s *service) metricValues(ctx context.Context, q readmodels.CountQuery) ([]readmodels.MetricValue, error) {
	sums := readmodels.MetricSums{Narrowed: slices.ContainsFunc(readmodels.RollupDimensions(), func(d readmodels.Dimension) bool {
		return d.OfAttempt && q.Where[d.Name] != nil
	})}
	var err error
	if sums.Event, err = s.measured(ctx, q, readmodels.ByEvent, "measure", "bucket"); err != nil {
		return nil, err
	}
	if sums.Request, err = s.measured(ctx, q, readmodels.ByRequest, "measure"); err != nil {
		return nil, err
	}
	if midnight(q.From) && (q.To.IsZero() || midnight(q.To)) {
		lines, err := s.Reports.Accounting(ctx, q)
		if err != nil {
			return nil, err
		}
		sums.Days = &readmodels.AccountingSums{}
		for _, l := range lines {
			sums.Days.Add(1, l.AccountingSums)
		}
	}
	return sums.Values(), nil
}

// measured are the rollups by hour.
func (s *service) measured(ctx context.Context, q readmodels.CountQuery, basis string, by ...string) ([]readmodels.RollupLine, error) {
	where := map[string][]string{"grain": {readmodels.Hour}, "basis": {basis}}
	for d, v := range q.Where {
		where[d] = v
	}
	q.Where, q.GroupBy = where, by
	return s.Reports.Rollups(ctx, q)
}

func midnight(t time.Time) bool { return t.Equal(t.UTC().Truncate(24 * time.Hour)) }

// fullHour: the values of metrics are counted by hours.
func (ps *parameters) fullHour(field string, t time.Time) time.Time {
	if !t.IsZero() && !t.Equal(t.UTC().Truncate(time.Hour)) {
		ps.add(field, strictjson.InvalidValue, "must be the beginning of an hour in UTC")
	}
	return t
}
