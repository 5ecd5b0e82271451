package commands_test

import (
	"testing"

	"recapito/commands"
	"recapito/domain/receipt"
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

func TestStorableID(t *testing.T) {
	token := receipt.Token{Token: "T"}
	for _, c := range [][3]string{
		{"msg-77", "anna-rossi-1984", "msg-77"},
		{"msg-anna-rossi-1984", "anna-rossi-1984", "msg-.T."},
		{"msg-Anna-Rossi-1984-2", "anna-rossi-1984", "msg-.T.-2"},
		{"msg-anna%2Drossi%2D1984", "anna-rossi-1984", "msg-.T."},
		{"msg-anna%252Drossi%252D1984", "anna-rossi-1984", "msg-.T."},
		{"393331234567-77", "+393331234567", ".T.-77"},
		{"3331234567-77", "+393331234567", ".T.-77"},
	} {
		if got := commands.StorableID(c[0], c[1], token); got != c[2] {
			t.Errorf("%q to %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
