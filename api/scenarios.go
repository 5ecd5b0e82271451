package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/domain/notification"
	"recapito/domain/scenario"
)

type scenariosOutput struct{ Body scenariosBody }

type scenariosBody struct {
	Scenarios []scenarioBody `json:"scenarios"`
}

type scenarioBody struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Description string            `json:"description,omitempty"`
	Brand       string            `json:"brand,omitempty"`
	Segment     string            `json:"segment,omitempty"`
	Senders     map[string]string `json:"senders,omitempty" doc:"The sender on each channel that has one of its own."`
	Fields      []fieldBody       `json:"fields"`
	Steps       []scenarioStep    `json:"steps"`
}

type fieldBody struct {
	Name        string        `json:"name"`
	Type        scenario.Type `json:"type" doc:"text, number, date or boolean"`
	Required    bool          `json:"required"`
	Personal    bool          `json:"personal" doc:"Sealed wherever it is stored."`
	Description string        `json:"description,omitempty"`
}

type scenarioStep struct {
	Channels []string            `json:"channels" doc:"Tried at the same time."`
	Wanted   notification.Status `json:"wanted"`
	Wait     string              `json:"wait" doc:"How long for the wanted status." example:"1h0m0s"`
}

func (s *Server) scenarios() {
	Register(s, huma.Operation{
		OperationID: "list-scenarios", Method: http.MethodGet, Path: "/v1/scenarios", Tags: []string{"notifications"},
		Summary: "The tenant's scenarios and the fields they take",
	}, nil, func(ctx context.Context, _ *struct{}, _ []byte) (*scenariosOutput, error) {
		out := scenariosBody{Scenarios: []scenarioBody{}}
		for _, d := range s.Scenarios.List(CallOf(ctx).Tenant) {
			out.Scenarios = append(out.Scenarios, scenarioView(d))
		}
		return &scenariosOutput{Body: out}, nil
	})
}

func scenarioView(d scenario.Definition) scenarioBody {
	b := scenarioBody{
		Name: d.Name, Version: d.Version, Description: d.Description,
		Brand: d.Brand, Segment: d.Segment, Senders: d.Senders,
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
