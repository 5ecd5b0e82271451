package commands

import (
	"strings"

	"recapito/domain/address"
	"recapito/domain/receipt"
)

// StorableID is a provider's id without the destination that some providers build it
// from: the destination's token stands in its place, so that ids stay apart.
func StorableID(id, destination string, t receipt.Token) string {
	return address.TakeOut(id, destination, "."+t.Token+".")
}

// HoldsAddress reports whether a provider's id holds an address beyond doubt in one of its
// readings: a mailbox, or a number with its plus. Digits alone are how most providers number
// their messages. Such an id is stored as HashedID of a token of IDForm, by the worker and
// by the receiver alike, so that a receipt still finds its submission.
func HoldsAddress(id string) bool {
	for _, reading := range address.Readings(id) {
		for _, f := range address.Find(address.Kinds(), reading) {
			if strings.ContainsAny(reading[f.Start:f.End], "@+") {
				return true
			}
		}
	}
	return false
}

// IDForm is the form of an id that holds an address of which its token is made.
func IDForm(id string) string { return "id " + strings.ToLower(strings.Trim(id, "\x00 ")) }

// HashedID is what is stored in place of an id that holds an address.
func HashedID(t receipt.Token) string { return "." + t.Token + "." }

// WithoutAddresses replaces what looks like an address in what a provider reports. Where it
// shows only in another reading of the text, it returns that reading without it.
func WithoutAddresses(text string) string {
	for _, reading := range address.Readings(text) {
		plain := reading
		for found := address.Find(address.Kinds(), plain); len(found) > 0; found = address.Find(address.Kinds(), plain) {
			plain = plain[:found[0].Start] + "[address]" + plain[found[0].End:]
		}
		if plain != reading {
			return WithoutAddresses(plain)
		}
	}
	return text
}
