//go:build linux || darwin

package clickhouse

import "strings"

// The engine's tree does not show all there is to a statement: what stands in the WHERE
// or LIMIT of a SHOW is not in it, and a later version may hide more. So the text that its
// parser writes is looked at too; there a word is one word, however it was quoted.

// checkReaderText refuses what a reader's statement must not hold, wherever it stands, and
// returns how many SELECTs there are: as many must be in the tree.
func checkReaderText(q *request, text string) (selects int, err error) {
	// Formats so named end with how much was read.
	if strings.Contains(strings.ToLower(text+" FORMAT "+q.format), "withprogress") {
		return 0, refuse(codeAccessDenied, "Not enough privileges: the format shows how much was read. (ACCESS_DENIED)")
	}
	// PREWHERE comes before the filters: an exception in it would show others' rows.
	if strings.Contains(strings.ToLower(text), "prewhere") {
		return 0, refuse(codeAccessDenied, "%s: Not enough privileges: PREWHERE is not for readers; WHERE is. (ACCESS_DENIED)", q.reader.Name)
	}
	l := &lexer{text: []byte(text)}
	var word string // the last one, if it stands just before
	for {
		t, more := l.next()
		if !more {
			return selects, nil
		}
		switch {
		case l.isSymbol(t, '(') && deniedFunction(strings.ToLower(strings.Trim(word, "`"))):
			return 0, refuse(codeAccessDenied, "Not enough privileges: the function is not for readers. (ACCESS_DENIED)")
		case l.is(t, "SELECT"):
			selects++
		}
		word = text[t.start:t.end]
	}
}

// checkShow refuses conditions in a SHOW: neither they nor its settings are in the tree.
func checkShow(text string) error {
	l := &lexer{text: []byte(text)}
	for i := 0; ; i++ {
		t, more := l.next()
		if !more {
			return nil
		}
		if l.is(t, "WHERE") || l.is(t, "SETTINGS") && i > 1 || l.isSymbol(t, '(') {
			return refuse(codeAccessDenied, "Not enough privileges: conditions in SHOW are not for readers; LIKE is. (ACCESS_DENIED)")
		}
	}
}
