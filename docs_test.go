package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// topFolders are the folders of docs/architecture.md; each says in a doc.go or a
// README.md what belongs there, what it may import and how it is tested.
var topFolders = []string{"domain", "commands", "projections", "readmodels", "api", "adapters", "cmd", "deploy", "docs"}

func TestEveryTopFolderSaysWhatBelongsThere(t *testing.T) {
	for _, folder := range topFolders {
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("the folder %s is missing", folder)
			continue
		}
		_, doc := os.Stat(filepath.Join(folder, "doc.go"))
		_, readme := os.Stat(filepath.Join(folder, "README.md"))
		if doc != nil && readme != nil {
			t.Errorf("%s has neither doc.go nor README.md", folder)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	comments := map[string]string{} // folder → package comment
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		folder := path.Dir(file)
		comments[folder] += parsed.Doc.Text()
	})
	for folder, comment := range comments {
		if len(strings.Fields(comment)) < 5 {
			t.Errorf("the package in %s has no comment that says what it is for", folder)
		}
	}
}

var (
	link      = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	codeFence = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".md") {
			return
		}
		for _, m := range link.FindAllStringSubmatch(codeFence.ReplaceAllString(read(t, file), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			resolved := file
			if target != "" {
				resolved = path.Join(path.Dir(file), target)
			}
			info, err := os.Stat(filepath.FromSlash(resolved))
			if err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
				continue
			}
			if anchor != "" && !info.IsDir() && !hasHeading(read(t, resolved), anchor) {
				t.Errorf("%s: %s has no heading for the link %s", file, resolved, m[1])
			}
		}
	})
}

// hasHeading reports whether a document has a heading whose anchor this is.
func hasHeading(document, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(document, -1) {
		slug := strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if slug == anchor {
			return true
		}
	}
	return false
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// walk visits the repository's files, as slash paths from its root.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "data" || name == "node_modules" || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		visit(filepath.ToSlash(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
