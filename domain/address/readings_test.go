package address_test

import (
	"testing"

	"recapito/domain/address"
)

func TestReadingsShowHiddenAddresses(t *testing.T) {
	for text, hidden := range map[string]bool{
		"mario.rossi﹫example.org":             true, // U+FE6B
		"+39 333 𝟏𝟐𝟑4567":                     true, // mathematical digits
		"+39%20333%201234567":                 true,
		"mario.rossi%2540example.org":         true, // twice
		"%zz%2B393331234567":                  true, // a bad escape before it
		"%25252B393331234567":                 true, // three times
		"anna%EF%BC%A0example.org":            true, // U+FF20
		"mario.rossi\u200b@\u200bexample.org": true,
		"mario.rossi=40example.org":           true,
		"mario.rossi&#64;example.org":         true,
		"order-881":                           false,
		"50%25 off":                           false,
		"100% sure":                           false,
		"":                                    false,
	} {
		found := false
		for _, reading := range address.Readings(text) {
			found = found || len(address.Find(address.Kinds(), reading)) > 0
		}
		if found != hidden {
			t.Errorf("%q: found %v", text, found)
		}
	}
}
