// Package seeds, imported for its effect, has property tests draw the same values in every
// run, so that a run that passed passes again. RECAPITO_TEST_FULL draws new ones, as make
// test-full does; -rapid.seed replays those of a run.
package seeds

import (
	"flag"
	"os"

	_ "pgregory.net/rapid" // it defines the flag
)

var _ = fix()

func fix() error {
	if os.Getenv("RECAPITO_TEST_FULL") != "" {
		return nil
	}
	return flag.Set("rapid.seed", "1")
}
