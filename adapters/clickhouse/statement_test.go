package clickhouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInsert(t *testing.T) {
	for _, test := range []struct{ text, before, settings, format, data string }{
		{"INSERT INTO t VALUES (1)", "INSERT INTO t", "", "Values", " (1)"},
		{"insert into db.t (a, `b c`) format CSV\n1,2\n", "insert into db.t (a, `b c`)", "", "CSV", "1,2\n"},
		{"INSERT t FORMAT Native", "INSERT t", "", "Native", ""},
		{"INSERT INTO TABLE t(values, format) SETTINGS a = 1, b = 'FORMAT' FORMAT TSV\r\n1", "INSERT INTO TABLE t(values, format)", "SETTINGS a = 1, b = 'FORMAT' ", "TSV", "1"},
		{"INSERT INTO `values`.`format` VALUES(1)", "INSERT INTO `values`.`format`", "", "Values", "(1)"},
		{"INSERT INTO db.values VALUES(1)", "INSERT INTO db.values", "", "Values", "(1)"},
		{"INSERT INTO values VALUES(1)", "INSERT INTO values", "", "Values", "(1)"},
		{"/* FORMAT x */ INSERT -- VALUES\n INTO t # VALUES\n FORMAT RowBinary \x00;", "/* FORMAT x */ INSERT -- VALUES\n INTO t", "", "RowBinary", "\x00;"},
		{"INSERT INTO t PARTITION BY a VALUES (1)", "INSERT INTO t PARTITION BY a", "", "Values", " (1)"},
	} {
		head, ok := parseInsert([]byte(test.text))
		if !ok {
			t.Errorf("%q is no insert", test.text)
			continue
		}
		got := []string{head.before, head.settings, head.format, test.text[head.data:]}
		if d := cmp.Diff([]string{test.before, test.settings, test.format, test.data}, got); d != "" {
			t.Errorf("%q: %s", test.text, d)
		}
	}
	for _, text := range []string{
		"", "SELECT 1", "INSERT INTO t SELECT 1", "INSERT INTO t (a) SELECT a FROM b FORMAT CSV", "INSERT INTO t WITH 1 AS x SELECT x",
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV", "INSERT INTO t", "INSERT", "INSERT INTO t FORMAT", "INSERT INTO t (", "'INSERT INTO t VALUES'",
	} {
		if head, ok := parseInsert([]byte(text)); ok {
			t.Errorf("%q is an insert: %+v", text, head)
		}
	}
}

func TestOutputForms(t *testing.T) {
	const clause = " INTO OUTFILE '/p' TRUNCATE COMPRESSION 'none' "
	for _, test := range []struct {
		text  string
		forms []string
	}{
		{"SELECT 1", []string{"SELECT 1" + clause + "FORMAT TSV"}},
		{"SELECT 1 ; ; -- end", []string{"SELECT 1" + clause + "FORMAT TSV"}},
		{"SELECT 1 FORMAT JSON;", []string{"SELECT 1 " + clause + "FORMAT JSON", "SELECT 1 FORMAT JSON" + clause + "FORMAT TSV"}},
		{"SELECT 1 FORMAT `JSON`", []string{"SELECT 1 " + clause + "FORMAT `JSON`", "SELECT 1 FORMAT `JSON`" + clause + "FORMAT TSV"}},
		{"SELECT 1 AS a$FORMAT$ FORMAT x", []string{"SELECT 1 AS a$FORMAT$ " + clause + "FORMAT x", "SELECT 1 AS a$FORMAT$ FORMAT x" + clause + "FORMAT TSV"}},
		{"SELECT 1 AS a$h$, ' FORMAT b $h$", []string{"SELECT 1 AS a$h$, ' FORMAT b $h$" + clause + "FORMAT TSV"}},
		{"SELECT (1 format a), 'FORMAT b'", []string{"SELECT (1 format a), 'FORMAT b'" + clause + "FORMAT TSV"}},
		{";", nil},
	} {
		forms, formats := outputForms([]byte(test.text), "/p", "TSV")
		if d := cmp.Diff(test.forms, forms); d != "" || len(forms) != len(formats) {
			t.Errorf("%q: %s", test.text, d)
		}
	}
}

// Whatever the text, the lexer ends, and its tokens lie in it in order.
func FuzzLexer(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "INSERT INTO t FORMAT CSV\n1", "'a\\'", "/*/**/", "$$", "$a$x$a$", "`", "--", "\"\"\"", "((]", "# x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &lexer{text: []byte(text)}
		end := 0
		for {
			token, ok := l.next()
			if !ok {
				break
			}
			if token.start < end || token.end <= token.start || token.end > len(text) || token.depth < 0 {
				t.Fatalf("token %+v after %d in %q", token, end, text)
			}
			end = token.end
		}
		if head, ok := parseInsert([]byte(text)); ok && (head.data > len(text) || !strings.HasPrefix(text, head.before)) {
			t.Fatalf("%q: %+v", text, head)
		}
		outputForms([]byte(text), "/p", "TSV")
	})
}

func TestExceptions(t *testing.T) {
	for text, want := range map[string]struct{ code, status int }{
		"Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)": {60, 404},
		"Code: 159. DB::Exception: Timeout exceeded":                       {159, 408},
		"Code: 241. DB::Exception: Memory limit":                           {241, 500},
		"something else":                                                   {codeUnknown, 500},
	} {
		e := parseException(text)
		if e.Code != want.code || e.httpStatus() != want.status || !strings.Contains(e.Message, text) {
			t.Errorf("%q: %d, %d, %q", text, e.Code, e.httpStatus(), e.Message)
		}
	}
}
