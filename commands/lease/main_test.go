package lease_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that nothing is left running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
