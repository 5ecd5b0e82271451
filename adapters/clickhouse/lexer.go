package clickhouse

import (
	"bytes"
	"strings"
)

// tokenKind distinguishes what the front needs to know; everything else is a
// symbol.
type tokenKind int

const (
	tokenWord   tokenKind = iota // an unquoted name, keyword or number
	tokenQuoted                  // a string, a quoted name, a heredoc
	tokenSymbol                  // one byte of anything else
)

type token struct {
	kind       tokenKind
	start, end int
	depth      int // of parentheses and brackets round it
}

// lexer walks a statement's tokens by ClickHouse's lexical rules: nested block
// comments, -- and # comments, backslash and doubled-quote escapes, heredocs.
// It only has to find places in well-formed statements; whether a statement is
// allowed is decided on what the engine's own parser makes of it.
type lexer struct {
	text  []byte
	pos   int
	depth int
}

func (l *lexer) next() (token, bool) {
	l.skipSpace()
	if l.pos >= len(l.text) {
		return token{}, false
	}
	t := token{start: l.pos, depth: l.depth}
	switch c := l.text[l.pos]; {
	case isWordByte(c):
		t.kind = tokenWord
		// A dollar goes on with a word, but begins a heredoc.
		for l.pos < len(l.text) && (isWordByte(l.text[l.pos]) || l.text[l.pos] == '$') {
			l.pos++
		}
	case c == '\'' || c == '"' || c == '`':
		t.kind = tokenQuoted
		l.skipQuoted(c)
	case c == '$':
		t.kind = tokenQuoted
		l.skipHeredoc()
	default:
		t.kind = tokenSymbol
		l.pos++
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth = max(0, l.depth-1)
			t.depth = l.depth
		}
	}
	t.end = l.pos
	return t, true
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case rest[0] == ' ' || rest[0] >= '\t' && rest[0] <= '\r':
			l.pos++
		case bytes.HasPrefix(rest, []byte("--")), bytes.HasPrefix(rest, []byte("# ")), bytes.HasPrefix(rest, []byte("#!")):
			if end := bytes.IndexByte(rest, '\n'); end >= 0 {
				l.pos += end + 1
			} else {
				l.pos = len(l.text)
			}
		case bytes.HasPrefix(rest, []byte("/*")):
			l.skipBlockComment()
		default:
			return
		}
	}
}

func (l *lexer) skipBlockComment() {
	for nesting := 0; l.pos < len(l.text); {
		switch rest := l.text[l.pos:]; {
		case bytes.HasPrefix(rest, []byte("/*")):
			nesting++
			l.pos += 2
		case bytes.HasPrefix(rest, []byte("*/")):
			nesting--
			l.pos += 2
			if nesting == 0 {
				return
			}
		default:
			l.pos++
		}
	}
}

func (l *lexer) skipQuoted(quote byte) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch l.text[l.pos] {
		case '\\':
			l.pos++
		case quote:
			l.pos++
			if l.pos >= len(l.text) || l.text[l.pos] != quote {
				return
			}
		}
	}
	l.pos = len(l.text)
}

// skipHeredoc passes $tag$ … $tag$; a dollar that opens none is one byte.
func (l *lexer) skipHeredoc() {
	rest := l.text[l.pos:]
	n := 1
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if n < len(rest) && rest[n] == '$' {
		tag := rest[:n+1]
		if end := bytes.Index(rest[n+1:], tag); end >= 0 {
			l.pos += n + 1 + end + len(tag)
			return
		}
	}
	l.pos++
}

func (l *lexer) is(t token, word string) bool {
	return t.kind == tokenWord && strings.EqualFold(string(l.text[t.start:t.end]), word)
}

func (l *lexer) isSymbol(t token, symbol byte) bool {
	return t.kind == tokenSymbol && l.text[t.start] == symbol
}
