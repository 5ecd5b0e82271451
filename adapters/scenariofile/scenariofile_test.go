package scenariofile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/adapters/scenariofile"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/scenario"
)

const whole = `name: visit
tenant: acme
description: A visit.
fields:
  - name: day
    type: date
    required: true
    personal: false
    description: The day.
  - name: who
steps:
  - channel: sms
    wanted: read
    wait: 90s
  - channels: [email, push]
senders: {sms: Acme}
content:
  sms:
    text: |
      {% if who %}{{ who }}: {% endif %}
      {{ day }}
  email: {subject: Hello, text: Hello}
  push: {text: Hello}
brand: acme.Clinics
segment: care
`

const small = "name: small\nsteps: [{channel: sms}]\ncontent: {sms: {text: Hello}}\n"

// channels are those that the files are checked against.
var channels = scenario.Channels{
	"sms":   {Content: content.SMS, Sender: func(string) error { return nil }, Routed: true},
	"email": {Content: content.Email, Routed: true},
	"push":  {Content: content.SMS},
}

// text renders the text of a short message.
func text(d scenario.Definition, fields map[string]string) (string, error) {
	document, err := d.Render("sms", fields)
	return document.Member("text"), err
}

func folder(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

func TestLoadReadsEverythingAndFillsInDefaults(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"visit.yaml": whole, "a.yml": small, ".hidden.yaml": "x", "notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := scenariofile.Load(dir, channels)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := set.Scenario("acme", "visit")
	if !ok {
		t.Fatal("visit is not there")
	}
	want := scenario.Definition{
		Name: "visit", Tenant: "acme", Version: got.Version, Description: "A visit.", Brand: "acme.Clinics", Segment: "care",
		Fields: []scenario.Field{
			{Name: "day", Type: scenario.Date, Required: true, Description: "The day."},
			{Name: "who", Type: scenario.Text, Personal: true},
		},
		Steps: []scenario.Step{
			{Channels: []string{"sms"}, Wanted: notification.Read, Wait: notification.Duration(90 * time.Second)},
			{Channels: []string{"email", "push"}, Wanted: notification.Delivered, Wait: notification.Duration(time.Hour)},
		},
		Senders: map[string]string{"sms": "Acme"},
		Contents: map[string]scenario.Content{
			"sms":   {Members: map[string]string{"text": "{% if who %}{{ who }}: {% endif %}\n{{ day }}\n"}},
			"email": {Members: map[string]string{"subject": "Hello", "text": "Hello"}},
			"push":  {Members: map[string]string{"text": "Hello"}},
		},
		Warnings: scenario.Problems{{Path: "steps[1].channels[1]", Rule: "the channel push has no route; attempts skip it"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(scenario.Content{})); diff != "" {
		t.Errorf("visit (-want +got):\n%s", diff)
	}
	if rendered, err := text(got, map[string]string{"day": "2026-12-01"}); err != nil || rendered != "2026-12-01" {
		t.Errorf("Render: %q, %v", rendered, err)
	}
	if len(got.Version) != 12 {
		t.Errorf("version %q", got.Version)
	}
	if _, ok := set.Version("acme", "visit", got.Version); !ok {
		t.Error("its own version is not known")
	}
	if _, ok := set.Version("acme", "visit", "000000000000"); ok {
		t.Error("a version that never was is known")
	}
	if diff := cmp.Diff([]string{"acme", "default"}, set.Tenants()); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
}

func TestATenantSeesOnlyItsOwn(t *testing.T) {
	set, err := scenariofile.LoadFS(folder("b.yaml", strings.Replace(small, "small", "zeta", 1), "a.yaml", small, "v.yaml", whole), "s", channels)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := set.Scenario("acme", "small"); ok {
		t.Error("acme sees a scenario of default")
	}
	var names []string
	for _, d := range set.List("default") {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"small", "zeta"}, names); diff != "" {
		t.Errorf("default's scenarios (-want +got):\n%s", diff)
	}
	if got := set.List("nobody"); len(got) != 0 {
		t.Errorf("nobody has %d scenarios", len(got))
	}
}

func TestVersionChangesWithTheFile(t *testing.T) {
	versions := map[string]bool{}
	for _, content := range []string{small, small + "# a comment\n"} {
		for range 2 {
			set, err := scenariofile.LoadFS(folder("a.yaml", content), "s", channels)
			if err != nil {
				t.Fatal(err)
			}
			d, _ := set.Scenario("default", "small")
			versions[d.Version] = true
		}
	}
	if len(versions) != 2 {
		t.Errorf("two contents have %d versions", len(versions))
	}
}

func TestErrorsNameFileLineAndRule(t *testing.T) {
	for content, wants := range map[string][]string{
		"":                    {"s/a.yaml: the file is empty"},
		"# nothing\n":         {"s/a.yaml: "},
		"name: [":             {"s/a.yaml:1: "},
		"a: b\n\tc: d\n":      {"s/a.yaml:2: "},
		small + "txet: x\n":   {`s/a.yaml:4: unknown key "txet"`, "known: name,"},
		small + "---\na: b":   {"s/a.yaml: a file holds one scenario"},
		small + "name: two\n": {"s/a.yaml:4: ", "already defined"},
		strings.Replace(whole, "required: true", "required: perhaps", 1):                              {"s/a.yaml:7: must be true or false"},
		"name: small\nfields: SECRETVAL\n":                                                            {"s/a.yaml:2: must be a list"},
		"name: {a: b}\n":                                                                              {"s/a.yaml:1: must be a text (one that begins with { needs quotes)"},
		strings.Replace(small, "{text: Hello}", "{text: Hello, text: SECRETVAL}", 1):                  {"s/a.yaml:3: content.sms.text: is there twice"},
		strings.Replace(whole, "required: true", "requird: true", 1):                                  {`s/a.yaml:7: unknown key "requird"`},
		strings.Replace(whole, "type: date", "type: day", 1):                                          {"s/a.yaml:6: fields[0].type: must be text, number, date or boolean"},
		strings.Replace(whole, "wait: 90s", "wait: 90", 1):                                            {"s/a.yaml:14: steps[0].wait: must be a duration such as"},
		strings.Replace(whole, "wait: 90s", "wait: -1s", 1):                                           {"s/a.yaml:14: steps[0].wait: must be more than 0"},
		strings.Replace(whole, "wanted: read", "wanted: seen", 1):                                     {"s/a.yaml:13: steps[0].wanted: must be sent, delivered or read"},
		strings.Replace(whole, "channel: sms", "channel: SMS", 1):                                     {"s/a.yaml:12: steps[0].channels[0]: must be a channel's name"},
		strings.Replace(whole, "[email, push]", "[email, push]\n    channel: x", 1):                   {"s/a.yaml:15: steps[1].channels: give channel or channels, not both"},
		strings.Replace(whole, "name: visit", "name: A visit", 1):                                     {"s/a.yaml:1: name: must be lower-case"},
		strings.Replace(whole, "{{ day }}", "{{ dya }}", 1):                                           {`s/a.yaml:21: content.sms.text: the field "dya" is not defined`},
		strings.Replace(small, "Hello", "{{ x }}", 1):                                                 {"s/a.yaml:3: content.sms.text: must be a text", "needs quotes"},
		strings.Replace(small, "Hello", "'{{ x }}'", 1):                                               {`s/a.yaml:3: content.sms.text: `},
		"name: small\ncontent: {sms: {text: Hello}}\n":                                                {"s/a.yaml:1: steps: must have at least one step"},
		"name: small\nsteps: [{channel: sms}]\n":                                                      {"s/a.yaml:1: content: must have sms, which a step names"},
		strings.Replace(whole, "{subject: Hello,", "{subjekt: Hello,", 1):                             {"s/a.yaml:22: content.email.subjekt: email has no such member", "content.email.subject: is required"},
		strings.Replace(small, "{text: Hello}", "[Hello]", 1):                                         {"s/a.yaml:3: content.sms: must be members and their texts"},
		small + strings.Repeat("#", scenariofile.MaxFileBytes):                                        {"s/a.yaml: the file is larger than"},
		strings.NewReplacer("type: date", "type: day", "wanted: read", "wanted: seen").Replace(whole): {"s/a.yaml:6: ", "s/a.yaml:13: "},
	} {
		_, err := scenariofile.LoadFS(folder("a.yaml", content), "s", channels)
		if err == nil {
			t.Errorf("%.60q was taken", content)
			continue
		}
		if strings.Contains(err.Error(), "SECRETVAL") || strings.Contains(err.Error(), "scenariofile.") {
			t.Errorf("error\n\t%v\nholds a value, or a type of Go", err)
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error\n\t%v\ndoes not say %q", err, want)
			}
		}
	}
}

func TestProblemsOfAllFilesAreReportedAtOnce(t *testing.T) {
	_, err := scenariofile.LoadFS(folder("a.yaml", "x: 1", "b.yaml", small, "c.yaml", small), "s", channels)
	if err == nil || !strings.Contains(err.Error(), "s/a.yaml:1:") || !strings.Contains(err.Error(), "s/c.yaml: the scenario small of tenant default is already in s/b.yaml") {
		t.Errorf("got: %v", err)
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	_, err := scenariofile.Load(filepath.Join(t.TempDir(), "absent"), channels)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got: %v", err)
	}
}

func TestTheSampleScenariosLoad(t *testing.T) {
	set, err := scenariofile.Load("../../cmd/scenarios", channels)
	if err != nil {
		t.Fatal(err)
	}
	appointment, _ := set.Scenario("default", "appointment")
	for want, fields := range map[string]map[string]string{
		"We remind you of your appointment.":                              nil,
		"Dear Ada, we remind you of your appointment on 1 December 2026.": {"name": "Ada", "day": "1 December 2026"},
	} {
		if got, err := text(appointment, fields); err != nil || got != want {
			t.Errorf("appointment: %q, %v; want %q", got, err, want)
		}
	}
	payment, _ := set.Scenario("default", "payment")
	if _, _, problems := payment.CheckFields(nil); len(problems) != 1 || problems[0].Code != scenario.MissingField || problems[0].Field != "fields.notice" {
		t.Errorf("payment without its notice: %v", problems)
	}
	if _, _, problems := appointment.CheckFields(nil); len(problems) != 0 {
		t.Errorf("appointment without fields: %v", problems)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(small))
	f.Add([]byte("name: &a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := scenariofile.LoadFS(fstest.MapFS{"a.yaml": {Data: content}}, "s", channels)
		if err == nil && len(set.Tenants()) != 1 {
			t.Fatalf("one file gave scenarios of %d tenants", len(set.Tenants()))
		}
	})
}

// A file that a scenario attaches is read from its folder, and belongs to its version.
// TestALinkThatLeadsOut of the folder is not followed.
func TestALinkThatLeadsOut(t *testing.T) {
	outside, dir := filepath.Join(t.TempDir(), "secret"), t.TempDir()
	yaml := "name: a\nsteps: [{channel: email}]\ncontent:\n  email:\n    subject: Hello\n    text: Hello\n    attachments:\n      - {name: a, media_type: text/plain, file: link}\n"
	if err := errors.Join(os.WriteFile(outside, []byte("x"), 0o600), os.Symlink(outside, filepath.Join(dir, "link")), os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(yaml), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := scenariofile.Load(dir, channels); err == nil || !strings.Contains(err.Error(), "cannot be opened") {
		t.Errorf("%v", err)
	}
}

func TestAttachments(t *testing.T) {
	const yaml = "name: a\nsteps: [{channel: email}]\ncontent:\n  email:\n    subject: Hello\n    text: Hello\n    attachments:\n      - {name: map, media_type: image/png, file: FILE}\n"
	versions := map[string]bool{}
	for _, data := range []string{"one", "two"} {
		set, err := scenariofile.LoadFS(folder("a.yaml", strings.Replace(yaml, "FILE", "sub/map.png", 1), "sub/map.png", data), "s", channels)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := set.Scenario("default", "a")
		versions[d.Version] = true
		mail, err := d.Render("email", nil)
		if err != nil || len(mail.Attachments) != 1 || string(mail.Attachments[0].Data) != data {
			t.Errorf("attached: %v", err)
		}
	}
	if len(versions) != 2 {
		t.Error("another attachment is the same version")
	}
	for file, want := range map[string]string{"absent.png": "cannot be opened", "../out": "must be a path below", "/etc/passwd": "must be a path below"} {
		_, err := scenariofile.LoadFS(folder("a.yaml", strings.Replace(yaml, "FILE", file, 1)), "s", channels)
		if err == nil || !strings.Contains(err.Error(), "s/a.yaml:8: content.email.attachments[0].file: "+want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A warning names file, line and place.
func TestWarnings(t *testing.T) {
	set, err := scenariofile.LoadFS(folder("a.yaml", "name: a\nsteps:\n  - channel: sms\ncontent:\n  sms:\n    text: hello\n  email:\n    subject: s\n    text: hello\n"), "s", channels)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Warnings(); len(got) != 1 || !strings.HasSuffix(got[0], "a.yaml:8: content.email: no step names this channel") {
		t.Errorf("%q", got)
	}
}
