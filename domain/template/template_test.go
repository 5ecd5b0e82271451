package template_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"recapito/domain/content"
	"recapito/domain/template"
)

func options(format content.Format, escape template.Escape) template.Options {
	return template.Options{
		Names: map[string]bool{"address": true, "content": true, "content.body": true}, Noun: "variable",
		Format: format, Escape: escape, MaxBytes: 1000, MaxRendered: 2000,
	}
}

func values(address, body string) map[string]any {
	return map[string]any{"address": address, "content": map[string]any{"body": body}}
}

const nasty = "a\"b\\c\r\nX: y&z=1/../<é>'?#%+ "

func TestEscapingByPlace(t *testing.T) {
	for _, c := range []struct {
		name           string
		format         content.Format
		escape         template.Escape
		template, want string
	}{
		{"as it is", content.Text, nil, "{{ content.body }}", nasty},
		{"JSON", content.JSON, nil, `{"t":"{{ content.body }}"}`, `{"t":"a\"b\\c\r\nX: y\u0026z=1/../\u003cé\u003e'?#%+ "}`},
		{"URL", "", template.URLPart, "/u/{{ content.body }}", "/u/a%22b%5Cc%0D%0AX%3A%20y%26z%3D1%2F..%2F%3C%C3%A9%3E%27%3F%23%25%2B%20"},
		{"HTML", content.HTML, nil, "<p>{{ content.body }}</p>", "<p>a&#34;b\\c\r\nX: y&amp;z=1/../&lt;é&gt;&#39;?#%+ </p>"},
		{"form", content.Form, nil, "t={{ content.body }}", "t=a%22b%5Cc%0D%0AX%3A+y%26z%3D1%2F..%2F%3C%C3%A9%3E%27%3F%23%25%2B+"},
		{"within a block", content.JSON, nil, `{% if address contains "x" %}no{% else %}{{ content.body }}{% endif %}`, `a\"b\\c\r\nX: y\u0026z=1/../\u003cé\u003e'?#%+ `},
	} {
		compiled, problems := template.Compile(c.template, options(c.format, c.escape))
		if problems != nil {
			t.Errorf("%s: %v", c.name, problems)
			continue
		}
		got, err := compiled.Render(values("u", nasty))
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestAValueThatMayNotStandAtItsPlace(t *testing.T) {
	for _, source := range []string{"{{ content.body }}", "\n{% if address %}{% if address %}\n{{ content.body }}{% endif %}{% endif %}"} {
		compiled, problems := template.Compile(source, options(content.Line, nil))
		if problems != nil {
			t.Fatal(problems)
		}
		_, err := compiled.Render(values("u", "secret\r\nBcc: x"))
		var failed *template.RenderError
		if !errors.As(err, &failed) || failed.Rule != "a value holds a line break or another control character" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestRenderingIsBounded(t *testing.T) {
	compiled, _ := template.Compile("{{ content.body }}{{ content.body }}", options(content.Text, nil))
	_, err := compiled.Render(values("u", strings.Repeat("x", 1500)))
	if err == nil || !strings.Contains(err.Error(), "renders as more than 2000 bytes") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for source, want := range map[string]string{
		"{{ content.other }}":                "variables have no members",
		"{{ content.body.size }}":            "variables have no members",
		"{{ address.size }}":                 "variables have no members",
		"{{ other }}":                        `the variable "other" is not defined`,
		"{{ content.body | safe }}":          `the filter "safe" is not allowed`,
		"{{ content.body | content.body }}":  "is not allowed",
		"{{ address | truncate: address }}":  `the filter "truncate" must have a number`,
		"{{ address | truncatewords: 'x' }}": `the filter "truncatewords" must have a number`,
		"{% for x in content %}{% endfor %}": `the tag "for" is not allowed`,
		"{{ address ":                        "{{ is not closed",
		" ":                                  "must not be empty",
		strings.Repeat("x", 1001):            "is longer than 1000 bytes",
	} {
		_, problems := template.Compile(source, options(content.Text, nil))
		if len(problems) == 0 || !strings.Contains(problems[0].Rule, want) {
			t.Errorf("%q: %v, want %q", source, problems, want)
		}
	}
}

// FuzzRender: whatever a template and its value hold, nothing panics, a rendering keeps
// its bound, and a value in a JSON string or in a URL stays within it.
func FuzzRender(f *testing.F) {
	f.Add("{{ content.body | upcase }}", nasty)
	f.Add("{% case address %}{% when 'a' %}{{ content.body }}{% endcase %}", "")
	f.Add("{{ content.body | truncate: 3, '\"' }}", "\xff\xfe")
	f.Fuzz(func(t *testing.T, source, value string) {
		if compiled, problems := template.Compile(source, options(content.JSON, nil)); problems == nil {
			if out, err := compiled.Render(values(value, value)); err == nil && len(out) > 2000 {
				t.Errorf("rendered %d bytes", len(out))
			}
		}
		inJSON, _ := template.Compile("{{ content.body }}", options(content.JSON, nil))
		quoted, err := inJSON.Render(values("", value))
		if err != nil { // longer than the bound
			return
		}
		var back string
		if err := json.Unmarshal([]byte(`"`+quoted+`"`), &back); err != nil || back != strings.ToValidUTF8(value, "�") && strings.ToValidUTF8(value, "") == value {
			t.Errorf("JSON: %v", err)
		}
		part, _ := template.URLPart(value)
		if unescaped, err := url.PathUnescape(part); err != nil || unescaped != value || strings.ContainsAny(part, "/?#&=+ \r\n\"") {
			t.Errorf("URL: %v", err)
		}
	})
}

// In HTML a value stands in text, in a quoted attribute, or in a comment, and nowhere else.
func TestPlacesOfValuesInHTML(t *testing.T) {
	for source, want := range map[string]string{
		"<p>{{ address }}</p>": "",
		`<a href="https://example.org/{{ address }}" title='{{ address }}'>x</a>`:        "",
		`<td {% if address %}class="x"{% endif %}>{{ address | truncate: 20, "" }}</td>`: "",
		"<!--[if mso]><p>{{ address }}</p><![endif]-->":                                  "",
		"<style>p {color: red}</style><p>{{ address }}</p>":                              "",
		"<a href={{ address }}>x</a>":                                                    "must stand in a quoted attribute",
		"<a {{ address }}>x</a>":                                                         "must stand in a quoted attribute",
		"<{{ address }}>x":                                                               "in the name of an element",
		`<a onclick="f('{{ address }}')">x</a>`:                                          "may not stand in the attribute onclick",
		`<meta http-equiv="refresh" content="0;url={{ address }}">`:                      "may not stand in meta",
		`<a style="color: {{ address }}">x</a>`:                                          "may not stand in the attribute style",
		"<script>var a = '{{ address }}'</script>":                                       "may not stand in script",
		"<style>p {color: {{ address }}}</style>":                                        "may not stand in style",
		"<STYLE>p {color: {% if address %}{{ address }}{% endif %}}":                     "may not stand in style",
	} {
		_, problems := template.Compile(source, options(content.HTML, nil))
		_, inXML := template.Compile(source, options(content.XML, nil))
		if want == "" && inXML != nil || strings.Contains(want, "element") && inXML == nil {
			t.Errorf("%s in XML: %v", source, inXML)
		}
		if want == "" && problems != nil || want != "" && (len(problems) == 0 || !strings.Contains(problems[0].Rule, want)) {
			t.Errorf("%s: %v; want %q", source, problems, want)
		}
	}
}
