package smtp_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pythonPeers are the independent verifier of DKIM, and what it needs for Ed25519.
var pythonPeers = []string{"dkimpy==1.1.8", "pynacl==1.6.2"}

// TestPeerDKIM: dkimpy accepts our signatures of both algorithms, and refuses them on a
// message that was changed.
func TestPeerDKIM(t *testing.T) {
	if os.Getenv("RECAPITO_TEST_PEERS") == "" {
		t.Skip("RECAPITO_TEST_PEERS is not set")
	}
	python := filepath.Join(t.TempDir(), "python")
	for _, args := range [][]string{
		{"python3", "-m", "venv", python},
		append([]string{filepath.Join(python, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check"}, pythonPeers...),
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v (it needs python3 and python3-venv): %v\n%s", args, err, out)
		}
	}
	data, records := signedMessage(t)
	dns, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(message []byte) (holds []any) {
		t.Helper()
		cmd := exec.Command(filepath.Join(python, "bin", "python"), filepath.Join("testdata", "verify.py"), string(dns))
		cmd.Stdin, cmd.Stderr = bytes.NewReader(message), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &holds); err != nil {
			t.Fatal(err)
		}
		return holds
	}
	if diff := cmp.Diff([]any{true, true}, verify(data)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{false, false}, verify(bytes.Replace(data, []byte("/u/1"), []byte("/u/2"), 1))); diff != "" {
		t.Errorf("another URL to unsubscribe: %s", diff)
	}
}
