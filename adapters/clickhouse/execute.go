//go:build linux || darwin

package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// controlWords begin the statements of the engine's class "control" that the
// front lets through; the user's grants decide further. Refused are those that
// touch files (INTO OUTFILE, INSERT INTO FUNCTION, ATTACH … FROM, BACKUP) and
// those that make no sense without a session.
var controlWords = []string{"SET", "USE", "KILL", "SYSTEM", "CREATE", "DROP"}

// rowWords begin statements that change rows or settings, but no tables.
var rowWords = []string{"INSERT", "DELETE", "UPDATE", "OPTIMIZE", "SET", "USE", "KILL"}

// execute runs the request's statement and writes its output.
func (f *front) execute(ctx context.Context, conn *connection, q *request, rows *os.File, out *response) (result, error) {
	if q.isInsert {
		return f.insert(conn, q, rows)
	}
	class, statements := conn.classify(string(q.text))
	switch {
	case statements == 0:
		return result{}, syntaxError(conn, q.text)
	case statements > 1:
		return result{}, refuse(codeSyntax, "Syntax error (Multi-statements are not allowed)")
	}
	if q.reader == nil { // of a reader's, prepareReader saw more
		if err := checkFunctions(conn, q.text, q.parameters); err != nil {
			return result{}, err
		}
	}
	switch {
	case class == classReadOnly:
		return f.read(ctx, conn, q, out)
	case q.reader != nil:
		return result{}, refuse(codeReadonly, "%s: Cannot execute query in readonly mode. (READONLY)", q.reader.Name)
	case touchesFiles(q.text):
		return result{}, refuse(codeAccessDenied, "INTO OUTFILE and FROM INFILE are not allowed")
	case class == classControl && !slices.Contains(controlWords, firstWord(q.text)):
		return result{}, refuse(codeAccessDenied, "this kind of statement is not allowed")
	case class == classUnknown:
		return result{}, refuse(codeNotImplemented, "this kind of statement is not known")
	}
	if q.inSession && setsSession(q.text) {
		return result{}, refuse(codeNotImplemented, "sessions are not supported: what this sets would be gone with the request")
	}
	if !slices.Contains(rowWords, firstWord(q.text)) {
		f.schema.Add(1)
		defer f.schema.Add(1)
	}
	res, err := conn.exec(string(q.text), q.format, q.parameters...)
	if err != nil {
		return result{}, err
	}
	_, err = out.Write(res.data)
	return res, err
}

// insert runs an INSERT whose rows stand in a file. It is not cancelled when
// its client goes away, as in ClickHouse.
func (f *front) insert(conn *connection, q *request, rows *os.File) (result, error) {
	if touchesFiles(q.text) {
		return result{}, refuse(codeAccessDenied, "INTO OUTFILE and FROM INFILE are not allowed")
	}
	statement := q.insert.from(pathOf(rows))
	class, statements := conn.classify(statement)
	switch {
	case statements == 0:
		return result{}, syntaxError(conn, q.text)
	case statements > 1:
		return result{}, refuse(codeSyntax, "Syntax error (Multi-statements are not allowed)")
	case class > classMutatingGlobal:
		return result{}, refuse(codeAccessDenied, "this kind of insert is not allowed")
	}
	if err := checkFunctions(conn, []byte(statement), q.parameters); err != nil {
		return result{}, err
	}
	if err := quietValues(conn, q.insert, rows); err != nil {
		return result{}, err
	}
	return conn.exec(statement, q.format, q.parameters...)
}

// read runs a statement that only reads. Its output goes through a pipe, in
// whatever format, with as much memory as the pipe has; when the client goes
// away it is cancelled.
func (f *front) read(ctx context.Context, conn *connection, q *request, out *response) (result, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return result{}, fmt.Errorf("make a pipe for a response: %w", err)
	}
	defer func() { _ = reader.Close() }()
	statement, format := outputTo(conn, q, pathOf(writer))
	out.format = format

	type outcome struct {
		result
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		res, err := conn.exec(statement, format, q.parameters...)
		// Ours was the last writing end.
		ended <- outcome{res, errors.Join(err, writer.Close())}
	}()
	// Closing our end wakes our own read and fails the engine's write.
	stop := context.AfterFunc(ctx, func() { _ = reader.Close() })
	defer stop()
	var broken error
	if q.wantsRevision(format) {
		broken = transcodeNative(out, reader, q.revision)
	} else {
		_, broken = io.Copy(onlyWriter{out}, reader)
	}
	if broken != nil {
		_ = reader.Close()
	}
	for {
		var again <-chan time.Time
		if broken != nil {
			// Not yet registered or already done: the next round finds out.
			if err := f.engine.kill(q.token); err != nil {
				f.logger.Warn("cancelling a ClickHouse statement failed", "error", err)
			}
			again = time.After(killEvery)
		}
		select {
		case o := <-ended:
			if err := errors.Join(o.err, broken); err != nil {
				return result{}, err
			}
			_, err := out.Write(o.data)
			return o.result, err
		case <-again:
		}
	}
}

