package reports

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api"
	"recapito/api/reports/export"
	"recapito/commands/intake/strictjson"
	"recapito/domain/notification"
	"recapito/readmodels"
)

type edrInput struct {
	ReportParameters
	From string `query:"from" doc:"Attempts due from then on (RFC 3339)."`
	To   string `query:"to" doc:"Attempts due before then (RFC 3339)."`
	EDRParameters
	Cursor string `query:"cursor" doc:"The page before's next, with the same filters."`
	Limit  string `query:"limit" doc:"At most so many rows: 1 to 1,000, 100 if left out."`
}

// EDRParameters are the parameters of readmodels.EDRFilter.
type EDRParameters struct {
	DimensionFilters
	Notification string `query:"notification" doc:"A notification's id."`
	Person       string `query:"person" doc:"A person's id, as rows show it: never an address."`
	Kind         string `query:"kind" enum:"first,retry,resend"`
	Status       string `query:"status" doc:"The attempt's status." enum:"scheduled,dispatched,outcome_unknown,sent,undelivered,delivered,read,withdrawn"`
	Code         string `query:"code" doc:"The provider's code of the status, or the reason of ours."`

	ChangedAfter string `query:"changed_after" doc:"Only rows whose changed is higher: those restated since an extract that went so far."`

	QueueLeast    string `query:"queue_ms_min" doc:"Milliseconds from due to dispatched, at least."`
	QueueMost     string `query:"queue_ms_max" doc:"The same, at most."`
	SubmitLeast   string `query:"submit_ms_min" doc:"Milliseconds from dispatched to sent, at least."`
	SubmitMost    string `query:"submit_ms_max" doc:"The same, at most."`
	DeliveryLeast string `query:"delivery_ms_min" doc:"Milliseconds from sent to delivered, at least."`
	DeliveryMost  string `query:"delivery_ms_max" doc:"The same, at most."`
}

type edrBody struct {
	Rows []readmodels.EDR `json:"rows" doc:"One an attempt, newest day first."`
	Next string           `json:"next,omitempty" doc:"There are more: ask again with cursor set to this."`
}

var statuses = []string{
	string(notification.Scheduled), string(notification.Dispatched), string(notification.OutcomeUnknown), string(notification.Sent),
	string(notification.Undelivered), string(notification.Delivered), string(notification.Read), string(notification.Withdrawn),
}

func (s *service) edr() {
	registerReport(s, huma.Operation{
		OperationID: "list-edr", Method: http.MethodGet, Path: "/v1/edr",
		Summary:    "Event detail records: one row an attempt, by any filter",
		Parameters: filterParameters(readmodels.EDRDimensions()),
	}, nil, edrBody{}, s.listEDR)
}

func (s *service) listEDR(ctx context.Context, in *edrInput, _ []byte) (*asked, error) {
	var ps parameters
	format := in.format(&ps)
	q := readmodels.EDRQuery{Tenant: api.CallOf(ctx).Tenant, Cursor: in.Cursor, EDRFilter: in.filter(&ps)}
	q.From, q.To = ps.period(in.From, in.To)
	q.Limit = ps.limit(in.Limit)
	cut, err := s.asOf(ctx, &ps, in.AsOf)
	if problem := ps.problem(); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	q.AsOf = seqOf(cut)
	a := s.attempts(q, func(_ context.Context, p readmodels.EDRPage) (any, error) {
		return edrBody{Rows: p.Rows, Next: p.Next}, nil
	})
	a.manifest = export.Manifest{Report: "edr", Query: queryOf(q), Cut: cut, AsOf: ps.asOf(in.AsOf)}
	a.format, a.after, a.reads = format, in.After, []string{readmodels.EDRTable.Projection}
	return a, nil
}

// attempts is a report of attempts; a page of it becomes what page makes of it.
func (s *service) attempts(q readmodels.EDRQuery, page func(context.Context, readmodels.EDRPage) (any, error)) *asked {
	return &asked{
		columns: readmodels.ColumnsOf[readmodels.EDR](),
		page: func(ctx context.Context) (any, error) {
			p, err := s.Reports.EDRs(ctx, q)
			if err != nil {
				return nil, err
			}
			if p.Rows == nil {
				p.Rows = []readmodels.EDR{}
			}
			return page(ctx, p)
		},
		each: func(ctx context.Context, row func([]any) error) error {
			var values []any
			return s.Reports.EachEDR(ctx, q, func(r readmodels.EDR) error {
				values = readmodels.ValuesOf(values[:0], r)
				return row(values)
			})
		},
	}
}

// queryOf is a query as it stands in a manifest.
func queryOf(q readmodels.EDRQuery) map[string]any {
	query := map[string]any{}
	for column, value := range q.Is {
		query[column] = value
	}
	for column, b := range q.Within {
		query[column] = b
	}
	if q.ChangedAfter != nil {
		query["changed_after"] = *q.ChangedAfter
	}
	if q.Test != nil {
		query["test"] = *q.Test
	}
	addPeriod(query, q.From, q.To)
	return query
}

func addPeriod(query map[string]any, from, to time.Time) {
	if !from.IsZero() {
		query["from"] = from.UTC()
	}
	if !to.IsZero() {
		query["to"] = to.UTC()
	}
}

func (in *EDRParameters) filter(ps *parameters) readmodels.EDRFilter {
	is := in.given(ps, readmodels.EDRDimensions())
	f := readmodels.EDRFilter{Is: is}
	if test, given := is["test"]; given {
		f.Test = new(test == "true")
		delete(is, "test")
	}
	for column, value := range map[string]string{
		"notification": ps.id("notification", in.Notification), "person": ps.id("person", in.Person), "code": ps.text("code", in.Code),
		"kind":   ps.one("kind", in.Kind, string(notification.FirstTry), string(notification.Retry), string(notification.Resend)),
		"status": ps.one("status", in.Status, statuses...),
	} {
		if value != "" {
			is[column] = value
		}
	}
	if n := ps.whole("changed_after", in.ChangedAfter); n != nil {
		if *n < 0 {
			ps.add("changed_after", strictjson.InvalidValue, "must not be negative")
		}
		f.ChangedAfter = new(uint64(*n)) //nolint:gosec // refused if negative
	}
	for column, ends := range map[string][2]string{
		"queue_ms": {in.QueueLeast, in.QueueMost}, "submit_ms": {in.SubmitLeast, in.SubmitMost}, "delivery_ms": {in.DeliveryLeast, in.DeliveryMost},
	} {
		b := readmodels.Bounds{Least: ps.whole(column+"_min", ends[0]), Most: ps.whole(column+"_max", ends[1])}
		if b == (readmodels.Bounds{}) {
			continue
		}
		if f.Within == nil {
			f.Within = map[string]readmodels.Bounds{}
		}
		f.Within[column] = b
	}
	return f
}
