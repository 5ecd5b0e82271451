// Tests of the repository as a whole: here, that .golangci.yml keeps the table of
// docs/architecture.md "Folders and what may import what"; in docs_test.go, that every
// folder reports what it is for and that the documents' links lead somewhere.
package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// linterVariable names the golangci-lint to use; `make` sets it. Without it the test
// looks in the PATH. Where there is none the test is skipped, except in CI.
const linterVariable = "GOLANGCI_LINT"

// plant is a file put into a small module that has our folders and our .golangci.yml.
type plant struct {
	file    string
	imports []string
	body    string
	linter  string // that must refuse it; "" if none may
}

const (
	kafkaAdapter = "recapito/adapters/kafka/empty"
	pebble       = "github.com/cockroachdb/pebble/v2"
	clickhouse   = "github.com/ClickHouse/clickhouse-go/v2"
	message      = "github.com/ThreeDotsLabs/watermill/message"
	chi          = "github.com/go-chi/chi/v5"
	backoff      = "github.com/cenkalti/backoff/v5"
)

// plants holds, for each row of the table, imports that it forbids and, so that the
// rules are seen not to refuse everything, imports that it allows. What is imported is
// a package "empty" within the folder meant, so that the plants make no cycles.
func plants() []plant {
	var all []plant
	row := func(folder, linter string, imports ...string) {
		for i, path := range imports {
			kind := "allowed"
			if linter != "" {
				kind = "forbidden"
			}
			all = append(all, plant{
				file:    fmt.Sprintf("%s/%s_%d.go", folder, kind, i),
				imports: []string{path}, linter: linter,
			})
		}
	}
	const refused = "depguard"
	row("domain/notification", refused, "net/http", "net", "os", "io/ioutil", "io/fs", "database/sql", "math/rand", "math/rand/v2", "crypto/rand",
		"log", pebble, message, "recapito/commands/empty", "recapito/readmodels/empty", "recapito/projections/empty", kafkaAdapter)
	row("domain/notification", "", "time", "crypto/sha1", "recapito/domain/empty")
	row("domain", refused, "net/http", "recapito/commands/retry/empty")
	row("domain/address", refused, "net", "net/mail", "golang.org/x/net/http2")
	row("domain/address", "", "net/url", "golang.org/x/net/idna", "golang.org/x/text/unicode/norm")
	row("commands/retry", refused, pebble, "recapito/domain/empty", "recapito/commands/empty")
	row("commands/retry", "", backoff)
	row("commands", refused, backoff, pebble, clickhouse, chi, "recapito/readmodels/empty", "recapito/projections/empty", "recapito/api/empty", kafkaAdapter)
	row("commands/sealing", refused, pebble, kafkaAdapter)
	row("commands", "", "recapito/domain/empty", "recapito/commands/retry/empty", message, "net/http")
	row("commands/storetest", refused, kafkaAdapter, "recapito/api/empty")
	row("commands/storetest", "", "testing", "recapito/commands/empty")
	row("readmodels", refused, pebble, chi, "recapito/domain/empty", "recapito/commands/empty", "recapito/projections/empty", kafkaAdapter)
	row("readmodels", "", clickhouse)
	row("projections", refused, pebble, clickhouse, "recapito/commands/empty", "recapito/api/empty", kafkaAdapter)
	row("projections", "", "recapito/domain/empty", "recapito/commands/retry/empty", "recapito/readmodels/empty")
	row("projections/follow", refused, pebble, clickhouse, "recapito/commands/empty", kafkaAdapter)
	row("projections/follow", "", "recapito/domain/empty", "recapito/readmodels/empty", "recapito/projections/empty")
	row("projections/projectionstest", refused, kafkaAdapter, "recapito/api/empty")
	row("projections/projectionstest", "", "testing", clickhouse)
	row("api", refused, pebble, clickhouse, "recapito/projections/empty", "recapito/cmd/empty", kafkaAdapter)
	row("api", "", chi, "recapito/commands/empty", "recapito/domain/empty", "recapito/readmodels/empty")
	row("adapters/kafka", refused, "recapito/api/empty", "recapito/cmd/empty")
	row("adapters/smpp/sandbox", refused, "recapito/api/empty")
	row("adapters/smpp/sandbox", "", "recapito/adapters/smpp/empty", pebble, "recapito/commands/empty", "recapito/projections/empty")
	all = append(all,
		plant{file: "main.go", imports: []string{"recapito/domain/empty"}, linter: refused},
		plant{file: "cmd/allowed.go", imports: []string{kafkaAdapter, "recapito/api/empty", pebble}},
		plant{file: "domain/notification/external_test.go", imports: []string{kafkaAdapter, "net/http"}},
		plant{file: "domain/notification/clock.go", linter: "forbidigo",
			imports: []string{"time"}, body: "func clock() any { return time.Now() }\nvar _ = clock"},
		plant{file: "domain/notification/switch.go", linter: "gochecksumtype", body: sealedSwitch("case created:\n\tdefault:")},
		plant{file: "domain/event/switch.go", body: sealedSwitch("case created, closed:")},
	)
	return all
}

func sealedSwitch(cases string) string {
	return `
//sumtype:decl
type sealed interface{ sealed() }
type created struct{}
type closed struct{}
func (created) sealed() {}
func (closed) sealed() {}
func look(s sealed) { switch s.(type) {
	` + cases + `
} }
var _ = look`
}

func TestTheLinterRefusesWhatTheImportTableForbids(t *testing.T) {
	linter := linterPath(t)
	dir := t.TempDir()
	all := plants()
	layModule(t, dir, all)

	// The exit code only says that there were issues.
	command := exec.CommandContext(t.Context(), linter, "run", "--allow-parallel-runners",
		"--enable-only", "depguard,forbidigo,gochecksumtype", "--output.json.path", "stdout", "--show-stats=false", "./...")
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("the linter's report cannot be read: %v\n%s%s", err, out, stderr.String())
	}
	found := map[string][]string{}
	for _, issue := range report.Issues {
		file := filepath.ToSlash(issue.Pos.Filename)
		found[file] = append(found[file], issue.FromLinter)
		if issue.FromLinter == "typecheck" {
			t.Errorf("%s: %s", file, issue.Text)
		}
	}
	for _, p := range all {
		switch got := found[p.file]; {
		case p.linter == "" && len(got) > 0:
			t.Errorf("%s imports %v, which is allowed, but %v refused it", p.file, p.imports, got)
		case p.linter != "" && !slices.Contains(got, p.linter):
			t.Errorf("%s (imports %v) was not refused by %s", p.file, p.imports, p.linter)
		}
	}
}

func linterPath(t *testing.T) string {
	t.Helper()
	name := os.Getenv(linterVariable)
	if name == "" {
		name = "golangci-lint"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no golangci-lint: %v; set %s", err, linterVariable)
		}
		t.Skip("no golangci-lint; `make check` fetches it and runs this test")
	}
	return path
}

// layModule writes the plants, an empty package for everything they import, and our
// own .golangci.yml. Modules from outside are empty folders too, so nothing is fetched.
func layModule(t *testing.T, dir string, plants []plant) {
	t.Helper()
	write := func(name, content string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := os.ReadFile(".golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	write(".golangci.yml", string(config))

	mod := "module recapito\n\ngo 1.26.0\n"
	for module, packages := range map[string][]string{
		pebble: {""}, clickhouse: {""}, chi: {""}, backoff: {""},
		"github.com/ThreeDotsLabs/watermill": {"/message"},
		"golang.org/x/net":                   {"/idna", "/http2"},
		"golang.org/x/text":                  {"/unicode/norm"},
	} {
		outside := "outside/" + strings.ReplaceAll(module, "/", "_")
		version := "v1.0.0"
		if i := strings.LastIndex(module, "/v"); i > 0 {
			version = module[i+1:] + ".0.0"
		}
		mod += fmt.Sprintf("require %s %s\nreplace %s => ./%s\n", module, version, module, outside)
		write(outside+"/go.mod", "module "+module+"\n\ngo 1.26.0\n")
		for _, p := range packages {
			write(outside+p+"/package.go", "package outside\n")
		}
	}
	write("go.mod", mod)

	for _, p := range plants {
		for _, path := range p.imports {
			if folder, ours := strings.CutPrefix(path, "recapito/"); ours {
				write(folder+"/package.go", "package "+packageName(folder)+"\n")
			}
		}
	}
	for _, p := range plants {
		name := packageName(filepath.Dir(p.file))
		if strings.HasSuffix(p.file, "_test.go") {
			name += "_test"
		}
		var source strings.Builder
		fmt.Fprintf(&source, "package %s\n", name)
		for _, path := range p.imports {
			if p.body == "" {
				fmt.Fprintf(&source, "import _ %q\n", path)
			} else {
				fmt.Fprintf(&source, "import %q\n", path)
			}
		}
		fmt.Fprintln(&source, p.body)
		if p.file == "main.go" {
			fmt.Fprintln(&source, "func main() {}")
		}
		write(p.file, source.String())
	}
}

func packageName(folder string) string {
	if folder == "." {
		return "main"
	}
	return filepath.Base(folder)
}

// anotherAdapter returns which adapter but its own a file imports, if any.
func anotherAdapter(file string, imports []string) string {
	own, inside := strings.CutPrefix(filepath.ToSlash(file), "adapters/")
	if !inside || strings.HasSuffix(file, "_test.go") {
		return ""
	}
	own, _, _ = strings.Cut(own, "/")
	for _, path := range imports {
		rest, adapter := strings.CutPrefix(path, "recapito/adapters/")
		if name, _, _ := strings.Cut(rest, "/"); adapter && name != own {
			return name
		}
	}
	return ""
}

func TestAnAdapterKnowsNoOtherAdapter(t *testing.T) {
	for file, want := range map[string]string{
		"adapters/kafka/plant.go":        "smpp",
		"adapters/smpp/sandbox/plant.go": "",
		"adapters/kafka/plant_test.go":   "",
		"cmd/instance/plant.go":          "",
	} {
		if got := anotherAdapter(file, []string{"net/http", "recapito/domain/event", "recapito/adapters/smpp/wire"}); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		var imports []string
		for _, i := range parsed.Imports {
			imports = append(imports, strings.Trim(i.Path.Value, `"`))
		}
		if other := anotherAdapter(file, imports); other != "" {
			t.Errorf("%s imports the adapter %s: an adapter knows no other adapter", file, other)
		}
	})
}
