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
		"anna%2540example.org":             true,
		"anna%EF%BC%A0example.org":         true,
		"%252B393331234567":                true,
		"%zz%2B393331234567":               true,
		"anna＠example.org":                 true,
		"＋393331234567":                    true,
	} {
		if got := commands.HoldsAddress(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

func TestWithoutAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"0x00000058":                   "0x00000058",
		"50%25 full":                   "50%25 full",
		"absent: +393331234567":        "absent: [address]",
		"no anna@example.org, x@y.org": "no [address], [address]",
		"no anna%2540example.org":      "no [address]",
		"%zz＋393331234567":             "%zz[address]",
	} {
		if got := commands.WithoutAddresses(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestHidesID(t *testing.T) {
	for _, c := range []struct {
		id, destination string
		want            bool
	}{
		{"msg-77", "anna-rossi-1984", false},
		{"msg-anna-rossi-1984", "anna-rossi-1984", true},
		{"msg-Anna-Rossi-1984-2", "anna-rossi-1984", true},
		{"msg-anna%2Drossi%2D1984", "anna-rossi-1984", true},
		{"msg-anna%252Drossi%252D1984", "anna-rossi-1984", true},
		{"393331234567-77", "+393331234567", true},
		{"3331234567-77", "+393331234567", true},
		{"393331234567-77", "+393331234568", false},
		{"393331234567-77", "", false},
		{"+393331234567-77", "", true},
	} {
		if got := commands.HidesID(c.id, c.destination); got != c.want {
			t.Errorf("%q to %s: %v", c.id, c.destination, got)
		}
	}
}

func TestStorableCode(t *testing.T) {
	for code, want := range map[string]string{
		"": "", "0x58": "0x58", "no user anna.verdi": "no user [address]", "no user Anna%2Everdi, +393331234567": "no user [address], [address]",
	} {
		if got := commands.StorableCode(code, "anna.verdi"); got != want {
			t.Errorf("%q: %q, want %q", code, got, want)
		}
	}
}
