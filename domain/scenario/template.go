package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/osteele/liquid"
	"github.com/osteele/liquid/parser"
)

// Texts are written in a part of Liquid: {{ field | filter }}, if, unless, case.
// There are no loops, no assignments, no includes, no dates (Liquid's know "now"), and
// no filter that can make a text grow without bound, so that a rendering is a pure
// function of its fields and its cost is bounded by the text's size.

// Limits of a text.
const (
	MaxNesting           = 8
	MaxFiltersExpression = 5
	MaxRenderedBytes     = 64_000
	maxLiteralDigits     = 15
)

// blocks are the tags allowed, and whether each opens (+1) or closes (−1) a level.
var blocks = map[string]int{
	"if": 1, "unless": 1, "case": 1,
	"elsif": 0, "else": 0, "when": 0,
	"endif": -1, "endunless": -1, "endcase": -1,
}

var filters = map[string]bool{
	"default": true, "append": true, "prepend": true,
	"capitalize": true, "downcase": true, "upcase": true,
	"strip": true, "lstrip": true, "rstrip": true,
	"remove": true, "remove_first": true,
	"truncate": true, "truncatewords": true, "size": true,
}

// reserved words are no names of fields.
var reserved = map[string]bool{
	"true": true, "false": true, "nil": true, "null": true, "empty": true, "blank": true,
	"and": true, "or": true, "not": true, "contains": true, "in": true,
}

// words of an expression that are no fields.
var words = map[string]bool{"true": true, "false": true, "nil": true, "and": true, "or": true, "contains": true}

// compileText checks a text token by token against what is allowed, then has it parsed.
func compileText(text string, fields []Field) (*liquid.Template, Problems) {
	var problems Problems
	report := func(line int, rule string, args ...any) {
		problems = append(problems, Problem{Path: "text", Line: line, Rule: fmt.Sprintf(rule, args...)})
	}
	if strings.TrimSpace(text) == "" {
		report(0, "must not be empty")
		return nil, problems
	}
	if len(text) > MaxTextBytes {
		report(0, "is longer than %d bytes", MaxTextBytes)
		return nil, problems
	}
	types := make(map[string]Type, len(fields))
	for _, f := range fields {
		types[f.Name] = f.Type
	}
	depth := 0
	for _, token := range parser.Scan(text, parser.SourceLoc{LineNo: 1}, nil) {
		line := token.SourceLoc.LineNo
		switch token.Type {
		case parser.ObjTokenType:
			if err := checkExpression(token.Args, types); err != nil {
				report(line, "%s", err)
			}
		case parser.TagTokenType:
			level, ok := blocks[token.Name]
			if !ok {
				report(line, "the tag %q is not allowed; if, unless and case are", token.Name)
				continue
			}
			if depth += level; depth > MaxNesting {
				report(line, "blocks are nested more than %d deep", MaxNesting)
				return nil, problems
			}
			if err := checkExpression(token.Args, types); err != nil {
				report(line, "%s", err)
			}
		case parser.TextTokenType:
			if i := strings.Index(token.Source, "{{"); i >= 0 {
				report(line+strings.Count(token.Source[:i], "\n"), "{{ is not closed")
			}
			if i := strings.Index(token.Source, "{%"); i >= 0 {
				report(line+strings.Count(token.Source[:i], "\n"), "{%% is not closed")
			}
		case parser.TrimLeftTokenType, parser.TrimRightTokenType:
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	parsed, err := parse(text)
	if err != nil {
		line := 0
		var located parser.Error
		if errors.As(err, &located) {
			line = located.LineNumber()
		}
		report(line, "%s", plain(err))
		return nil, problems
	}
	return parsed, nil
}

// parse turns a panic of the template engine into an error: a text that it cannot
// take must not take the process down.
func parse(text string) (t *liquid.Template, err error) {
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, errors.New("the template engine cannot read this text")
		}
	}()
	engine := liquid.NewEngine()
	engine.StrictVariables()
	for _, tag := range []string{"assign", "include", "render", "break", "continue", "cycle"} {
		engine.UnregisterTag(tag)
	}
	parsed, failed := engine.ParseTemplateLocation([]byte(text), "", 1)
	if failed != nil {
		return nil, failed
	}
	return parsed, nil
}

