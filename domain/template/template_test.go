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

func options(escape template.Escape) template.Options {
	return template.Options{
		Names: map[string]bool{"address": true, "content": true, "content.body": true}, Noun: "variable",
		Escape: escape, MaxBytes: 1000, MaxRendered: 2000,
	}
}

func values(address, body string) map[string]any {
	return map[string]any{"address": address, "content": map[string]any{"body": body}}
}

const nasty = "a\"b\\c\r\nX: y&z=1/../<é>'?#%+ "

func TestEscapingByPlace(t *testing.T) {
	for _, c := range []struct {
		name           string
		escape         template.Escape
		template, want string
	}{
		{"as it is", nil, "{{ content.body }}", nasty},
		{"JSON", template.JSONString, `{"t":"{{ content.body }}"}`, `{"t":"a\"b\\c\r\nX: y\u0026z=1/../\u003cé\u003e'?#%+ "}`},
		{"URL", template.URLPart, "/u/{{ content.body }}", "/u/a%22b%5Cc%0D%0AX%3A%20y%26z%3D1%2F..%2F%3C%C3%A9%3E%27%3F%23%25%2B%20"},
		{"markup", template.Markup, "<p>{{ content.body }}</p>", "<p>a&#34;b\\c\r\nX: y&amp;z=1/../&lt;é&gt;&#39;?#%+ </p>"},
		{"form", template.EscapeFor(content.Form), "t={{ content.body }}", "t=a%22b%5Cc%0D%0AX%3A+y%26z%3D1%2F..%2F%3C%C3%A9%3E%27%3F%23%25%2B+"},
		{"within a block", template.JSONString, `{% if address contains "x" %}no{% else %}{{ content.body }}{% endif %}`, `a\"b\\c\r\nX: y\u0026z=1/../\u003cé\u003e'?#%+ `},
	} {
		compiled, problems := template.Compile(c.template, options(c.escape))
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
		compiled, problems := template.Compile(source, options(template.OneLine))
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
	compiled, _ := template.Compile("{{ content.body }}{{ content.body }}", options(nil))
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
		"{% for x in content %}{% endfor %}": `the tag "for" is not allowed`,
		"{{ address ":                        "{{ is not closed",
		" ":                                  "must not be empty",
		strings.Repeat("x", 1001):            "is longer than 1000 bytes",
	} {
		_, problems := template.Compile(source, options(nil))
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
		if compiled, problems := template.Compile(source, options(template.JSONString)); problems == nil {
			if out, err := compiled.Render(values(value, value)); err == nil && len(out) > 2000 {
				t.Errorf("rendered %d bytes", len(out))
			}
		}
		quoted, _ := template.JSONString(value)
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
