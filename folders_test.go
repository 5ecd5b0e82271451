package main_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the picture of the folders into docs/architecture.md")

// room is the folder that a package is drawn as: two levels of the tree, but domain and an
// adapter as one.
func room(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "recapito/"), "/")
	switch {
	case path == "recapito":
		return "main"
	case parts[0] == "domain" || len(parts) == 1:
		return parts[0]
	}
	return parts[0] + "/" + parts[1]
}

// TestFoldersPicture keeps the picture of docs/architecture.md as `go list` draws it.
func TestFoldersPicture(t *testing.T) {
	const page, begin, end = "docs/architecture.md", "<!-- folders -->\n```\n", "```\n<!-- /folders -->"
	listed, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string]map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(listed)), "\n") {
		words := strings.Fields(line)
		from := room(words[0])
		if strings.HasSuffix(from, "test") || strings.Contains(words[0], "test/") {
			continue // suites and helpers of tests
		}
		if imports[from] == nil {
			imports[from] = map[string]bool{}
		}
		for _, to := range words[1:] {
			if r := room(to); strings.HasPrefix(to, "recapito/") && r != from {
				imports[from][r] = true
			}
		}
	}
	var picture strings.Builder
	for _, from := range slices.Sorted(maps.Keys(imports)) {
		fmt.Fprintf(&picture, "%-24s → %s\n", from, strings.Join(slices.Sorted(maps.Keys(imports[from])), ", "))
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	drawn, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the picture", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+picture.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if drawn != picture.String() {
		t.Errorf("%s draws other folders than go list; run this test with -update", page)
	}
}
