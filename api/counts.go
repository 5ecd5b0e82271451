package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api/export"
	"recapito/readmodels"
)

// CountParameters narrow counts by what all of them have.
type CountParameters struct {
	Channel  string `query:"channel"`
	Scenario string `query:"scenario"`
	Brand    string `query:"brand"`
	Segment  string `query:"segment"`
	Campaign string `query:"campaign"`
	Operator string `query:"operator"`
	Country  string `query:"country"`
	Test     string `query:"test" enum:"true,false"`
}

type accountingInput struct {
	ReportParameters
	CountParameters
	Month   string `query:"month" doc:"yyyy-mm: days of it, in UTC. Instead of from and to."`
	From    string `query:"from" doc:"Attempts of this day (RFC 3339) and later."`
	To      string `query:"to" doc:"Attempts of days before this time."`
	GroupBy string `query:"group_by" doc:"Names separated by commas; channel,status if left out: day or month, channel, scenario, brand, segment, campaign, route, operator, country, test, status."`
	Route   string `query:"route"`
	Status  string `query:"status"`
}

type accountingBody struct {
	Rows []readmodels.AccountingLine `json:"rows" doc:"One a group. Dimensions that are not grouped by are left out."`
}

type rollupsInput struct {
	ReportParameters
	CountParameters
	Grain   string `query:"grain" doc:"hour if left out." enum:"minute,hour,day"`
	Basis   string `query:"basis" doc:"event: by when it occurred (if left out); request: attempts requested then, by the status they have." enum:"event,request"`
	From    string `query:"from" doc:"From then on (RFC 3339); required."`
	To      string `query:"to" doc:"Before then; until now if left out."`
	GroupBy string `query:"group_by" doc:"Names separated by commas; start,measure if left out: start, measure, detail, bucket, channel, scenario, brand, segment, campaign, operator, country, test."`
	Measure string `query:"measure" doc:"Names separated by commas: requested, sent, delivered, …"`
}

type rollupsBody struct {
	Rows []readmodels.RollupLine `json:"rows" doc:"One a group. Dimensions that are not grouped by are left out."`
}

func (s *server) counts() {
	registerReport(s, huma.Operation{
		OperationID: "report-accounting", Method: http.MethodGet, Path: "/v1/reports/accounting",
		Summary:     "Messages and units, billable ones among them",
		Description: "An attempt belongs to the day it was first due, under the status it has.",
	}, nil, accountingBody{}, s.reportAccounting)
	registerReport(s, huma.Operation{
		OperationID: "report-rollups", Method: http.MethodGet, Path: "/v1/reports/rollups",
		Summary: "Counts by minute, hour or day, for dashboards",
	}, nil, rollupsBody{}, s.reportRollups)
	registerReport(s, huma.Operation{
		OperationID: "list-metrics", Method: http.MethodGet, Path: "/v1/reports/metrics",
		Summary:     "The catalogue of metrics: what is divided by what, by which time, and the query",
		Description: "With a period, each with its value in it. Metrics of notifications have none where channel, operator or country is given: only attempts have these.",
	}, nil, metricsBody{}, s.reportMetrics)
}

func (s *server) reportAccounting(ctx context.Context, in *accountingInput, _ []byte) (*asked, error) {
	var ps parameters
	format := in.format(&ps)
	q := readmodels.CountQuery{
		Tenant: callOf(ctx).tenant, GroupBy: ps.names("group_by", in.GroupBy, "channel,status", readmodels.AccountingDimensions()),
		Where: in.where(&ps, map[string]string{"route": ps.text("route", in.Route), "status": ps.one("status", in.Status, statuses...)}),
	}
	if q.From, q.To = ps.period(in.From, in.To); in.Month != "" {
		q.From, q.To = ps.month(in.Month, in.From+in.To)
	}
	q.From = ps.midnight("from", q.From)
	q.To = ps.midnight("to", q.To)
	if slices.Contains(q.GroupBy, "day") && slices.Contains(q.GroupBy, "month") {
		ps.add("group_by", invalidValue, "must not name both day and month")
	}
	cut, err := s.asOf(ctx, &ps, in.AsOf)
	if problem := ps.problem(); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	q.AsOf = seqOf(cut)
	lines := func(ctx context.Context) ([]readmodels.AccountingLine, error) { return s.Reports.Accounting(ctx, q) }
	a := counted("accounting", q, lines, func(all []readmodels.AccountingLine) any { return accountingBody{all} })
	a.manifest.Cut, a.manifest.AsOf = cut, ps.asOf(in.AsOf)
	a.format, a.after, a.reads = format, in.After, []string{readmodels.AccountingTable.Projection}
	return a, nil
}

