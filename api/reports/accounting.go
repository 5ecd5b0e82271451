package reports

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

type accountingInput struct {
	ReportParameters
	DimensionFilters
	Month   string `query:"month" doc:"yyyy-mm: days of it, in UTC. Instead of from and to."`
	From    string `query:"from" doc:"Attempts of this day (RFC 3339) and later."`
	To      string `query:"to" doc:"Attempts of days before this time."`
	GroupBy string `query:"group_by"`
	Status  string `query:"status"`
}

type accountingBody struct {
	Rows []readmodels.AccountingLine `json:"rows" doc:"One a group. Dimensions that are not grouped by are left out."`
}

func (s *service) accounting() {
	registerReport(s, huma.Operation{
		OperationID: "report-accounting", Method: http.MethodGet, Path: "/v1/reports/accounting",
		Summary:     "Messages and units, billable ones among them",
		Description: "An attempt belongs to the day it was first due, under the status it has.",
		Parameters:  append(filterParameters(readmodels.AccountingDimensions()), groupParameter("channel,status", readmodels.AccountingGroups())),
	}, nil, accountingBody{}, s.reportAccounting)
}

func (s *service) reportAccounting(ctx context.Context, in *accountingInput, _ []byte) (*asked, error) {
	var ps parameters
	format := in.format(&ps)
	q := readmodels.CountQuery{
		Tenant: api.CallOf(ctx).Tenant, GroupBy: ps.names("group_by", in.GroupBy, "channel,status", readmodels.AccountingGroups()),
		Where: in.where(&ps, readmodels.AccountingDimensions(), map[string]string{"status": ps.one("status", in.Status, statuses...)}),
	}
	if q.From, q.To = ps.period(in.From, in.To); in.Month != "" {
		q.From, q.To = ps.month(in.Month, in.From+in.To)
	}
	q.From = ps.midnight("from", q.From)
	q.To = ps.midnight("to", q.To)
	if slices.Contains(q.GroupBy, "day") && slices.Contains(q.GroupBy, "month") {
		ps.add("group_by", strictjson.InvalidValue, "must not name both day and month")
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

// month is the days of a month.
func (ps *parameters) month(value, other string) (from, to time.Time) {
	from, err := time.Parse("2006-01", value)
	switch {
	case err != nil:
		ps.add("month", strictjson.WrongType, "must be a month, such as 2026-12")
	case other != "":
		ps.add("month", strictjson.InvalidValue, "must stand without from and to")
	}
	return from, from.AddDate(0, 1, 0)
}

// midnight: accounting knows days only.
func (ps *parameters) midnight(field string, t time.Time) time.Time {
	if !t.IsZero() && !midnight(t) {
		ps.add(field, strictjson.InvalidValue, "must be the beginning of a day in UTC")
	}
	return t
}
