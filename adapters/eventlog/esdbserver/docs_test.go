package esdbserver_test

import (
	"os"
	"path"
	"strings"
	"testing"
)

// docs/eventstoredb.md gives the reason for every test of the official client's suite
// that is skipped.
func TestPageSaysWhatIsSkipped(t *testing.T) {
	page, err := os.ReadFile("../../../docs/eventstoredb.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("clientsuite/skip.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if name := strings.TrimSpace(line); !strings.HasPrefix(name, "#") && !strings.Contains(string(page), "`"+path.Base(name)+"`") {
			t.Errorf("docs/eventstoredb.md does not say why %s is skipped", name)
		}
	}
}
