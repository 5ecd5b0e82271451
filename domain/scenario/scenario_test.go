package scenario_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/domain/content"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/notification"
	"recapito/domain/scenario"
)

func appointment() scenario.Definition {
	return scenario.Definition{
		Name: "appointment", Tenant: "default", Version: "1",
		Fields: []scenario.Field{
			{Name: "name", Type: scenario.Text, Personal: true},
			{Name: "day", Type: scenario.Date, Required: true, Personal: true},
			{Name: "fee", Type: scenario.Number},
			{Name: "first", Type: scenario.Boolean},
		},
		Steps:    []scenario.Step{{Channels: []string{"sms"}, Wanted: notification.Delivered, Wait: notification.Duration(time.Hour)}},
		Senders:  map[string]string{"sms": "Clinic"},
		Contents: sms("{% if name %}Dear {{ name }}, {% endif %}see you on {{ day }}.{% if fee > 10 %} Bring {{ fee }} euro.{% endif %}{% if first %} Welcome!{% endif %}\n"),
	}
}

func sms(text string) map[string]scenario.Content {
	return map[string]scenario.Content{"sms": {Members: map[string]string{"text": text}}}
}

// channels are those that definitions are compiled against.
var channels = scenario.Channels{
	"sms":   {Content: content.SMS, Sender: shortSender, Routed: true},
	"email": {Content: content.Email, Sender: shortSender, Routed: true},
	"rest":  {Content: content.REST},
}

func shortSender(s string) error {
	if len(s) > 11 || strings.ContainsRune(s, 0) {
		return errors.New("must have at most 11 characters")
	}
	return nil
}

// textOf renders the text of a short message.
func textOf(d scenario.Definition, fields map[string]string) (string, error) {
	document, err := d.Render("sms", fields)
	return document.Member("text"), err
}

func compile(t *testing.T, d scenario.Definition) scenario.Definition {
	t.Helper()
	c, err := d.Compile(channels)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return c
}

func TestRender(t *testing.T) {
	d := compile(t, appointment())
	for _, c := range []struct {
		fields map[string]string
		want   string
	}{
		{map[string]string{"day": "2026-12-01"}, "see you on 2026-12-01."},
		{map[string]string{"day": "2026-12-01", "name": ""}, "see you on 2026-12-01."},
		{map[string]string{"day": "2026-12-01", "name": "Ada"}, "Dear Ada, see you on 2026-12-01."},
		{map[string]string{"day": "2026-12-01", "fee": "9.5"}, "see you on 2026-12-01."},
		{map[string]string{"day": "2026-12-01", "fee": "12.5"}, "see you on 2026-12-01. Bring 12.5 euro."},
		{map[string]string{"day": "2026-12-01", "fee": "12345678901234567890123"}, "see you on 2026-12-01."}, // too big to compare, not to print
		{map[string]string{"day": "2026-12-01", "first": "true"}, "see you on 2026-12-01. Welcome!"},
		{map[string]string{"day": "2026-12-01", "first": "false"}, "see you on 2026-12-01."},
		{map[string]string{"day": "2026-12-01", "name": "{{ day }}{% if"}, "Dear {{ day }}{% if, see you on 2026-12-01."},
	} {
		got, err := textOf(d, c.fields)
		if err != nil || got != c.want {
			t.Errorf("Render(%v) = %q, %v; want %q", c.fields, got, err, c.want)
		}
	}
}

func TestRenderRefusesWithoutRepeatingAValue(t *testing.T) {
	d := compile(t, appointment())
	if _, err := textOf(d, map[string]string{"name": "Ada"}); !errors.Is(err, scenario.ErrMissing) || strings.Contains(err.Error(), "Ada") {
		t.Errorf("a missing required field: %v", err)
	}
	if _, err := textOf(appointment(), map[string]string{"day": "2026-12-01"}); !errors.Is(err, scenario.ErrNotCompiled) {
		t.Errorf("not compiled: %v", err)
	}
	blank := appointment()
	blank.Contents = sms("{{ name }}")
	var rule *content.MemberError
	if _, err := textOf(compile(t, blank), map[string]string{"day": "2026-12-01"}); !errors.As(err, &rule) || rule.Member != "text" {
		t.Errorf("an empty text: %v", err)
	}
	long := appointment()
	long.Contents = sms(strings.Repeat("{{name}}", 100))
	_, err := textOf(compile(t, long), map[string]string{"day": "2026-12-01", "name": strings.Repeat("Ada", 1_000)})
	if !errors.As(err, &rule) || rule.Member != "text" || strings.Contains(err.Error(), "Ada") {
		t.Errorf("a text past the limit: %v", err)
	}
}

