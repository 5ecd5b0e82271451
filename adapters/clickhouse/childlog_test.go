package clickhouse

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestChildLog: what the child logs stands in the log once, at its own level; anything
// else is logged as it is, and kept for the error of its end.
func TestChildLog(t *testing.T) {
	var out bytes.Buffer
	w := &tailWriter{logger: slog.New(slog.NewTextHandler(&out, nil))}
	for _, s := range []string{
		`{"time":"2001-12-01T09:30:00Z","level":"WARN","msg":"slow","took":7,"address":"here"}` + "\n",
		`{"level":"DEBUG","msg":"detail"}` + "\n", "half a ", "line\n", `{"msg":"no level"}` + "\n", "the end",
	} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	for _, want := range []string{`level=WARN msg=slow address=here took=7`, `line="half a line"`, `no level`} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q does not stand once in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "detail") || strings.Contains(out.String(), "2001-12-01") {
		t.Errorf("debug, or the child's time, is logged:\n%s", out.String())
	}
	if got, want := w.last(), `: half a line | {"msg":"no level"} | the end`; got != want {
		t.Errorf("last lines %q, want %q", got, want)
	}
}
