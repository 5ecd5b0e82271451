package catalogue_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// consumers are the folders whose packages may handle events. Their sources declare what
// they handle: a package handles an event that it names in a case of a type switch that
// does something, or in a type assertion.
var consumers = []string{"domain", "commands", "projections", "api", "adapters", "cmd"}

// handlers returns, for each event by its Go type ("notification.NotificationSent"), the
// packages that handle it, sorted. The event's own package is not among them.
func handlers(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string]map[string]bool{}
	for _, folder := range consumers {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			rel, err := filepath.Rel(filepath.Join("..", ".."), filepath.Dir(file))
			if err != nil {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, name := range handledIn(parsed) {
				if found[name] == nil {
					found[name] = map[string]bool{}
				}
				found[name][filepath.ToSlash(rel)] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sorted := map[string][]string{}
	for name, packages := range found {
		sorted[name] = slices.Sorted(maps.Keys(packages))
	}
	return sorted
}

// handledIn returns the types of the domain that a file's type switches and assertions name.
func handledIn(file *ast.File) (names []string) {
	domain := map[string]string{} // the name in this file → the package's
	for _, i := range file.Imports {
		full, err := strconv.Unquote(i.Path.Value)
		if err != nil || !strings.HasPrefix(full, "recapito/domain/") {
			continue
		}
		local := path.Base(full)
		if i.Name != nil {
			local = i.Name.Name
		}
		domain[local] = path.Base(full)
	}
	add := func(e ast.Expr) {
		if of, ok := e.(*ast.SelectorExpr); ok {
			if in, ok := of.X.(*ast.Ident); ok && domain[in.Name] != "" {
				names = append(names, domain[in.Name]+"."+of.Sel.Name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSwitchStmt:
			for _, s := range n.Body.List {
				if c, ok := s.(*ast.CaseClause); ok && len(c.Body) > 0 {
					for _, e := range c.List {
						add(e)
					}
				}
			}
		case *ast.TypeAssertExpr:
			if n.Type != nil {
				add(n.Type)
			}
		}
		return true
	})
	return names
}
