package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"recapito/domain/template"
)

// MaxRenderedBytes bounds a text with its values.
const MaxRenderedBytes = 64_000

// compileText checks a text and compiles it.
func compileText(text string, fields []Field) (*template.Template, Problems) {
	names := make(map[string]bool, len(fields))
	for _, f := range fields {
		names[f.Name] = true
	}
	compiled, wrong := template.Compile(text, template.Options{Names: names, Noun: "field", MaxBytes: MaxTextBytes, MaxRendered: MaxRenderedBytes})
	var problems Problems
	for _, p := range wrong {
		problems = append(problems, Problem{Path: "text", Line: p.Line, Rule: p.Rule})
	}
	return compiled, problems
}

// Errors of Render. They never hold what was to be rendered.
var (
	ErrMissing   = errors.New("a required field is missing")
	ErrRender    = errors.New("the text cannot be rendered with these fields")
	ErrEmptyText = errors.New("the text renders as empty")
)

// Render makes the text out of the fields' canonical values. An optional field that
// is absent or empty renders as nothing and counts as false. White space round the
// complete text is trimmed. Safe for concurrent use.
func (d Definition) Render(fields map[string]string) (string, error) {
	if d.compiled == nil {
		return "", fmt.Errorf("scenario %s: %w", d.Name, ErrNotCompiled)
	}
	bindings := make(map[string]any, len(d.Fields))
	for _, f := range d.Fields {
		value, given := fields[f.Name]
		if !given || value == "" {
			if f.Required {
				return "", fmt.Errorf("scenario %s, field %s: %w", d.Name, f.Name, ErrMissing)
			}
			bindings[f.Name] = nil
			continue
		}
		bindings[f.Name] = binding(f.Type, value)
	}
	text, err := d.compiled.Render(bindings)
	var failed *template.RenderError
	switch {
	case errors.As(err, &failed) && failed.Line > 0:
		return "", fmt.Errorf("scenario %s, text line %d: %w", d.Name, failed.Line, ErrRender)
	case err != nil:
		return "", fmt.Errorf("scenario %s: %w", d.Name, ErrRender)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("scenario %s: %w", d.Name, ErrEmptyText)
	}
	return text, nil
}

// binding is the value that a template compares: numbers as numbers where no digit
// is lost by it. What is printed is always the canonical text.
func binding(t Type, value string) any {
	switch t {
	case Boolean:
		return value == "true"
	case Number:
		if n, err := strconv.Atoi(value); err == nil {
			return n
		}
		if x, err := strconv.ParseFloat(value, 64); err == nil && strconv.FormatFloat(x, 'f', -1, 64) == value {
			return x
		}
	case Text, Date:
	}
	return value
}
