package cmd

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEventlogImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lines := `{"stream":"a-1","revision":0,"position":167,"id":"f78f41f1-a671-4096-adee-e0c8670fd1ef","type":"T","data":{"x" : 1},"created":"2020-01-12T18:14:13.990951007Z"}
{"stream":"a-1","revision":1,"position":1788,"id":"f78f41f1-a671-4096-adee-e0c8670fd1f0","type":"T"}
`
	file := writeFile(t, "events.jsonl", lines)
	for _, want := range []string{"2 events imported, 0 stood there already", "0 events imported, 2 stood there already"} {
		out, err := verb(t, "eventlog", "import", "--data", dir, file)
		if err != nil || !strings.Contains(out, want) || !strings.Contains(out, "last position is 1788") {
			t.Errorf("%v: %q, want %q", err, out, want)
		}
	}
	bad := writeFile(t, "bad.jsonl", lines+`{"stream":"a-1","revision":7,"id":"f78f41f1-a671-4096-adee-e0c8670fd1f1","type":"T"}`)
	if _, err := verb(t, "eventlog", "import", "--data", dir, bad); err == nil || !strings.Contains(err.Error(), "line 3: wrong expected version: a-1 is at revision 1, not revision 6") {
		t.Errorf("a gap in a stream: %v", err)
	}

	p, _ := startEventlog(t, dir)
	t.Cleanup(p.stop)
	if _, err := verb(t, "eventlog", "import", "--data", dir, file); err == nil || !strings.Contains(err.Error(), "is another recapito running on this folder?") {
		t.Errorf("into %s, which is served: %v", filepath.Base(dir), err)
	}
}
