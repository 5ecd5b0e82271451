package address_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"recapito/domain/address"
)

var seeds = []string{
	"+393331234567", "+390612345678", "+4901701234567", "+44 (0) 7911 123456", "333-1234567", "00393331234567", "+٣٩٣٣٣١٢٣٤٥٦٧",
	"Anna.Rossi@Example.COM", "anna@bücher.example", `"a\"b@c"@example.com`, "@", "%40", "a%40", "josé@xn--a.example", "",
	"https://Example.com/?a=b", "http://[::1]:80/", "16777214", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "2026-12-01 3331234567", "\xff+39",
	"550e8400-e29b-41d4-a716-446655440000", "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "+(((((1", "１２３",
}

// What a kind accepts it accepts again unchanged, and its error shows no part of a value
// long enough to be one.
func FuzzNormalise(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, k := range address.Kinds() {
			normal, err := k.Normalise(value)
			if err != nil {
				if len(value) >= 7 && strings.ContainsAny(value, "0123456789@") && strings.Contains(err.Error(), value) {
					t.Errorf("%s: the error holds the value", k.Name)
				}
				continue
			}
			again, err := k.Normalise(normal)
			if err != nil || again != normal {
				t.Errorf("%s: %q is normal and becomes %q, %v", k.Name, normal, again, err)
			}
			if !utf8.ValidString(normal) || strings.ContainsAny(normal, "\r\n\x00") {
				t.Errorf("%s: %q would break a header or a line", k.Name, normal)
			}
			a, err := k.Parse(value)
			if err != nil || a.Value != normal || (a.Identity != "") != k.Identifies {
				t.Errorf("%s: parsed as %q, %q, %v", k.Name, a.Value, a.Identity, err)
			}
			if k.Identity != nil && k.Identity(a.Identity) != a.Identity {
				t.Errorf("%s: the identity of %q is not one", k.Name, a.Identity)
			}
			if !k.SpelledIn(normal, normal) {
				t.Errorf("%s: %q does not spell itself", k.Name, normal)
			}
			k.FactsOf(normal, address.Operators{})
		}
	})
}

// Spans are in order, apart, within the text and at characters' borders. A normal number
// or mailbox is found in words around it.
func FuzzFind(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range address.Kinds() {
			if k.Find == nil {
				continue
			}
			end := 0
			for _, s := range k.Find(text) {
				if s.Start < end || s.End <= s.Start || s.End > len(text) {
					t.Fatalf("%s: %v after %d in %q", k.Name, s, end, text)
				}
				if utf8.ValidString(text) && !utf8.ValidString(text[s.Start:s.End]) {
					t.Errorf("%s: %v cuts a character of %q", k.Name, s, text)
				}
				end = s.End
			}
		}
		for _, k := range []address.Kind{address.Phone, address.Email} {
			normal, err := k.Normalise(text)
			if err != nil || strings.HasPrefix(normal, `"`) {
				continue
			}
			if within := "see " + normal + ", please"; len(k.Find(within)) != 1 {
				t.Errorf("%s: %q holds %d", k.Name, within, len(k.Find(within)))
			}
		}
	})
}
