// Package planning makes the plan of a notification: the scenario's steps over the
// person's addresses and the routes, with the contents rendered. The intake plans a request
// as it accepts it; what it leaves open, the process manager plans.
package planning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/scenario"
)

// Planner gathers what a plan is made of: the scenario, the person's addresses, the
// routes; and renders the contents.
type Planner struct {
	Scenarios commands.Scenarios
	Routes    channel.Routes
	Operators address.Operators // of phone numbers' ranges
	Now       func() time.Time
}

// AtOnce plans a request while its caller waits. It returns nil where a plan needs an
// answer from outside: the process manager then waits for that. Today nothing does.
func (p *Planner) AtOnce(ctx context.Context, r notification.NotificationRequested) (notification.Command, error) {
	return p.Gather(ctx, r)
}

// Gather returns the command that the snapshot leads to: Enrich, Reject or Suppress.
// An error means that a source did not answer; try again later.
func (p *Planner) Gather(_ context.Context, r notification.NotificationRequested) (notification.Command, error) {
	now := p.Now()
	def, ok := p.Scenarios.Scenario(r.Tenant, r.Scenario)
	if !ok {
		return notification.Reject{Code: "unknown_scenario", Detail: "the scenario is not there any more", At: now}, nil
	}
	fields, ok := clearFields(r)
	if !ok {
		return suppressErased(now), nil
	}
	plan, why, err := p.plan(r, def, fields)
	if errors.Is(err, errErasedAddress) {
		return suppressErased(now), nil
	}
	if err == nil && len(plan.Steps) == 0 {
		err = errNoAddress
	}
	if err == nil {
		err = plan.Check()
	}
	if err != nil {
		return notification.Reject{Code: ruleCode(err), Detail: err.Error(), Why: why, At: now}, nil
	}
	return notification.Enrich{Scenario: def.Name, Version: def.Version, Plan: plan, Why: why, At: now}, nil
}

// renderedMessage is what goes to every address of a channel: rendered once.
type renderedMessage struct {
	content personal.Value
	units   int
	failed  error // an *event.Rule: the channel is skipped
}

// Why a request is rejected.
var (
	errNoAddress = &event.Rule{Code: "no_address", Message: "no step of the scenario has an address and a route"}
	errContent   = event.Rule{Code: "template_failed", Message: "the content could not be made of the fields given"}
)

// render makes a channel's content. What it fails with holds no value of a field.
func render(route channel.Configured, def scenario.Definition, person personal.Ref, fields map[string]string) renderedMessage {
	document, err := def.Render(route.Kind.Name, fields)
	if err != nil {
		return renderedMessage{failed: contentRule(route.Kind.Name, err)}
	}
	units, err := route.Wire.Units(document)
	if err != nil {
		return renderedMessage{failed: &event.Rule{Code: ruleCode(err), Message: fmt.Sprintf("for %s %s", route.Kind.Name, err)}}
	}
	stored, err := content.Encode(document)
	if err != nil {
		return renderedMessage{failed: contentRule(route.Kind.Name, nil)}
	}
	return renderedMessage{content: personal.New(person, stored), units: units}
}

// contentRule names the channel, and the members whose rules were broken.
func contentRule(channel string, err error) *event.Rule {
	rule := errContent
	rule.Message = fmt.Sprintf("for %s %s", channel, rule.Message)
	if broken := content.Broken(err); broken != "" {
		rule.Message += ": " + broken
	}
	return &rule
}

var errErasedAddress = errors.New("the address has been erased")

func suppressErased(now time.Time) notification.Suppress {
	return notification.Suppress{Code: "erased", Detail: "the person's data has been erased", At: now}
}

// ruleCode is the code of a broken rule; anything else is the text's fault here.
func ruleCode(err error) string {
	var rule *event.Rule
	if errors.As(err, &rule) {
		return rule.Code
	}
	return "not_plannable"
}

func clearFields(r notification.NotificationRequested) (map[string]string, bool) {
	fields := map[string]string{}
	for name, v := range r.OpenFields {
		fields[name] = v
	}
	for name, v := range r.Fields {
		clear, ok := v.Clear()
		if !ok {
			return nil, false
		}
		fields[name] = clear
	}
	return fields, true
}

func (p *Planner) plan(r notification.NotificationRequested, def scenario.Definition, fields map[string]string) (notification.Plan, []notification.Consideration, error) {
	var plan notification.Plan
	var why []notification.Consideration
	rendered := map[string]renderedMessage{}
	var failed error // of the first channel that was skipped for it
	for i, step := range def.Steps {
		var targets []notification.Target
		for _, channel := range step.Channels {
			consider := func(chosen bool, reason string) {
				why = append(why, notification.Consideration{Step: i + 1, Channel: channel, Chosen: chosen, Reason: reason})
			}
			route, ok := p.Routes.For(channel)
			addresses := r.To[channel]
			switch {
			case !ok:
				consider(false, "no route")
				continue
			case len(addresses) == 0:
				consider(false, "no address")
				continue
			}
			m, ok := rendered[channel]
			if !ok {
				m = render(route, def, r.Person, fields)
				rendered[channel] = m
			}
			if m.failed != nil {
				consider(false, m.failed.Error())
				failed = cmp.Or(failed, m.failed)
				continue
			}
			for _, destination := range addresses {
				if len(targets) == notification.MaxTargetsPerStep {
					consider(false, "more addresses than a step may have")
					break
				}
				clear, ok := destination.Clear()
				if !ok {
					return plan, why, errErasedAddress
				}
				facts := route.Kind.Address.FactsOf(clear, p.Operators)
				targets = append(targets, notification.Target{
					OfAttempt: dimension.OfAttempt{
						Channel: channel, Route: route.Name, Sender: def.Senders[channel], Country: facts.Country, Operator: facts.Operator,
					},
					Destination: destination, Content: m.content, Units: m.units, Policy: route.Policy,
				})
			}
			consider(true, "the scenario's step names it, it has a route and an address")
		}
		if len(targets) > 0 {
			plan.Steps = append(plan.Steps, notification.Step{Wanted: step.Wanted, Wait: step.Wait, Targets: targets})
		}
	}
	if len(plan.Steps) == 0 {
		return plan, why, failed
	}
	return plan, why, nil
}
