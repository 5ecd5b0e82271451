package commands_test

import (
	"testing"

	"recapito/commands"
)

func TestHoldsAddress(t *testing.T) {
	for id, want := range map[string]bool{
		"":                                 false,
		"1A2B3C":                           false,
		"393331234567":                     false, // as most providers number their messages
		"0190163d-8694-739b-aea5-966c26f8": false,
		"4bXy0Q1 queued":                   false,
		"+393331234567":                    true,
		"x-+393331234567-2":                true,
		"%2b393331234567":                  true,
		"mario.rossi@example.org":          true,
		"mario.rossi%40example.org":        true,
	} {
		if got := commands.HoldsAddress(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
