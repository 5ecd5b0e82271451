package receipts_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that nothing is left running: workers, runners, tasks of the simulation.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
