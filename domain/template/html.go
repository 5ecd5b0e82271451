package template

import (
	"strings"

	"github.com/osteele/liquid/parser"
	"golang.org/x/net/html"
)

// checkPlaces returns what is wrong with the places of the expressions of HTML or XML. A
// value is escaped for text and for quoted attributes, and is safe nowhere else. (In a
// comment it is: it cannot end one.) runs is whether a browser runs scripts of the text.
func checkPlaces(tokens []parser.Token, runs bool) []Problem {
	// An expression becomes a mark with a space in it: an attribute without quotes ends there,
	// and the rest of the mark is the name of another.
	const mark, ending = "recapito-value", "recapito-value-end"
	var b strings.Builder
	for _, t := range tokens {
		switch t.Type {
		case parser.ObjTokenType:
			b.WriteString(mark + " " + ending)
		case parser.TextTokenType:
			b.WriteString(t.Source)
		case parser.TagTokenType, parser.TrimLeftTokenType, parser.TrimRightTokenType:
		}
	}
	var problems []Problem
	report := func(rule string) {
		for _, p := range problems {
			if p.Rule == rule {
				return
			}
		}
		problems = append(problems, Problem{Rule: rule})
	}
	z := html.NewTokenizer(strings.NewReader(b.String()))
	raw := ""
	for {
		switch z.Next() {
		case html.ErrorToken: // its end
			return problems
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			raw = ""
			if t.Data == "script" || t.Data == "style" {
				raw = t.Data
			}
			if strings.Contains(t.Data, mark) {
				report("a value may not stand in the name of an element")
			}
			for _, a := range t.Attr {
				switch {
				case strings.Contains(a.Key, mark):
					report("a value in an element must stand in a quoted attribute")
				case !runs || !strings.Contains(a.Val, mark):
				case t.Data == "meta":
					report("a value may not stand in meta")
				case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc":
					report("a value may not stand in the attribute " + a.Key)
				}
			}
		case html.EndTagToken:
			raw = ""
		case html.TextToken:
			if runs && raw != "" && strings.Contains(string(z.Raw()), mark) {
				report("a value may not stand in " + raw)
			}
		case html.CommentToken, html.DoctypeToken:
		}
	}
}
