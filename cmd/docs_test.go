package cmd

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/api.md and docs/operations.md list is what an instance has: operations,
// engines, metrics, files.
func TestPagesListWhatAnInstanceHas(t *testing.T) {
	t.Parallel()
	dir, i := sharedSandbox(t)

	apiPage := document(t, "docs/api.md")
	var openapi struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	fetch(t, "http://"+i.HTTP+"/openapi.json", &openapi)
	if len(openapi.Paths) == 0 {
		t.Error("no operation was found")
	}
	for path, methods := range openapi.Paths {
		for method := range methods {
			if operation := "`" + strings.ToUpper(method) + " " + path + "`"; !strings.Contains(apiPage, operation) {
				t.Errorf("docs/api.md does not list %s", operation)
			}
		}
	}
	for _, m := range regexp.MustCompile("`(GET|POST|DELETE|PUT|PATCH) (/[^` ]+)`").FindAllStringSubmatch(apiPage, -1) {
		if openapi.Paths[m[2]][strings.ToLower(m[1])] == nil && !strings.Contains(m[2], "…") {
			t.Errorf("docs/api.md lists %s %s, which is not there", m[1], m[2])
		}
	}

	operations := document(t, "docs/operations.md")
	var ready struct {
		Engines map[string]any `json:"engines"`
	}
	fetch(t, "http://"+i.HTTP+"/readyz", &ready)
	for engine := range ready.Engines {
		kind, name, named := strings.Cut(engine, " ")
		if named {
			name = " NAME"
		}
		if !strings.Contains(operations, "| `"+kind+name+"` |") {
			t.Errorf("docs/operations.md does not say what it means when %s is down", engine)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (recapito_\S+)`).FindAllStringSubmatch(get(t, "http://"+i.Metrics+"/metrics"), -1) {
		if !strings.Contains(operations, "`"+m[1]+"`") {
			t.Errorf("docs/operations.md does not name the metric %s", m[1])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !regexp.MustCompile("(?m)^\\| `" + e.Name() + "[`/]").MatchString(operations) {
			t.Errorf("docs/operations.md does not say whether %s may be deleted", e.Name())
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url) //nolint:gosec // our own instance
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxResponseBytes))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d: %v", url, answer.StatusCode, err)
	}
	return string(raw)
}

func fetch(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, url)), into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// Every warning and error that the code can log is explained in docs/operations.md.
func TestOperationsPageKnowsEveryWarning(t *testing.T) {
	t.Parallel()
	page := document(t, "docs/operations.md")
	logged := regexp.MustCompile(`\.(?:Warn|Error)\(\s*"([^"]+)"`)
	explained := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(page, -1)
	knows := func(line string) bool {
		for _, m := range explained {
			if line == m[1] || strings.HasSuffix(m[1], "…") && strings.HasPrefix(line, strings.TrimSuffix(m[1], "…")) {
				return true
			}
		}
		return false
	}
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == "sandbox" || name == "kafkapeer" || name == "docs" || strings.HasSuffix(name, "test") || strings.HasPrefix(name, ".") && name != ".."):
			return fs.SkipDir // tools, suites, and what holds no code
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range logged.FindAllStringSubmatch(string(raw), -1) {
			found++
			if !knows(m[1]) {
				t.Errorf("%s logs %q, which docs/operations.md does not explain", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d lines were found: the code logs otherwise than this test reads", found)
	}
}
