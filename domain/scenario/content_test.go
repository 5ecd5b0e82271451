package scenario_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/scenario"
)

// TestFixedPartsAreChecked: a template in one member leaves no other unchecked, and what a
// template can never become valid of is refused when the scenario is loaded.
func TestFixedPartsAreChecked(t *testing.T) {
	big := scenario.Attachment{Name: "a.pdf", MediaType: "application/pdf", Data: make([]byte, scenario.MaxDefinitionAttachmentsBytes)}
	for name, test := range map[string]struct {
		channel     string
		members     map[string]string
		attachments []scenario.Attachment
		path, rule  string
	}{
		"a line break in a subject":              {"email", map[string]string{"subject": "a\nb {{ t }}", "text": "{{ t }}"}, nil, "content.email.subject", "one line"},
		"a subject longer than ever":             {"email", map[string]string{"subject": strings.Repeat("s", 600) + " {{ t }}", "text": "x"}, nil, "content.email.subject", "600 bytes without its fields"},
		"neither html nor text":                  {"email", map[string]string{"subject": "{{ t }}"}, nil, "content.email.text", "or html is required"},
		"attachments larger together":            {"email", map[string]string{"subject": "{{ t }}", "text": "x"}, []scenario.Attachment{big, big}, "content.email.attachments", "fits an event"},
		"attachments of a channel that has none": {"sms", map[string]string{"text": "{{ t }}"}, []scenario.Attachment{{Name: "a", MediaType: "text/plain", Text: "x"}}, "content.sms.attachments", "at most 0"},
		"a media type that is none":              {"rest", map[string]string{"body": "{{ t }}", "media_type": "text plain"}, nil, "content.rest.media_type", ""},
		"nothing":                                {"email", map[string]string{"subject": "{% if t %}{{ t }}{% endif %}", "html": "{{ t }}", "reply_to": "{{ t }}"}, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := scenario.Definition{
				Name: "notice", Tenant: "acme", Version: "1", Fields: []scenario.Field{{Name: "t", Type: scenario.Text}},
				Contents: map[string]scenario.Content{test.channel: {Members: test.members, Attachments: test.attachments}},
				Steps:    []scenario.Step{{Channels: []string{test.channel}, Wanted: notification.Sent, Wait: scenario.DefaultWait}},
			}
			_, err := d.Compile(scenario.Channels{
				"email": {Content: content.Email, Routed: true}, "sms": {Content: content.SMS, Routed: true}, "rest": {Content: content.REST, Routed: true},
			})
			var problems scenario.Problems
			errors.As(err, &problems)
			if test.path == "" && err != nil || test.path != "" && !slices.ContainsFunc(problems, func(p scenario.Problem) bool {
				return p.Path == test.path && strings.Contains(p.Rule, test.rule)
			}) {
				t.Errorf("%v", err)
			}
		})
	}
}
