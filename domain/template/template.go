// Package template compiles and renders the templates of scenarios and routes. They are
// written in a part of Liquid: {{ name | filter }}, if, unless, case. There are no loops,
// no assignments, no includes, no dates (Liquid's know "now"), and no filter that can make
// a text grow without bound.
//
// Promises: a rendering is a pure function of its values, its cost is bounded by the
// template's size, and what a value holds is escaped for the place where it stands. No
// error holds a value. Compile and Render never panic.
package template

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/osteele/liquid"
	"github.com/osteele/liquid/parser"

	"recapito/domain/content"
)

// Limits of every template.
const (
	MaxNesting           = 8
	MaxFiltersExpression = 5
	maxLiteralDigits     = 15
)

// count is the argument of a filter that counts.
var count = regexp.MustCompile(`^\s*(?::\s*[0-9]+\s*(?:[,|]|$)|$|\|)`)

// blocks are the tags allowed, and whether each opens (+1) or closes (−1) a level.
var blocks = map[string]int{
	"if": 1, "unless": 1, "case": 1,
	"elsif": 0, "else": 0, "when": 0,
	"endif": -1, "endunless": -1, "endcase": -1,
}

// counted are the filters whose first argument must be a number that stands there.
var counted = map[string]bool{"truncate": true, "truncatewords": true}

var filters = map[string]bool{
	"default": true, "append": true, "prepend": true,
	"capitalize": true, "downcase": true, "upcase": true,
	"strip": true, "lstrip": true, "rstrip": true,
	"remove": true, "remove_first": true,
	"truncate": true, "truncatewords": true, "size": true,
}

// reserved words are no names.
var reserved = map[string]bool{
	"true": true, "false": true, "nil": true, "null": true, "empty": true, "blank": true,
	"and": true, "or": true, "not": true, "contains": true, "in": true,
}

// words of an expression that are no names.
var words = map[string]bool{"true": true, "false": true, "nil": true, "and": true, "or": true, "contains": true}

// Reserved reports whether a word belongs to the template language, so that no name may be it.
func Reserved(word string) bool { return reserved[word] }

// Options are what a template may use and how its values are escaped.
type Options struct {
	// Names are the names that expressions may use. A member is named with its dot, such as
	// "content.body"; a name without one has no members.
	Names map[string]bool
	// Noun is what errors call a name: "field", "variable".
	Noun string
	// Format is that of the text, by which each value is escaped.
	Format content.Format
	// Escape escapes each value instead, for a place that is no text of a format.
	Escape Escape
	// MaxBytes bounds the template, MaxRendered what it renders.
	MaxBytes, MaxRendered int
}

// Template is a template that was checked. It is safe for concurrent use.
type Template struct {
	parsed *liquid.Template
	max    int
}

// Problem is one broken rule of a template.
type Problem struct {
	Line int // from 1; 0: the template as such
	Rule string
}

