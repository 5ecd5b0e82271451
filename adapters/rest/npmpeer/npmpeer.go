// Package npmpeer runs a service made of the npm packages express and standardwebhooks,
// which are not ours, for tests of the channel rest: it verifies the signatures of
// requests, and calls back. Nothing of it is part of the program.
package npmpeer

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"recapito/adapters/rest"
	"recapito/commands/channel"
)

// files are what the service consists of; its packages are installed by npm.
//
//go:embed receiver.js package.json package-lock.json
var files embed.FS

// Secrets of Standard Webhooks that the service is started with.
const (
	Secret         = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" // signs requests
	CallbackSecret = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=" // signs callbacks
)

// patience is how long a line of the service is waited for.
const patience = 30 * time.Second

// Receiver is a running service.
type Receiver struct {
	URL   string // of POST /messages
	lines <-chan map[string]any
}

// Start starts the service until the test ends. It skips the test where
// RECAPITO_TEST_PEERS is not set.
func Start(t testing.TB) *Receiver {
	t.Helper()
	if os.Getenv("RECAPITO_TEST_PEERS") == "" {
		t.Skip("RECAPITO_TEST_PEERS is not set")
	}
	dir := t.TempDir()
	for _, name := range []string{"receiver.js", "package.json", "package-lock.json"} {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	configuration, err := json.Marshal(map[string]string{"secret": Secret, "callbackSecret": CallbackSecret})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "receiver.js")
	node.Dir = dir
	node.Env = append(os.Environ(), "RECEIVER="+string(configuration))
	var problems bytes.Buffer
	node.Stderr = &problems
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan map[string]any, 1000)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var o map[string]any
			if json.Unmarshal(s.Bytes(), &o) == nil {
				select {
				case lines <- o:
				default: // more than a test looks at
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = node.Process.Kill()
		<-read
		_ = node.Wait()
		if t.Failed() {
			t.Logf("the service's errors: %s", problems.String())
		}
	})
	r := &Receiver{lines: lines}
	r.URL = fmt.Sprintf("http://127.0.0.1:%v/messages", r.Next(t, "port")["port"])
	return r
}

// Next returns the next line that has a member: "message" for a request that arrived (with
// signature, id, to, text), "callback" for a callback that got a response (with its status).
func (r *Receiver) Next(t testing.TB, member string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case o, ok := <-r.lines:
			if !ok {
				t.Fatalf("the service ended before it printed %s", member)
			}
			if _, ok := o[member]; ok {
				return o
			}
		case <-timeout:
			t.Fatalf("the service did not print %s within %v", member, patience)
		}
	}
}

// Settings returns the settings of a route to the service. callbackURL is where the
// service finds the route's callbacks. The content's body is sent as the text; one that
// ends in a question mark is replied to.
func (r *Receiver) Settings(callbackURL string) *rest.Settings {
	s := rest.Defaults()
	s.URL = r.URL
	s.AllowNetworks = []string{"127.0.0.0/8"}
	s.Body = `{"to": "{{ address }}", "text": "{{ content.body }}", "reference": "{{ reference }}", "callback": "{{ callback_url }}"}`
	s.Signature = rest.Signature{Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: Secret}}, Tolerance: 5 * time.Minute}
	s.Response.ProviderID.Pointer = "/message/id"
	s.Response.Code.Pointer = "/error/code"
	c := &s.Callback
	c.URL = callbackURL
	c.Auth = rest.CallbackAuth{Type: "signature", Signature: rest.Signature{
		Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: CallbackSecret}}, Tolerance: 5 * time.Minute,
	}}
	c.ProviderID, c.Reference, c.Status, c.Destination, c.OccurredAt = "/id", "/reference", "/status", "/to", "/at"
	c.Reply = rest.Reply{ID: "/reply/id", Text: "/reply/text"}
	return s
}
