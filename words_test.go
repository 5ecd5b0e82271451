package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// bannedWords are private terms, or words with several meanings here, that an exported
// comment does without; each with what stands instead. docs/glossary.md has the terms.
var bannedWords = map[string]string{
	"answers": "returns", "answered": "returned", "told": "recorded, reported or returned", "tells": "records or reports", "tell": "record or report",
	"says": "records, contains or means", "said": "recorded or given", "door": "listener, intake or authenticator", "doors": "listeners",
	"house": "ClickHouse", "keeper": "follower", "lane": "table writer", "lanes": "table writers",
	"rider": "shared read", "riders": "shared reads", "seat": "shared read", "seats": "shared reads", "memo": "decoded-event cache", "meter": "lag monitor", "book": "checkpoint store",
	"course": "trend, or as time goes on", "suspect": "expected failed", "beside": "next to, in another goroutine, or in addition to", "whole": "complete",
}

// glossaryTerms are the words that stand instead: docs/glossary.md gives each its meaning.
var glossaryTerms = []string{
	"listener", "intake", "follower", "table writer", "shared read", "decoded-event cache", "lag monitor", "checkpoint store",
	"unit", "segment", "checkpoint", "shard", "partial row",
}

func TestGlossaryHasTheTerms(t *testing.T) {
	page := read(t, "docs/glossary.md")
	for _, term := range glossaryTerms {
		if n := len(regexp.MustCompile(`(?m)^\| (`+"`?"+`[\w -]+`+"`?"+`, )*`+regexp.QuoteMeta(term)+`(, [\w -]+)* \|`).FindAllString(page, -1)); n != 1 {
			t.Errorf("docs/glossary.md has %d rows for %q, not one", n, term)
		}
	}
}

var banned = regexp.MustCompile(`(?i)\b(` + strings.Join(keysOf(bannedWords), "|") + `)\b`)

func keysOf(words map[string]string) []string {
	var all []string
	for w := range words {
		all = append(all, w)
	}
	return all
}

// TestExportedCommentsUsePlainWords: an engineer from outside reads these first.
func TestExportedCommentsUsePlainWords(t *testing.T) {
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, nil, parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		for _, comment := range exportedComments(parsed) {
			for _, line := range comment.List {
				for _, word := range banned.FindAllString(line.Text, -1) {
					if comment.names[word] { // a name of the declaration, not a term
						continue
					}
					t.Errorf("%s:%d: %q in an exported comment; write: %s", path.Clean(file), files.Position(line.Pos()).Line, word, bannedWords[strings.ToLower(word)])
				}
			}
		}
	})
}

// exportedComment is a comment and the identifiers of its declaration, without its body.
type exportedComment struct {
	*ast.CommentGroup
	names map[string]bool
}

// exportedComments are the comments of the package and of what it exports: declarations,
// fields of exported structs and methods of exported interfaces.
func exportedComments(file *ast.File) []exportedComment {
	var all []exportedComment
	names := map[string]bool{}
	of := func(node ast.Node) {
		names = map[string]bool{}
		ast.Inspect(node, func(n ast.Node) bool {
			if id, is := n.(*ast.Ident); is {
				names[id.Name] = true
			}
			_, body := n.(*ast.BlockStmt)
			return !body
		})
	}
	add := func(groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if g != nil {
				all = append(all, exportedComment{g, names})
			}
		}
	}
	fields := func(list *ast.FieldList) {
		if list == nil {
			return
		}
		for _, f := range list.List {
			exported := len(f.Names) == 0 // embedded
			for _, name := range f.Names {
				exported = exported || name.IsExported()
			}
			if exported {
				add(f.Doc, f.Comment)
			}
		}
	}
	add(file.Doc)
	for _, declaration := range file.Decls {
		of(declaration)
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
				add(d.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if !s.Name.IsExported() {
						continue
					}
					exported = true
					add(s.Doc, s.Comment)
					switch kind := s.Type.(type) {
					case *ast.StructType:
						fields(kind.Fields)
					case *ast.InterfaceType:
						fields(kind.Methods)
					}
				case *ast.ValueSpec:
					for _, name := range s.Names {
						if name.IsExported() {
							exported = true
							add(s.Doc, s.Comment)
							break
						}
					}
				}
			}
			if exported {
				add(d.Doc)
			}
		}
	}
	return all
}

func exportedReceiver(receiver *ast.FieldList) bool {
	kind := receiver.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return false
		}
	}
}