// outputTo writes the statement so that its output goes to the path. One that was looked
// through must stay what it was.
func outputTo(conn *connection, q *request, path string) (statement, format string) {
	forms, formats := outputForms(q.text, path, q.format)
	checked := q.reader != nil || mayCall(q.text)
	for i, form := range forms {
		class, statements := conn.classify(form)
		if class != classControl || statements != 1 {
			continue
		}
		clause := strings.TrimRight(outputClause(path), " ")
		if i == len(forms)-1 {
			clause += " FORMAT " + formats[i]
		}
		if !checked || differBy(conn, form, string(q.text), clause) {
			return form, formats[i]
		}
	}
	return string(q.text), q.format
}

// forbiddenFunctions reach past the engine without asking for a grant: file()
// reads any file of the host, hasColumnInTable() connects to any host that it is
// given, and disk(), in a table's settings, puts it on another path or host.
var forbiddenFunctions = []string{"file", "hasColumnInTable", "disk"}

// checkFunctions refuses a statement that calls a forbidden function, by the
// tree that the engine's own parser makes of it. Only texts that can hold one
// are looked at: those with a name's bytes, or with a backslash, by which a
// quoted name may hide them.
func checkFunctions(conn *connection, text []byte, parameters []parameter) error {
	if !mayCall(text) {
		return nil
	}
	root, err := tree(conn, text, parameters...)
	if err != nil {
		return err
	}
	err = root.walk(func(n *node) error {
		if n.kind == applies {
			return refuse(codeAccessDenied, "APPLY is not allowed next to a word such as file")
		}
		if n.kind == "Function" && slices.ContainsFunc(forbiddenFunctions, func(name string) bool { return strings.EqualFold(name, n.name) }) {
			return refuse(codeAccessDenied, "the function %s is not allowed", strings.ToLower(n.name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The tree does not show settings; the text that the parser writes does.
	res, err := conn.exec("SELECT formatQuery("+quote(string(text))+")", "TabSeparatedRaw")
	if err != nil {
		return err
	}
	if bytes.Contains(bytes.ToLower(res.data), []byte("disk(")) {
		return refuse(codeAccessDenied, "tables on disks of their own are not allowed")
	}
	return nil
}

// applies is a node whose function the tree does not show.
const applies = "ColumnsApplyTransformer"

// tree is what the engine's parser makes of a statement.
func tree(conn *connection, text []byte, parameters ...parameter) (*node, error) {
	var forms []string
	if rest, clause, ok := withoutFormat(text); ok && differBy(conn, string(text), rest, clause) {
		forms = append(forms, rest)
	}
	var failure error
	for _, form := range append(forms, string(text)) {
		res, err := conn.exec("EXPLAIN AST "+form, "TabSeparatedRaw", parameters...)
		if err != nil {
			failure = err
			continue
		}
		if root, ok := parseTree(string(res.data)); ok {
			return root, nil
		}
	}
	if failure == nil {
		failure = refuse(codeAccessDenied, "the statement cannot be looked through: its own format or limits hide it")
	}
	return nil, failure
}

func mayCall(text []byte) bool {
	lower := bytes.ToLower(text)
	return bytes.IndexByte(text, '\\') >= 0 || slices.ContainsFunc(forbiddenFunctions, func(name string) bool {
		return bytes.Contains(lower, []byte(strings.ToLower(name)))
	})
}

// quietValues keeps the rows of INSERT … VALUES, which may hold expressions,
// from being evaluated where they could call a forbidden function; plain
// values are read as ever.
func quietValues(conn *connection, head insertHead, rows *os.File) error {
	if !strings.EqualFold(head.format, "Values") {
		return nil
	}
	if strings.Contains(strings.ToLower(head.settings), "input_format_values") {
		return refuse(codeAccessDenied, "settings of the format Values are not allowed in the statement")
	}
	text, err := io.ReadAll(io.LimitReader(rows, maxValuesBytes+1))
	if err != nil {
		return fmt.Errorf("read an insert's rows again: %w", err)
	}
	if len(text) > maxValuesBytes {
		return refuse(codeQueryTooLarge, "the insert's rows are more than %d bytes, the limit of the format Values", maxValuesBytes)
	}
	if _, err := rows.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind an insert's rows: %w", err)
	}
	if !mayCall(text) {
		return nil
	}
	_, err = conn.exec("SET input_format_values_interpret_expressions = 0, input_format_values_deduce_templates_of_expressions = 0", "TSV")
	return err
}

// onlyWriter hides every other method, so that io.Copy reads piece by piece.
type onlyWriter struct{ io.Writer }

// syntaxError is what the engine's parser finds, without running the
// text.
func syntaxError(conn *connection, text []byte) error {
	if _, err := conn.exec("SELECT formatQuery("+quote(string(text))+") FORMAT Null", "TSV"); err != nil {
		return err
	}
	return refuse(codeSyntax, "Syntax error")
}

func firstWord(text []byte) string {
	l := &lexer{text: text}
	t, ok := l.next()
	for ok && l.isSymbol(t, '(') {
		t, ok = l.next()
	}
	if !ok {
		return ""
	}
	return strings.ToUpper(string(text[t.start:t.end]))
}

// startsRead guesses, before there is a parser to ask, which time limit a
// statement gets.
func startsRead(text []byte) bool {
	return slices.Contains([]string{"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "FROM"}, firstWord(text))
}
