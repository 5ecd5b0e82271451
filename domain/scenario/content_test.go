package scenario_test

import (
	"errors"
	"net/mail"
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
		"a subject longer than ever":             {"email", map[string]string{"subject": strings.Repeat("s", 600) + " {{ t }}", "text": "x"}, nil, "content.email.subject", "602 bytes; at most 500"},
		"neither html nor text":                  {"email", map[string]string{"subject": "{{ t }}"}, nil, "content.email.text", "or html is required"},
		"attachments larger together":            {"email", map[string]string{"subject": "{{ t }}", "text": "x"}, []scenario.Attachment{big, big}, "content.email.attachments", "fits an event"},
		"attachments of a channel that has none": {"sms", map[string]string{"text": "{{ t }}"}, []scenario.Attachment{{Name: "a", MediaType: "text/plain", Text: "x"}}, "content.sms.attachments", "at most 0"},
		"a media type that is none":              {"rest", map[string]string{"body": "{{ t }}", "media_type": "text plain"}, nil, "content.rest.media_type", ""},
		"a control character in a text":          {"sms", map[string]string{"text": "a\x1b {{ t }}"}, nil, "content.sms.text", "no control characters"},
		"a control character in a subject":       {"email", map[string]string{"subject": "a\x00 {{ t }}", "text": "x"}, nil, "content.email.subject", "no control characters"},
		"a frame that is no JSON":                {"rest", map[string]string{"body": `{"a": "{{ t }}"`}, nil, "content.rest.body", "with sample values: must be JSON"},
		"a link that runs something":             {"email", map[string]string{"subject": "s", "html": `<a href="java&#115;cript:f({{ t }})">x</a>`}, nil, "content.email.html", "another scheme"},
		"a value in an unquoted attribute":       {"email", map[string]string{"subject": "s", "html": `<a href={{ t }}>x</a>`}, nil, "content.email.html", "quoted attribute"},
		"a rule of the channel":                  {"strict", map[string]string{"text": "{{ t }}"}, nil, "content.strict", "too many segments"},
		"nothing, where samples meet no branch":  {"email", map[string]string{"subject": `{% if t == "x" %}{{ t }}{% endif %}`, "text": "x"}, nil, "", ""},
		"a mailbox that is none":                 {"strict-email", map[string]string{"subject": "s", "text": "x", "reply_to": "not a mailbox {{ t }}"}, nil, "content.strict-email.reply_to", "with sample values"},
		"nothing, in a mailbox":                  {"strict-email", map[string]string{"subject": "s", "text": "x", "reply_to": "{{ t }}"}, nil, "", ""},
		"nothing, in the name of a mailbox":      {"strict-email", map[string]string{"subject": "s", "text": "x", "reply_to": "{{ t }} <a@example.org>"}, nil, "", ""},
		"nothing, in both":                       {"strict-email", map[string]string{"subject": "s", "text": "x", "reply_to": "{{ t }} <{{ t }}>"}, nil, "", ""},
		"nothing, in a frame":                    {"rest", map[string]string{"body": `{"a": "{{ t }}"}`}, nil, "", ""},
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
				"strict-email": {Content: content.Email, Routed: true, Check: func(d content.Document) error {
					if _, err := mail.ParseAddress(d.Member("reply_to")); d.Member("reply_to") != "" && err != nil {
						return &content.MemberError{Member: "reply_to", Rule: "must be a mailbox"}
					}
					return nil
				}},
				"strict": {Content: content.SMS, Routed: true, Check: func(content.Document) error { return errors.New("too many segments") }},
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

// TestASenderIsNeeded where the channel's messages must have one and the route has none.
func TestASenderIsNeeded(t *testing.T) {
	for _, sender := range []string{"", "a@example.org"} {
		for _, needed := range []bool{true, false} {
			d := scenario.Definition{
				Name: "notice", Tenant: "acme", Version: "1",
				Contents: map[string]scenario.Content{"email": {Members: map[string]string{"subject": "s", "text": "x"}}},
				Steps:    []scenario.Step{{Channels: []string{"email"}, Wanted: notification.Sent, Wait: scenario.DefaultWait}},
			}
			if sender != "" {
				d.Senders = map[string]string{"email": sender}
			}
			_, err := d.Compile(scenario.Channels{"email": {
				Content: content.Email, Routed: true, NeedsSender: needed, Sender: func(string) error { return nil },
			}})
			if refused := err != nil; refused != (needed && sender == "") {
				t.Errorf("sender %q, needed %v: %v", sender, needed, err)
			}
		}
	}
}

// TestAttachmentsAreEscapedByTheirType as members are by theirs.
func TestAttachmentsAreEscapedByTheirType(t *testing.T) {
	d, err := scenario.Definition{
		Name: "notice", Tenant: "acme", Version: "1", Fields: []scenario.Field{{Name: "t", Type: scenario.Text}},
		Contents: map[string]scenario.Content{"email": {
			Members: map[string]string{"subject": "s", "text": "x"},
			Attachments: []scenario.Attachment{
				{Name: "a.html", MediaType: "text/html; charset=utf-8", Text: "<p>{{ t }}</p>"},
				{Name: "a.json", MediaType: "application/json", Text: `{"t":"{{ t }}"}`},
				{Name: "a.txt", MediaType: "text/plain", Text: "{{ t }}"},
			},
		}},
		Steps: []scenario.Step{{Channels: []string{"email"}, Wanted: notification.Sent, Wait: scenario.DefaultWait}},
	}.Compile(scenario.Channels{"email": {Content: content.Email, Routed: true}})
	if err != nil {
		t.Fatal(err)
	}
	document, err := d.Render("email", map[string]string{"t": `<b>"`})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"<p>&lt;b&gt;&#34;</p>", `{"t":"\u003cb\u003e\""}`, `<b>"`} {
		if got := string(document.Attachments[i].Data); got != want {
			t.Errorf("%s: %s, want %s", document.Attachments[i].Name, got, want)
		}
	}
}
