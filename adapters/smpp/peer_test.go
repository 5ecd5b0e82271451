package smpp_test

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recapito/adapters/smpp"
	"recapito/adapters/smpp/sandbox"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// npmPeer is the version of the npm package that is the independent peer.
const npmPeer = "smpp@0.5.1"

// startPeer runs testdata/peer.js, or skips where peers are not asked for. What it
// says comes line by line; the channel is closed when it ends.
func startPeer(t *testing.T, args ...string) <-chan map[string]any {
	t.Helper()
	if os.Getenv("RECAPITO_TEST_PEERS") == "" {
		t.Skip("RECAPITO_TEST_PEERS is not set")
	}
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join("testdata", "peer.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"peer.js": script, "package.json": []byte(`{"name":"peer","private":true}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", npmPeer)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	cmd := exec.Command("node", append([]string{"peer.js"}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan map[string]any, 1000)
	go func() {
		defer close(said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var o map[string]any
			if json.Unmarshal(lines.Bytes(), &o) == nil {
				said <- o
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return said
}

// hear is the next thing the peer says that has that member.
func hear(t *testing.T, said <-chan map[string]any, member string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case o, ok := <-said:
			if !ok {
				t.Fatalf("the peer ended without saying %s", member)
			}
			if _, ok := o[member]; ok {
				return o
			}
		case <-timeout:
			t.Fatalf("the peer does not say %s", member)
		}
	}
}

// TestRouteAgainstNpmServer: our ESME and an independent SMSC.
func TestRouteAgainstNpmServer(t *testing.T) {
	said := startPeer(t, "server")
	port, _ := hear(t, said, "port")["port"].(float64)
	sink := newSink()
	r := routeOf(t, smpp.RouteOptions{Addr: (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}).String(), Sink: sink, SystemID: "us", Password: "secret"})
	stop := runUntilEnd(t, r.Run)
	eventually(t, "bind", func() bool { return r.State() == nil })
	for i, text := range []string{"Ciao [perché] €", "Привет 😀", strings.Repeat("perché ", 30), strings.Repeat("😀", 40)} {
		m := message(i, text)
		out := r.Send(within(t, patience), m, always, nil)
		got := ""
		for part, p := range out.Units {
			heard := hear(t, said, "text")
			s, _ := heard["text"].(string)
			got += s
			if p.Fate != notification.UnitAccepted || p.ProviderID != heard["id"] || "+"+heard["to"].(string) != m.Destination {
				t.Errorf("text %d, part %d: %+v", i, part, p)
			}
			if udh, _ := heard["udh"].([]any); (len(udh) == 1) != (len(out.Units) > 1) {
				t.Errorf("text %d, part %d: header %v", i, part, udh)
			}
		}
		if got != text {
			t.Errorf("text %d arrived otherwise", i)
		}
	}
	for _, got := range sink.wait(t, 6) {
		if got.Status != receipt.Delivered || got.ProviderID == "" || got.OccurredAt.Year() != 2026 {
			t.Errorf("receipt of %q: status %v at %v", got.ProviderID, got.Status, got.OccurredAt)
		}
	}
	stop() // its unbind comes after the acknowledgements
	if taken := hear(t, said, "unbind")["taken"]; taken != 6.0 {
		t.Errorf("%v of 6 receipts were acknowledged", taken)
	}
}

// TestSandboxAgainstNpmClient: our SMSC and an independent ESME.
func TestSandboxAgainstNpmClient(t *testing.T) {
	sim := startSandbox(t, sandbox.Options{SystemID: "us", Password: "secret", AnswerIDs: sandbox.FormHex, ReceiptIDs: sandbox.FormHex})
	_, port, err := net.SplitHostPort(sim.Addr())
	if err != nil {
		t.Fatal(err)
	}
	said := startPeer(t, "client", port)
	if o := hear(t, said, "bound"); o["bound"] != 0.0 || o["system"] != "recapito-smsc" {
		t.Errorf("bind: %v", o)
	}
	answer := hear(t, said, "id")
	receipt := hear(t, said, "receipt")
	text, _ := receipt["text"].(string)
	if receipt["receipt"] != answer["id"] || receipt["state"] != 2.0 || receipt["esm"] != 4.0 || !strings.HasPrefix(text, "id:"+answer["id"].(string)+" sub:001") || !strings.HasSuffix(text, " text:") {
		t.Errorf("receipt of %v, state %v, class %v", receipt["receipt"], receipt["state"], receipt["esm"])
	}
	eventually(t, "acknowledged receipt", func() bool { return sim.Stats().Acknowledged == 1 })
}
