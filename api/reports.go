package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/scenario"
	"recapito/readmodels"
)

type scenariosOutput struct{ Body scenariosBody }

type scenariosBody struct {
	Scenarios []scenarioBody `json:"scenarios"`
}

type scenarioBody struct {
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Description string         `json:"description,omitempty"`
	Sender      string         `json:"sender,omitempty"`
	Fields      []fieldBody    `json:"fields"`
	Steps       []scenarioStep `json:"steps"`
}

type fieldBody struct {
	Name        string        `json:"name"`
	Type        scenario.Type `json:"type" doc:"text, number, date or boolean"`
	Required    bool          `json:"required"`
	Personal    bool          `json:"personal" doc:"Sealed wherever it is stored."`
	Description string        `json:"description,omitempty"`
}

type scenarioStep struct {
	Channels []string            `json:"channels" doc:"Tried side by side."`
	Wanted   notification.Status `json:"wanted"`
	Wait     string              `json:"wait" doc:"How long for the wanted status." example:"1h0m0s"`
}

func (s *server) scenarios() {
	register(s, huma.Operation{
		OperationID: "list-scenarios", Method: http.MethodGet, Path: "/v1/scenarios", Tags: []string{"notifications"},
		Summary: "The tenant's scenarios and the fields they take",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*scenariosOutput, error) {
		out := scenariosBody{Scenarios: []scenarioBody{}}
		for _, d := range s.Scenarios.List(callOf(ctx).tenant) {
			out.Scenarios = append(out.Scenarios, scenarioView(d))
		}
		return &scenariosOutput{Body: out}, nil
	})
}

func scenarioView(d scenario.Definition) scenarioBody {
	b := scenarioBody{
		Name: d.Name, Version: d.Version, Description: d.Description, Sender: d.Sender,
		Fields: []fieldBody{}, Steps: []scenarioStep{},
	}
	for _, f := range d.Fields {
		b.Fields = append(b.Fields, fieldBody(f))
	}
	for _, step := range d.Steps {
		b.Steps = append(b.Steps, scenarioStep{Channels: step.Channels, Wanted: step.Wanted, Wait: time.Duration(step.Wait).String()})
	}
	return b
}

type edrInput struct {
	From     string `query:"from" doc:"Attempts due from then on (RFC 3339)."`
	To       string `query:"to" doc:"Attempts due before then (RFC 3339)."`
	Channel  string `query:"channel"`
	Scenario string `query:"scenario"`
	Status   string `query:"status" doc:"The attempt's status." enum:"scheduled,dispatched,outcome_unknown,sent,undelivered,delivered,read,withdrawn"`
	Cursor   string `query:"cursor" doc:"The page before's next, with the same filters."`
	Limit    string `query:"limit" doc:"At most so many rows: 1 to 1,000, 100 if left out."`
}

type edrOutput struct{ Body edrBody }

type edrBody struct {
	Rows []readmodels.EDR `json:"rows" doc:"One an attempt, newest day first."`
	Next string           `json:"next,omitempty" doc:"There are more: ask again with cursor set to this."`
}

var statuses = []string{
	string(notification.Scheduled), string(notification.Dispatched), string(notification.OutcomeUnknown), string(notification.Sent),
	string(notification.Undelivered), string(notification.Delivered), string(notification.Read), string(notification.Withdrawn),
}

func (s *server) edr() {
	register(s, huma.Operation{
		OperationID: "list-edr", Method: http.MethodGet, Path: "/v1/edr", Tags: []string{"reports"},
		Summary: "Event detail records: one row an attempt",
	}, nil, s.listEDR)
}

func (s *server) listEDR(ctx context.Context, in *edrInput, _ []byte) (*edrOutput, error) {
	q, problem := in.query(callOf(ctx).tenant)
	if problem != nil {
		return nil, problem
	}
	if s.EDRs == nil {
		return nil, event.ErrUnavailable
	}
	page, err := s.EDRs(ctx, q)
	switch {
	case errors.Is(err, readmodels.ErrBadCursor):
		return nil, invalid("cursor", invalidValue, "must be the next of a page with the same filters")
	case err != nil:
		return nil, errors.Join(event.ErrUnavailable, err)
	}
	if page.Rows == nil {
		page.Rows = []readmodels.EDR{}
	}
	return &edrOutput{Body: edrBody(page)}, nil
}

// query checks the parameters, all of them.
func (in *edrInput) query(tenant string) (readmodels.EDRQuery, *Problem) {
	q := readmodels.EDRQuery{
		Tenant: tenant, Channel: in.Channel, Scenario: in.Scenario, Status: in.Status, Cursor: in.Cursor,
	}
	var wrong []FieldProblem
	at := func(field, value string) time.Time {
		if value == "" {
			return time.Time{}
		}
		t, err := parseTime(value)
		if err != nil {
			wrong = append(wrong, FieldProblem{field, wrongType, err.Error()})
		}
		return t
	}
	q.From, q.To = at("from", in.From), at("to", in.To)
	if len(wrong) == 0 && !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		wrong = append(wrong, FieldProblem{"to", invalidValue, "must be after from"})
	}
	if q.Status != "" && !slices.Contains(statuses, q.Status) {
		wrong = append(wrong, FieldProblem{"status", invalidValue, "must be one of " + strings.Join(statuses, ", ")})
	}
	for field, value := range map[string]string{"channel": q.Channel, "scenario": q.Scenario} {
		if value != "" && !memberName.MatchString(value) {
			wrong = append(wrong, FieldProblem{field, invalidValue, "must be a name: lower-case letters, digits, - and _"})
		}
	}
	limit, bad := limitOf(in.Limit, readmodels.DefaultEDRLimit, readmodels.MaxEDRLimit)
	if bad != nil {
		wrong = append(wrong, *bad)
	}
	q.Limit = limit
	if len(wrong) > 0 {
		sortProblems(wrong)
		return q, newProblem(CodeInvalid, "", wrong...)
	}
	return q, nil
}
