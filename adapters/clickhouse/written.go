//go:build linux || darwin

package clickhouse

import "strings"

// Our lexer finds places in a statement, and whoever knows how it differs from the
// engine's can write a text that the two read differently: a quote that only one of them
// sees hides from the check what then runs. So a text that was cut or added to is
// compared as the engine's own parser writes it.

// written is a statement as the engine's parser writes it, on one line, with its own
// quotes and without comments. The connection, which is one request's, remembers it: a
// reader's statement is asked for several times.
func written(conn *connection, text string) (string, error) {
	if known, ok := conn.texts[text]; ok {
		return known, nil
	}
	res, err := conn.exec("SELECT formatQuerySingleLine("+quote(text)+")", "TabSeparatedRaw")
	if err != nil {
		return "", err
	}
	conn.texts[text] = strings.TrimSuffix(string(res.data), "\n")
	return conn.texts[text], nil
}

// differBy reports whether the engine reads two statements alike but for a clause, which only
// the longer one has. What does not parse is not alike.
func differBy(conn *connection, longer, shorter, clause string) bool {
	long, err := written(conn, longer)
	if err != nil {
		return false
	}
	short, err := written(conn, shorter)
	if err != nil {
		return false
	}
	at := strings.LastIndex(long, clause)
	return at >= 0 && long[:at]+long[at+len(clause):] == short
}
