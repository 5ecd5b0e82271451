package planning_test

import (
	"strings"
	"testing"
	"time"

	"recapito/commands/channel"
	"recapito/commands/commandstest"
	"recapito/commands/planning"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/scenario"
)

// TestContentThatFailsSkipsItsChannel: the others are planned, and the decision names the
// channel, the member and the rule, never the value.
func TestContentThatFailsSkipsItsChannel(t *testing.T) {
	definition, err := scenario.Definition{
		Name: "notice", Tenant: commandstest.Tenant, Version: "v1", Senders: map[string]string{"email": "a@example.org", "sms": "Studio"},
		Contents: map[string]scenario.Content{
			"email": {Members: map[string]string{"subject": "Notice {{ title }}", "text": "{{ title }}"}},
			"sms":   {Members: map[string]string{"text": "{{ title }}"}},
		},
		Fields: []scenario.Field{{Name: "title", Type: scenario.Text, Personal: true}},
		Steps: []scenario.Step{
			{Channels: []string{"email"}, Wanted: notification.Sent, Wait: scenario.DefaultWait},
			{Channels: []string{"sms", "email"}, Wanted: notification.Delivered, Wait: scenario.DefaultWait},
		},
	}.Compile(scenario.Channels{
		"email": {Content: content.Email, Sender: func(string) error { return nil }, Routed: true},
		"sms":   {Content: content.SMS, Sender: func(string) error { return nil }, Routed: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	mail := channel.Kind{Name: "email", Address: address.Email, Content: content.Email}
	planner := planning.Planner{
		Scenarios: commandstest.OneScenario{Definition: definition}, Now: time.Now,
		Routes: channel.Routes{
			{Name: "smarthost", Kind: mail, Policy: channel.DefaultPolicy(), Wire: &commandstest.PlainWire{}},
			{Name: "smsc", Kind: commandstest.SMS, Policy: channel.DefaultPolicy(), Wire: &commandstest.PlainWire{}},
		},
	}
	plan := func(title string, channels ...string) notification.Command {
		t.Helper()
		person := personal.Ref{Person: "p"}
		r := notification.NotificationRequested{
			Tenant: commandstest.Tenant, Person: person, OfNotification: dimension.OfNotification{Scenario: "notice"},
			To: map[string][]personal.Value{}, Fields: map[string]personal.Value{"title": personal.New(person, title)},
		}
		for _, c := range channels {
			r.To[c] = []personal.Value{personal.New(person, map[string]string{"sms": commandstest.Number, "email": "anna@example.org"}[c])}
		}
		c, err := planner.Gather(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	check := func(name string, why []notification.Consideration, detail string) {
		t.Helper()
		const reason = "for email the content could not be made of the fields given: subject cannot be rendered: a value holds a line break or another control character"
		if len(why) == 0 || why[0].Channel != "email" || why[0].Chosen || why[0].Reason != reason {
			t.Errorf("%s: %+v", name, why)
		}
		if detail != "" && detail != reason {
			t.Errorf("%s: %q", name, detail)
		}
		for _, w := range why {
			if strings.Contains(w.Reason, "SECRET") {
				t.Errorf("%s: a reason holds a value", name)
			}
		}
	}
	enrich, ok := plan("SECRET\nline", "email", "sms").(notification.Enrich)
	if !ok || len(enrich.Plan.Steps) != 1 || len(enrich.Plan.Steps[0].Targets) != 1 || enrich.Plan.Steps[0].Targets[0].Channel != "sms" {
		t.Fatalf("planned %+v", enrich.Plan)
	}
	check("another channel is left", enrich.Why, "")
	reject, ok := plan("SECRET\nline", "email").(notification.Reject)
	if !ok || reject.Code != "template_failed" {
		t.Fatalf("no channel is left: %+v", reject)
	}
	check("no channel is left", reject.Why, reject.Detail)
}
