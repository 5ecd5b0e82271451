//go:build linux || darwin

package clickhouse

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A child has none of the secrets that stand in its parent's environment.
func TestChildEnvironment(t *testing.T) {
	given := []string{"PATH=/bin", "RECAPITO_KEYSTORE_URL=postgres://u:secret@h", "AWS_SECRET_ACCESS_KEY=x", "RECAPITO_CLICKHOUSE_LIBRARY=/lib/x", "TMPDIR=/tmp", "PATHS=x", "RECAPITO_TEST_AS_MAIN=1"}
	want := []string{"PATH=/bin", "RECAPITO_CLICKHOUSE_LIBRARY=/lib/x", "TMPDIR=/tmp", "RECAPITO_TEST_AS_MAIN=1"}
	if diff := cmp.Diff(want, childEnvironment(given)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
