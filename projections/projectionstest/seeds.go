package projectionstest

import (
	"os"
	"strconv"
	"testing"
)

// SeedEnv replays one seed: its events, stops and odds are the same; which of two
// goroutines meets a failure is the scheduler's, so repeat it (-count).
const SeedEnv = "RECAPITO_PROJECTIONS_SEED"

// EverySeed runs a test of seeds, or of the one that SeedEnv names.
func EverySeed(t *testing.T, seeds uint64, run func(*testing.T, uint64)) {
	if seed, err := strconv.ParseUint(os.Getenv(SeedEnv), 10, 64); err == nil {
		run(t, seed)
		return
	}
	if testing.Short() {
		seeds /= 4
	}
	if RaceEnabled {
		seeds = min(seeds, 25)
	}
	for seed := range seeds {
		run(t, seed)
	}
}

// Full reports whether RECAPITO_TEST_FULL asks for more than the short form of a test.
func Full() bool { return os.Getenv("RECAPITO_TEST_FULL") != "" }