// Compile checks a template token by token against what is allowed, then has it parsed. It
// returns either the template or everything that is wrong with it.
func Compile(text string, o Options) (*Template, []Problem) {
	var problems []Problem
	report := func(line int, rule string, args ...any) {
		problems = append(problems, Problem{Line: line, Rule: fmt.Sprintf(rule, args...)})
	}
	if strings.TrimSpace(text) == "" {
		report(0, "must not be empty")
		return nil, problems
	}
	if len(text) > o.MaxBytes {
		report(0, "is longer than %d bytes", o.MaxBytes)
		return nil, problems
	}
	depth := 0
	tokens := parser.Scan(text, parser.SourceLoc{LineNo: 1}, nil)
	for _, token := range tokens {
		line := token.SourceLoc.LineNo
		switch token.Type {
		case parser.ObjTokenType:
			if err := o.checkExpression(token.Args); err != nil {
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
			if err := o.checkExpression(token.Args); err != nil {
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
	if o.Format == content.HTML || o.Format == content.XML {
		problems = append(problems, checkPlaces(tokens, o.Format == content.HTML)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	escape := o.Escape
	if escape == nil {
		escape = escapeFor(o.Format)
	}
	parsed, err := parse(text, escape)
	if err != nil {
		line := 0
		var located parser.Error
		if errors.As(err, &located) {
			line = located.LineNumber()
		}
		report(line, "%s", plain(err))
		return nil, problems
	}
	return &Template{parsed: parsed, max: o.MaxRendered}, nil
}

// parse turns a panic of the template engine into an error: a text that it cannot
// take must not take the process down.
func parse(text string, escape Escape) (t *liquid.Template, err error) {
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, errors.New("the template engine cannot read this text")
		}
	}()
	engine := liquid.NewEngine()
	engine.StrictVariables()
	if escape != nil {
		engine.SetAutoEscapeReplacer(replacer{escape})
	}
	for _, tag := range []string{"assign", "include", "render", "break", "continue", "cycle"} {
		engine.UnregisterTag(tag)
	}
	parsed, failed := engine.ParseTemplateLocation([]byte(text), "", 1)
	if failed != nil {
		return nil, failed
	}
	return parsed, nil
}

// plain is the engine's message without its prefix and the line that we report ourselves.
func plain(err error) string {
	message := err.Error()
	if strings.HasPrefix(message, "Liquid error") {
		if _, rest, ok := strings.Cut(message, ": "); ok {
			return rest
		}
	}
	return message
}

// checkExpression reads an expression's words: each must be a name, a literal, an
// operator or a filter that is allowed.
func (o Options) checkExpression(source string) error {
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
			if dotted := end + memberLength(source[end:]); !piped && o.Names[source[i:dotted]] {
				word, end = source[i:dotted], dotted
			}
			switch {
			case piped:
				if !filters[word] {
					return fmt.Errorf("the filter %q is not allowed", word)
				}
				if counted[word] && !count.MatchString(source[end:]) {
					return fmt.Errorf("the filter %q must have a number, such as %s: 20", word, word)
				}
			case !o.Names[word] && !words[word]:
				return fmt.Errorf("the %s %q is not defined", o.Noun, word)
			}
			i = end
		case c == '(' || c == ')' || strings.HasPrefix(source[i:], ".."):
			return errors.New("ranges and brackets are not allowed")
		case c == '.' || c == '[':
			return fmt.Errorf("%ss have no members", o.Noun)
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

// memberLength returns the length of ".member" at the start of a text, 0 if it has none.
func memberLength(source string) int {
	if len(source) < 2 || source[0] != '.' || !letter(source[1]) {
		return 0
	}
	end := 2
	for end < len(source) && (letter(source[end]) || digit(source[end])) {
		end++
	}
	return end
}

// RenderError is a template that cannot be rendered with its values. It never holds them.
type RenderError struct {
	Line int // from 1; 0: unknown
	Rule string
}

func (e *RenderError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Rule)
	}
	return e.Rule
}

const cannotRender = "the template cannot be rendered with these values"

var errTooLong = errors.New("too long")

// Render returns the template with its values. Every name that the template uses must
// be there; nil renders as nothing and counts as false. The error is a *RenderError.
func (t *Template) Render(values map[string]any) (text string, err error) {
	defer func() {
		if recover() != nil { // of the template engine; its message may hold values
			text, err = "", &RenderError{Rule: cannotRender}
		}
	}()
	out := bounded{max: t.max}
	if failed := t.parsed.FRender(&out, values); failed != nil {
		rule := cannotRender
		var escaping *EscapeError
		switch {
		case errors.As(failed.Cause(), &escaping):
			rule = escaping.Rule
		case errors.Is(failed.Cause(), errTooLong):
			rule = fmt.Sprintf("renders as more than %d bytes", t.max)
		}
		return "", &RenderError{Line: failed.LineNumber(), Rule: rule}
	}
	return out.String(), nil
}

// bounded is a buffer with a limit.
type bounded struct {
	bytes.Buffer
	max int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }
