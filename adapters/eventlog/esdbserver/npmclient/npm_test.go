// Package npmclient_test lets EventStoreDB's client for Node.js, an npm package, use
// `recapito eventlog serve`.
package npmclient_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const patience = 3 * time.Minute // npm and a build included

func TestNpmClient(t *testing.T) {
	if os.Getenv("RECAPITO_TEST_PEERS") == "" {
		t.Skip("RECAPITO_TEST_PEERS is not set")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	for _, name := range []string{"client.js", "package.json", "package-lock.json"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(ctx, t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	binary := filepath.Join(dir, "recapito")
	run(ctx, t, ".", "go", "build", "-o", binary, "recapito")
	server := exec.CommandContext(ctx, binary, "eventlog", "serve", "--data", filepath.Join(dir, "data"), "--addr", "127.0.0.1:0")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	said := run(ctx, t, dir, "node", "client.js", "esdb://"+strings.TrimSpace(addr)+"?tls=false")
	if want := "appends\nreads\nsubscribes\npersistent\npersistentToAll\n"; said != want {
		t.Errorf("it said\n%s", said)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

func run(ctx context.Context, t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, problems.String())
	}
	return string(out)
}
