package address_test

import (
	"testing"

	"recapito/domain/address"
)

func TestReported(t *testing.T) {
	const ours = "+393331234567"
	for text, want := range map[string]address.Reported{
		ours:                    {Normal: ours, Complete: true},
		" 00393331234567 ":      {Normal: ours, Complete: true},
		"+39 333 123-4567":      {Normal: ours, Complete: true},
		"393331234567":          {Normal: ours, Partial: true}, // may be a national number
		"3331234567":            {Normal: "+3331234567", Partial: true},
		"+3331234567":           {Normal: "+3331234567", Partial: true}, // no number of its country
		"+39333****567":         {Partial: true},
		"39333XXXX567":          {Partial: true},
		"***4567":               {Partial: true},
		"":                      {},
		"40404":                 {}, // a short code
		"Clinic":                {},
		"Xmas":                  {},
		"Studio 7":              {},
		"a94a8fe5ccb19ba61c4c0": {},
	} {
		if got := address.Phone.Reported(text); got != want {
			t.Errorf("%q reads as %+v, want %+v", text, got, want)
		}
	}
	if got := address.Email.Reported("ada@example.com"); got != (address.Reported{Normal: "ada@example.com", Complete: true}) {
		t.Errorf("a mailbox: %+v", got)
	}
	if got := address.Email.Reported("nobody"); got != (address.Reported{}) {
		t.Errorf("no mailbox: %+v", got)
	}
}

func TestTakeOut(t *testing.T) {
	const ours = "+393331234567"
	for text, want := range map[string]string{
		"393331234567-77":            "#-77",
		"3331234567-77":              "#-77",
		"id+393331234567":            "id#",
		"x393331234567y393331234567": "x#y#",
		"1001":                       "1001",
		"234567":                     "234567",
		"393331234568":               "393331234568",
	} {
		if got := address.TakeOut(text, ours, "#"); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