// plain is the engine's message without its prefix and the line we tell ourselves.
func plain(err error) string {
	message := err.Error()
	if strings.HasPrefix(message, "Liquid error") {
		if _, rest, ok := strings.Cut(message, ": "); ok {
			return rest
		}
	}
	return message
}

// checkExpression reads an expression's words: each must be a field, a literal, an
// operator or a filter that is allowed.
func checkExpression(source string, fields map[string]Type) error {
	piped, filtersSeen := false, 0
	for i := 0; i < len(source); {
		c := source[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '"' || c == '\'':
			end := strings.IndexByte(source[i+1:], c)
			if end < 0 {
				return errors.New("a quoted text is not closed")
			}
			if strings.ContainsAny(source[i+1:i+1+end], "\\") {
				return errors.New("a quoted text may not hold a backslash")
			}
			i += end + 2
		case c == '|':
			if filtersSeen++; filtersSeen > MaxFiltersExpression {
				return fmt.Errorf("at most %d filters in one expression", MaxFiltersExpression)
			}
			piped = true
			i++
			continue
		case digit(c) || (c == '-' && i+1 < len(source) && digit(source[i+1])):
			end := i + 1
			for end < len(source) && (digit(source[end]) || (source[end] == '.' && end+1 < len(source) && digit(source[end+1]))) {
				end++
			}
			if end-i > maxLiteralDigits {
				return fmt.Errorf("a number has more than %d digits", maxLiteralDigits)
			}
			i = end
		case letter(c):
			end := i + 1
			for end < len(source) && (letter(source[end]) || digit(source[end]) || source[end] == '-') {
				end++
			}
			word := source[i:end]
			switch _, isField := fields[word]; {
			case piped:
				if !filters[word] {
					return fmt.Errorf("the filter %q is not allowed", word)
				}
			case !isField && !words[word]:
				return fmt.Errorf("the field %q is not defined", word)
			}
			i = end
		case c == '(' || c == ')' || strings.HasPrefix(source[i:], ".."):
			return errors.New("ranges and brackets are not allowed")
		case c == '.' || c == '[':
			return errors.New("fields have no members")
		case strings.IndexByte("=!<>:,", c) >= 0:
			i++
		default:
			return errors.New("an expression holds a character that is not allowed")
		}
		piped = false
	}
	return nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func letter(c byte) bool { return c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z') }

// Errors of Render. They never hold what was to be rendered.
var (
	ErrMissing   = errors.New("a required field is missing")
	ErrRender    = errors.New("the text cannot be rendered with these fields")
	ErrEmptyText = errors.New("the text renders as empty")
)

var errRenderedTooLong = errors.New("rendered text too long")

// Render makes the text out of the fields' canonical values. An optional field that
// is absent or empty renders as nothing and counts as false. White space round the
// whole text is trimmed. Safe for concurrent use.
func (d Definition) Render(fields map[string]string) (text string, err error) {
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
	defer func() {
		if recover() != nil { // of the template engine; what it says may hold values
			text, err = "", fmt.Errorf("scenario %s: %w", d.Name, ErrRender)
		}
	}()
	var out bounded
	if failed := d.compiled.FRender(&out, bindings); failed != nil {
		return "", fmt.Errorf("scenario %s, text line %d: %w", d.Name, failed.LineNumber(), ErrRender)
	}
	text = strings.TrimSpace(out.String())
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

// bounded is a buffer with a limit.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxRenderedBytes {
		return 0, errRenderedTooLong
	}
	return b.Buffer.Write(p)
}

func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }
