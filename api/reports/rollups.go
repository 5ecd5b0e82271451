package reports

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

type rollupsInput struct {
	ReportParameters
	DimensionFilters
	Grain   string `query:"grain" doc:"hour if left out." enum:"minute,hour,day"`
	Basis   string `query:"basis" doc:"event: by when it occurred (if left out); request: attempts requested then, by the status they have." enum:"event,request"`
	From    string `query:"from" doc:"From then on (RFC 3339); required."`
	To      string `query:"to" doc:"Before then; until now if left out."`
	GroupBy string `query:"group_by"`
	Measure string `query:"measure" doc:"Names separated by commas: requested, sent, delivered, …"`
}

type rollupsBody struct {
	Rows []readmodels.RollupLine `json:"rows" doc:"One a group. Dimensions that are not grouped by are left out."`
}

func (s *service) rollups() {
	registerReport(s, huma.Operation{
		OperationID: "report-rollups", Method: http.MethodGet, Path: "/v1/reports/rollups",
		Summary:    "Counts by minute, hour or day, for dashboards",
		Parameters: append(filterParameters(readmodels.RollupDimensions()), groupParameter("start,measure", rollupGroups())),
	}, nil, rollupsBody{}, s.reportRollups)
}

func (s *service) reportRollups(ctx context.Context, in *rollupsInput, _ []byte) (*asked, error) {
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
		Tenant: api.CallOf(ctx).Tenant, GroupBy: ps.names("group_by", in.GroupBy, "start,measure", rollupGroups()),
		Where: in.where(&ps, readmodels.RollupDimensions(), map[string]string{"grain": grain, "basis": basis}),
	}
	if in.Measure != "" {
		q.Where["measure"] = strings.Split(ps.text("measure", in.Measure), ",")
	}
	if q.From, q.To = ps.period(in.From, in.To); in.From == "" {
		ps.add("from", strictjson.MissingField, "is required")
	}
	if basis == readmodels.ByRequest && grain == readmodels.Minute {
		ps.add("grain", strictjson.InvalidValue, "must be hour or day: what became of requests is not counted by minute")
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
	return slices.DeleteFunc(readmodels.RollupGroups(), func(d string) bool { return d == "grain" || d == "basis" })
}
