package cmd

import (
	"regexp"
	"testing"
	"time"
)

// The main job, as `make run` does it: every sample final, and the ledger, the
// simulator and the EDR tell the same.
func TestSandboxSendsAndAgrees(t *testing.T) {
	t.Parallel()
	p := start(t, "sandbox", "--exit-after", "40", "--http", "127.0.0.1:0", "--data", t.TempDir())
	p.wait(3 * time.Minute)
	out := p.out.String()
	if !regexp.MustCompile(`(?m)^40 sent, \d+ delivered, \d+ failed$`).MatchString(out) {
		t.Error("the closing line is missing")
	}
	for _, word := range []string{"requested", "enriched", "scheduled", "dispatched", "sent", "delivered"} {
		if !regexp.MustCompile(`(?m)^\S+ \S+  \S+  ` + word + `$`).MatchString(out) {
			t.Errorf("the timeline shows no %q", word)
		}
	}
}
