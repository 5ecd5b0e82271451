package clickhouse

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// formatName is what every format's is like.
var formatName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

// insertHead is an INSERT that takes its rows from the request, cut up: before
// + a place for the source + settings + FORMAT format, and where the rows
// begin.
type insertHead struct {
	before   string // INSERT INTO t (a, b)
	settings string // SETTINGS …, or empty
	format   string
	data     int // offset of the rows in the text
}

// from is the statement that reads the rows from a file.
func (h insertHead) from(path string) string {
	return fmt.Sprintf("%s FROM INFILE '%s' COMPRESSION 'none' %s FORMAT %s", h.before, path, h.settings, h.format)
}

// parseInsert recognises INSERT [INTO] [TABLE] name [(…)] [PARTITION BY …]
// [SETTINGS …] FORMAT f rows, and the same with VALUES. ok is false for every
// other statement, INSERT … SELECT among them.
func parseInsert(text []byte) (head insertHead, ok bool) {
	l := &lexer{text: text}
	t, more := l.next()
	if !more || !l.is(t, "INSERT") {
		return head, false
	}
	t, more = l.next()
	if more && l.is(t, "INTO") {
		t, more = l.next()
	}
	if more && l.is(t, "TABLE") {
		t, more = l.next()
	}
	// t is the table's name (or FUNCTION, which the engine's grants refuse);
	// what follows a dot belongs to it.
	end, settings := t.end, -1
	for afterDot := false; more; {
		t, more = l.next()
		switch {
		case !more:
			return head, false
		case l.isSymbol(t, '.'):
			afterDot = true
		case afterDot:
			afterDot = false
		case t.depth > 0 || t.kind != tokenWord:
		case l.is(t, "SETTINGS") && settings < 0:
			settings = t.start
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "FROM"):
			return head, false
		case l.is(t, "VALUES"):
			return cutInsert(text, end, settings, t.start, "Values", t.end), true
		case l.is(t, "FORMAT"):
			name, hasName := l.next()
			if !hasName || name.kind != tokenWord {
				return head, false
			}
			return cutInsert(text, end, settings, t.start, string(text[name.start:name.end]), dataStart(text, name.end)), true
		}
		if settings < 0 {
			end = t.end
		}
	}
	return head, false
}

func cutInsert(text []byte, end, settings, keyword int, format string, data int) insertHead {
	head := insertHead{before: string(text[:end]), format: format, data: data}
	if settings >= 0 {
		head.settings = string(text[settings:keyword])
	}
	return head
}

// dataStart follows ClickHouse: rows begin after the spaces behind the
// format's name and after the first line end, if there is one.
func dataStart(text []byte, pos int) int {
	for pos < len(text) && (text[pos] == ' ' || text[pos] == '\t' || text[pos] == '\f') {
		pos++
	}
	if pos < len(text) && text[pos] == '\r' {
		pos++
	}
	if pos < len(text) && text[pos] == '\n' {
		pos++
	}
	return pos
}

// outputForms are the ways to write a reading statement so that its output
// goes to a file: with the clause before its FORMAT, and with it at the end.
// The engine's parser decides which one is right; a column may be named format.
func outputForms(text []byte, path, defaultFormat string) (forms []string, formats []string) {
	l := &lexer{text: text}
	var tokens []token
	for t, more := l.next(); more; t, more = l.next() {
		tokens = append(tokens, t)
	}
	for len(tokens) > 0 && l.isSymbol(tokens[len(tokens)-1], ';') {
		tokens = tokens[:len(tokens)-1]
	}
	if len(tokens) == 0 {
		return nil, nil
	}
	clause := outputClause(path)
	end := tokens[len(tokens)-1].end
	for i := len(tokens) - 2; i > 0; i-- {
		if name, ok := l.formatName(tokens[i], tokens[i+1]); ok {
			at := tokens[i].start
			forms = append(forms, string(text[:at])+clause+string(text[at:end]))
			formats = append(formats, name)
			break
		}
	}
	forms = append(forms, string(text[:end])+clause+"FORMAT "+defaultFormat)
	formats = append(formats, defaultFormat)
	return forms, formats
}

// formatName is the name in a clause FORMAT name, quoted or not.
func (l *lexer) formatName(keyword, name token) (string, bool) {
	text := string(l.text[name.start:name.end])
	if name.kind == tokenQuoted && (text[0] == '`' || text[0] == '"') {
		text = strings.Trim(text, text[:1])
	}
	return text, keyword.depth == 0 && l.is(keyword, "FORMAT") && formatName.MatchString(text)
}

// outputClause is what sends a statement's output to a path, as the engine writes it
// itself, with a space on either side.
func outputClause(path string) string {
	return fmt.Sprintf(" INTO OUTFILE '%s' TRUNCATE COMPRESSION 'none' ", path)
}

// setsSession reports whether a statement changes nothing but the session that it runs in.
func setsSession(text []byte) bool {
	l := &lexer{text: text}
	first, ok := l.next()
	if !ok {
		return false
	}
	if l.is(first, "SET") || l.is(first, "USE") {
		return true
	}
	// CREATE [OR REPLACE] TEMPORARY TABLE, DROP TEMPORARY TABLE.
	for range 3 {
		if t, ok := l.next(); ok && l.is(t, "TEMPORARY") {
			return true
		}
	}
	return false
}

// touchesFiles reports whether a text names the clauses that read or write files,
// anywhere in it, quoted or not: this must not depend on our lexer and the
// engine's agreeing.
func touchesFiles(text []byte) bool {
	lower := bytes.ToLower(text)
	return bytes.Contains(lower, []byte("infile")) || bytes.Contains(lower, []byte("outfile"))
}

// quote makes a string literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteName makes a quoted identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