func TestRenderIsSafeForConcurrentUse(t *testing.T) {
	d := compile(t, appointment())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("n", i)
			for range 50 {
				if got, err := textOf(d, map[string]string{"day": "2026-12-01", "name": name}); err != nil || !strings.Contains(got, name+",") {
					t.Errorf("Render: %q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestTextsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "must not be empty",
		" \n ":                         "must not be empty",
		"Hello {{ surname }}":          `the field "surname" is not defined`,
		"a\nb {{ name }}\n{{ nme }}":   "text line 3",
		"{% if surname %}x{% endif %}": `the field "surname" is not defined`,
		"{% for i in (1..100000000) %}x{% endfor %}":                       `the tag "for" is not allowed`,
		"{% tablerow i in name %}{% endtablerow %}":                        `the tag "tablerow"`,
		"{% assign x = name %}":                                            `the tag "assign"`,
		"{% capture x %}y{% endcapture %}":                                 `the tag "capture"`,
		"{% include 'x' %}":                                                `the tag "include"`,
		"{% render 'x' %}":                                                 `the tag "render"`,
		"{% raw %}{{ nme }}{% endraw %}":                                   `the tag "raw"`,
		"{% comment %}{% endcomment %}":                                    `the tag "comment"`,
		"{{ (1..100000000) }}":                                             "ranges",
		"{{ 'now' | date: '%s' }}":                                         `the filter "date" is not allowed`,
		"{{ name | replace: 'a', name }}":                                  `the filter "replace" is not allowed`,
		"{{ name | upcase | upcase | upcase | upcase | upcase | upcase }}": "at most 5 filters",
		"{{ name.first }}":                                                 "no members",
		"{{ name[0] }}":                                                    "no members",
		"{{ 12345678901234567890 }}":                                       "more than 15 digits",
		"{{ name":                                                          "{{ is not closed",
		"a\n{% if name ":                                                   "text line 2: {% is not closed",
		"{% if name %}x":                                                   "unterminated",
		"{% endif %}":                                                      "endif",
		"{{ name 'x }}":                                                    "not closed",
		"{{ name + name }}":                                                "character",
		"{{ == }}":                                                         "text",
		strings.Repeat("{% if name %}", 9) + "x" + strings.Repeat("{% endif %}", 9): "nested",
		strings.Repeat("a", scenario.MaxTemplateBytes+1):                            "longer than",
	} {
		d := appointment()
		d.Contents = sms(text)
		_, err := d.Compile(channels)
		var problems scenario.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("text %.60q: %v, want it to say %q", text, err, want)
		}
	}
}

func TestTextsThatAreTaken(t *testing.T) {
	for text, want := range map[string]string{
		`{{ name | default: "friend" | upcase }}`:                          "FRIEND",
		`{% unless name %}nobody{% else %}{{name}}{% endunless %}`:         "nobody",
		`{% case day %}{% when "2026-12-01" %}A{% else %}B{% endcase %}`:   "A",
		"{%- if day == '2026-12-01' and first != true -%} x {%- endif -%}": "x",
		`{{ day | truncate: 4, "" }}`:                                      "2026",
		"100 % sure {":                                                     "100 % sure {",
	} {
		d := appointment()
		d.Contents = sms(text)
		got, err := textOf(compile(t, d), map[string]string{"day": "2026-12-01"})
		if err != nil || got != want {
			t.Errorf("text %q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestCompileReportsEverythingAtOnce(t *testing.T) {
	d := scenario.Definition{
		Name: "A scenario", Tenant: "", Senders: map[string]string{"sms": "a\x00b"},
		Fields: []scenario.Field{
			{Name: "x", Type: scenario.Text}, {Name: "x", Type: "text "}, {Name: "and", Type: scenario.Text}, {Name: "Ü", Type: scenario.Date},
		},
		Steps: []scenario.Step{
			{Wanted: notification.Delivered, Wait: scenario.DefaultWait},
			{Channels: []string{"sms", "sms", "SMS"}, Wanted: notification.Undelivered},
		},
		Contents: sms("{{ y }}"),
	}
	_, err := d.Compile(channels)
	var problems scenario.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("Compile: %v", err)
	}
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	want := []string{
		"name", "tenant", "fields[1].name", "fields[1].type", "fields[2].name", "fields[3].name",
		"steps[0].channels", "steps[1].channels[1]", "steps[1].channels[2]", "steps[1].wanted", "steps[1].wait", "steps[1].channels[2]", "content.sms.text", "senders.sms",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if _, err := (scenario.Definition{Name: "a", Tenant: "b", Contents: sms("c")}).Compile(channels); err == nil || !strings.Contains(err.Error(), "at least one step") {
		t.Errorf("no steps: %v", err)
	}
}

func TestCheckFieldsSplitsPersonalFromOpen(t *testing.T) {
	d := compile(t, appointment())
	personal, open, problems := d.CheckFields(map[string]any{
		"name": "Ada", "day": "2028-02-29", "fee": json.Number("12.500"), "first": json.RawMessage("true"),
	})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	if diff := cmp.Diff(map[string]string{"name": "Ada", "day": "2028-02-29"}, personal); diff != "" {
		t.Errorf("personal (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"fee": "12.5", "first": "true"}, open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
}

func TestCheckFieldsReportsAllProblemsAndNoValue(t *testing.T) {
	d := compile(t, appointment())
	const secret = "+393331234567"
	fields := map[string]any{"name": []any{secret}, "fee": secret + "x", "first": secret, "surname": secret, secret: "x"}
	personal, open, problems := d.CheckFields(fields)
	if personal != nil || open != nil {
		t.Error("values were answered beside problems")
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Field+" "+string(p.Code))
		if strings.Contains(p.Field+p.Message, secret) {
			t.Errorf("problem of %s repeats what was sent", p.Code)
		}
	}
	want := []string{
		"fields unknown_field", "fields.day missing_field", "fields.fee wrong_type", "fields.first wrong_type",
		"fields.name wrong_type", "fields.surname unknown_field",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestCheckFieldsByType(t *testing.T) {
	for _, c := range []struct {
		typ   scenario.Type
		value any
		want  string
		code  scenario.ProblemCode
	}{
		{scenario.Text, "", "", ""},
		{scenario.Text, "a\tb\n", "a\tb\n", ""},
		{scenario.Text, "a\x00b", "", scenario.InvalidValue},
		{scenario.Text, "a\xffb", "", scenario.InvalidValue},
		{scenario.Text, 12.0, "", scenario.WrongType},
		{scenario.Text, nil, "", scenario.WrongType},
		{scenario.Text, json.RawMessage("null"), "", scenario.WrongType},
		{scenario.Text, json.RawMessage(`"é"`), "é", ""},
		{scenario.Text, json.RawMessage(`{"a":`), "", scenario.WrongType},
		{scenario.Text, strings.Repeat("x", scenario.MaxValueBytes+1), "", scenario.TooLong},
		{scenario.Number, 12.0, "12", ""},
		{scenario.Number, math.Copysign(0, -1), "0", ""},
		{scenario.Number, json.Number("-0.00"), "0", ""},
		{scenario.Number, json.Number("-1.50"), "-1.5", ""},
		{scenario.Number, "301234567890123456", "301234567890123456", ""},
		{scenario.Number, int64(7), "7", ""},
		{scenario.Number, json.Number("1e3"), "", scenario.WrongType},
		{scenario.Number, "007", "", scenario.WrongType},
		{scenario.Number, "1.", "", scenario.WrongType},
		{scenario.Number, "", "", scenario.WrongType},
		{scenario.Number, true, "", scenario.WrongType},
		{scenario.Number, strings.Repeat("9", 18), strings.Repeat("9", 18), ""},
		{scenario.Number, strings.Repeat("9", 19), "", scenario.TooLong},
		{scenario.Number, "1234567890123.45000", "1234567890123.45", ""},
		{scenario.Number, "12345678901234.56", "", scenario.TooLong},
		{scenario.Date, "2026-02-29", "", scenario.WrongType},
		{scenario.Date, "2026-2-9", "", scenario.WrongType},
		{scenario.Date, 20260209.0, "", scenario.WrongType},
		{scenario.Boolean, false, "false", ""},
		{scenario.Boolean, "true", "true", ""},
		{scenario.Boolean, 1.0, "", scenario.WrongType},
	} {
		d := scenario.Definition{Name: "s", Fields: []scenario.Field{{Name: "f", Type: c.typ}}}
		_, open, problems := d.CheckFields(map[string]any{"f": c.value})
		var code scenario.ProblemCode
		if len(problems) > 0 {
			code = problems[0].Code
		}
		if code != c.code || open["f"] != c.want {
			t.Errorf("%s %.40q: %q, code %q; want %q, code %q", c.typ, c.value, open["f"], code, c.want, c.code)
		}
	}
}

func TestCheckFieldsLimits(t *testing.T) {
	many := map[string]any{}
	d := scenario.Definition{Name: "s"}
	for i := range scenario.MaxFields {
		name := fmt.Sprint("f", i)
		d.Fields = append(d.Fields, scenario.Field{Name: name, Type: scenario.Text})
		many[name] = strings.Repeat("x", 1_000)
	}
	if _, _, problems := d.CheckFields(many); len(problems) != 1 || problems[0].Code != scenario.TooLong || problems[0].Field != "fields" {
		t.Errorf("values over the limit in all: %v", problems)
	}
	many["one_more"] = "x"
	if _, _, problems := d.CheckFields(many); len(problems) != 1 || problems[0].Code != scenario.TooMany {
		t.Errorf("too many fields: %v", problems)
	}
}

func TestCanonicalTextIsAFixedPoint(t *testing.T) {
	d := scenario.Definition{Name: "s", Fields: []scenario.Field{
		{Name: "t", Type: scenario.Text}, {Name: "n", Type: scenario.Number},
	}}
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]any{"t": rapid.String().Draw(t, "t"), "n": rapid.Float64().Draw(t, "n")}
		_, once, problems := d.CheckFields(in)
		if len(problems) > 0 {
			return
		}
		_, twice, problems := d.CheckFields(map[string]any{"t": once["t"], "n": json.Number(once["n"])})
		if diff := cmp.Diff(once, twice); diff != "" || len(problems) > 0 {
			t.Fatalf("canonical text changed: %s %v", diff, problems)
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{"{{ name | default: 'x' }}", "{% if day contains '1' %}a{% elsif fee >= 1.5 %}b{% endif %}", "{{ 'a' | size }}", "{%-case name-%}{%when 'a' or 'b'%}{%endcase%}", "{{:}}", "{{ name: 1 }}", "{% when %}"} {
		f.Add(seed, "Ada")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		d := appointment()
		d.Contents = sms(text)
		c, err := d.Compile(channels)
		if err != nil {
			return
		}
		if out, err := textOf(c, map[string]string{"day": "2026-12-01", "name": name, "fee": "3"}); err == nil && len(out) > scenario.MaxRenderedBytes {
			t.Fatalf("rendered %d bytes", len(out))
		}
	})
}

// TestContentIsCheckedAgainstItsChannel: what a channel would refuse of every message is an
// error of the definition; one channel without a route is a warning, none with one an error.
func TestContentIsCheckedAgainstItsChannel(t *testing.T) {
	steps := func(names ...string) []scenario.Step {
		return []scenario.Step{{Channels: names, Wanted: notification.Sent, Wait: scenario.DefaultWait}}
	}
	email := scenario.Content{Members: map[string]string{"subject": "Your day", "html": "<p>{{ name }}</p>"}}
	refusing := maps.Clone(channels)
	refusing["sms"] = scenario.Channel{Content: content.SMS, Routed: true, Check: func(content.Document) error { return errors.New("makes more than 10 segments") }}
	silent := maps.Clone(channels)
	silent["email"] = scenario.Channel{Content: content.Email, Routed: true, Reports: notification.Sent}
	for _, c := range []struct {
		name     string
		change   func(*scenario.Definition)
		channels scenario.Channels
		problem  string // "" for none
		warning  string
	}{
		{"two channels", func(d *scenario.Definition) { d.Steps, d.Contents["email"] = steps("sms", "email"), email }, channels, "", ""},
		{"no content of a step's channel", func(d *scenario.Definition) { d.Steps = steps("sms", "email") }, channels, "content: must have email", ""},
		{"an unknown channel", func(d *scenario.Definition) { d.Steps = steps("pigeon") }, channels, "there is no channel \"pigeon\"; there are email, rest, sms", ""},
		{"content of an unknown channel", func(d *scenario.Definition) { d.Contents["pigeon"] = email }, channels, "content.pigeon: there is no such channel", ""},
		{"an unknown member", func(d *scenario.Definition) { d.Contents["sms"].Members["title"] = "x" }, channels, "content.sms.title: sms has no such member; it has text", ""},
		{"a required member", func(d *scenario.Definition) {
			d.Contents["email"] = scenario.Content{Members: map[string]string{"text": "x"}}
		}, channels, "content.email.subject: is required", ""},
		{"a fixed text that the channel refuses", func(d *scenario.Definition) { d.Contents = sms("fixed") }, refusing, "content.sms: makes more than 10 segments", ""},
		{"two lines in a fixed subject", func(d *scenario.Definition) {
			d.Contents["email"] = scenario.Content{Members: map[string]string{"subject": "a\nb", "text": "x"}}
		}, channels, "content.email.subject: must be one line", ""},
		{"a bad sender", func(d *scenario.Definition) { d.Senders = map[string]string{"sms": "longer than eleven"} }, channels, "senders.sms: must have at most 11", ""},
		{"one channel without a route", func(d *scenario.Definition) {
			d.Steps, d.Contents["rest"] = steps("sms", "rest"), scenario.Content{Members: map[string]string{"body": "{}"}}
		}, channels, "", "the channel rest has no route"},
		{"a wanted status that the channel does not report", func(d *scenario.Definition) {
			d.Steps, d.Contents["email"] = steps("email"), email
			d.Steps[0].Wanted = notification.Delivered
		}, silent, "", "steps[0].wanted: delivered is not reported by email"},
		{"a wanted status that one of the channels reports", func(d *scenario.Definition) {
			d.Steps, d.Contents["email"] = steps("email", "sms"), email
			d.Steps[0].Channels, d.Steps[0].Wanted = []string{"email", "sms"}, notification.Delivered
		}, silent, "", ""},
		{"no channel with a route", func(d *scenario.Definition) {
			d.Steps, d.Contents["rest"] = steps("rest"), scenario.Content{Members: map[string]string{"body": "{}"}}
		}, channels, "steps: name no channel that has a route", ""},
		{"attachments of a channel without them", func(d *scenario.Definition) {
			d.Contents["sms"] = scenario.Content{Members: map[string]string{"text": "x"}, Attachments: []scenario.Attachment{{Name: "a", MediaType: "text/plain", Text: "b"}}}
		}, channels, "content.sms.attachments: are 1; at most 0", ""},
	} {
		d := appointment()
		c.change(&d)
		compiled, err := d.Compile(c.channels)
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.problem)
		}
		if got := compiled.Warnings.Error(); c.warning != "" && !strings.Contains(got, c.warning) || c.warning == "" && err == nil && got != "" {
			t.Errorf("%s: warned %q, want %q", c.name, got, c.warning)
		}
	}
}

func TestDocumentsAreEscapedForTheirPlace(t *testing.T) {
	d := appointment()
	d.Steps[0].Channels = []string{"sms", "email", "rest"}
	d.Contents["email"] = scenario.Content{
		Members:     map[string]string{"subject": "For {{ name }}", "html": "<p>{{ name }}</p>", "text": "{{ name }}"},
		Attachments: []scenario.Attachment{{Name: "day.txt", MediaType: "text/plain", Text: "{{ day }}"}, {Name: "b", MediaType: "image/png", Data: []byte{1}}},
	}
	d.Contents["rest"] = scenario.Content{Members: map[string]string{"body": `{"name":"{{ name }}"}`}}
	d = compile(t, d)
	fields := map[string]string{"day": "2026-12-01", "name": `<"Ada">`}
	mail, err := d.Render("email", fields)
	if err != nil || mail.Member("html") != "<p>&lt;&#34;Ada&#34;&gt;</p>" || mail.Member("text") != `<"Ada">` || len(mail.Attachments) != 2 || string(mail.Attachments[0].Data) != "2026-12-01" {
		t.Errorf("mail: %v", err)
	}
	call, err := d.Render("rest", fields)
	var body struct{ Name string }
	if err != nil || json.Unmarshal([]byte(call.Member("body")), &body) != nil || body.Name != `<"Ada">` {
		t.Errorf("call: %v", err)
	}
}