func (s *server) reportRollups(ctx context.Context, in *rollupsInput, _ []byte) (*asked, error) {
	var ps parameters
	format := in.format(&ps)
	grain, basis := ps.one("grain", in.Grain, readmodels.Minute, readmodels.Hour, readmodels.Day), ps.one("basis", in.Basis, readmodels.ByEvent, readmodels.ByRequest)
	if grain == "" {
		grain = readmodels.Hour
	}
	if basis == "" {
		basis = readmodels.ByEvent
	}
	q := readmodels.CountQuery{
		Tenant: callOf(ctx).tenant, GroupBy: ps.names("group_by", in.GroupBy, "start,measure", rollupGroups()),
		Where: in.where(&ps, map[string]string{"grain": grain, "basis": basis}),
	}
	if in.Measure != "" {
		q.Where["measure"] = strings.Split(ps.text("measure", in.Measure), ",")
	}
	if q.From, q.To = ps.period(in.From, in.To); in.From == "" {
		ps.add("from", missingField, "is required")
	}
	if basis == readmodels.ByRequest && grain == readmodels.Minute {
		ps.add("grain", invalidValue, "must be hour or day: what became of requests is not counted by minute")
	}
	cut, err := s.asOf(ctx, &ps, in.AsOf)
	if problem := ps.problem(); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	q.AsOf = seqOf(cut)
	lines := func(ctx context.Context) ([]readmodels.RollupLine, error) { return s.Reports.Rollups(ctx, q) }
	a := counted("rollups", q, lines, func(all []readmodels.RollupLine) any { return rollupsBody{all} })
	a.manifest.Cut, a.manifest.AsOf = cut, ps.asOf(in.AsOf)
	a.format, a.after, a.reads = format, in.After, []string{readmodels.RollupsTable.Projection}
	return a, nil
}

// rollupGroups are what rollups are grouped by: grain and basis are always given.
func rollupGroups() []string {
	return slices.DeleteFunc(readmodels.RollupDimensions(), func(d string) bool { return d == "grain" || d == "basis" })
}

// counted is a report of counts, whose lines all fit into memory.
func counted[L any](name string, q readmodels.CountQuery, lines func(context.Context) ([]L, error), body func([]L) any) *asked {
	all := readmodels.ColumnsOf[L]()
	var shown []int // of the columns: the groups and what is counted
	var columns []readmodels.Column
	for i, c := range all {
		dimension := slices.Contains(readmodels.AccountingDimensions(), c.Name) || slices.Contains(readmodels.RollupDimensions(), c.Name) || c.Name == "tenant"
		if c.Name == "day" && slices.Contains(q.GroupBy, "month") {
			c.Name = "month"
		}
		if !dimension || slices.Contains(q.GroupBy, c.Name) {
			shown, columns = append(shown, i), append(columns, c)
		}
	}
	said := map[string]any{"group_by": q.GroupBy}
	for d, values := range q.Where {
		said[d] = values
	}
	sayPeriod(said, q.From, q.To)
	return &asked{
		manifest: export.Manifest{Report: name, Query: said}, columns: columns,
		page: func(ctx context.Context) (any, error) {
			rows, err := lines(ctx)
			if rows == nil {
				rows = []L{}
			}
			return body(rows), err
		},
		each: func(ctx context.Context, row func([]any) error) error {
			rows, err := lines(ctx)
			if err != nil {
				return err
			}
			var every, values []any
			for _, r := range rows {
				every, values = readmodels.ValuesOf(every[:0], r), values[:0]
				for _, i := range shown {
					values = append(values, every[i])
				}
				if err := row(values); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// where is what counts are narrowed to.
func (in *CountParameters) where(ps *parameters, more map[string]string) map[string][]string {
	is := map[string]string{
		"channel": ps.name("channel", in.Channel), "scenario": ps.name("scenario", in.Scenario),
		"brand": ps.text("brand", in.Brand), "segment": ps.text("segment", in.Segment), "campaign": ps.text("campaign", in.Campaign),
		"operator": ps.text("operator", in.Operator), "country": ps.text("country", in.Country),
		"test": ps.one("test", in.Test, "true", "false"),
	}
	where := map[string][]string{}
	for _, given := range []map[string]string{is, more} {
		for d, value := range given {
			if value != "" {
				where[d] = []string{value}
			}
		}
	}
	return where
}

// names are names separated by commas, each one of those known and given once.
func (ps *parameters) names(field, value, standard string, known []string) []string {
	if value == "" {
		value = standard
	}
	all := strings.Split(value, ",")
	for i, name := range all {
		if !slices.Contains(known, name) || slices.Contains(all[:i], name) {
			ps.add(field, invalidValue, "must be names of "+strings.Join(known, ", ")+", each once")
			break
		}
	}
	return all
}

// month is the days of a month.
func (ps *parameters) month(value, beside string) (from, to time.Time) {
	from, err := time.Parse("2006-01", value)
	switch {
	case err != nil:
		ps.add("month", wrongType, "must be a month, such as 2026-12")
	case beside != "":
		ps.add("month", invalidValue, "must stand without from and to")
	}
	return from, from.AddDate(0, 1, 0)
}

// midnight: accounting knows days only.
func (ps *parameters) midnight(field string, t time.Time) time.Time {
	if !t.IsZero() && !midnight(t) {
		ps.add(field, invalidValue, "must be the beginning of a day in UTC")
	}
	return t
}
