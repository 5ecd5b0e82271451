package intake_test

import (
	"strings"
	"testing"

	"recapito/commands/intake"
)

func TestNotesInClearHoldNoAddress(t *testing.T) {
	for text, code := range map[string]string{
		"": "", "the visit was moved to 2026": "", "order 881, see 12/2026": "", "at @ noon": "", "version 1.2.3": "",
		"call +39 333 123.45.67": "personal_data", "0039-333-1234567": "personal_data", "mail mario@example.com now": "personal_data",
		"(333) 123 45 67": "personal_data", "a\x00b": "invalid_value", strings.Repeat("x", 65): "too_long", "+393331234567": "personal_data",
	} {
		got := ""
		if ps := intake.CheckNote("reason", text, 64); len(ps) > 0 {
			got = ps[0].Code
			if ps[0].Field != "reason" || (text != "" && strings.Contains(ps[0].Message, text)) {
				t.Error("a problem without its place, or with the value")
			}
		}
		if got != code {
			t.Errorf("%d bytes: %q, want %q", len(text), got, code)
		}
	}
}
