package commands

import (
	"strings"

	"recapito/domain/address"
	"recapito/domain/receipt"
)

// HidesID reports whether a provider's id is stored as HashedID of a token of IDForm, by the
// worker and by the receiver alike, so that a receipt still finds its submission: one that
// holds the destination, from which some providers build it, or any address beyond doubt in
// one of its readings, a mailbox or a number with its plus. Other digits are how most
// providers number their messages.
func HidesID(id, destination string) bool {
	return HoldsAddress(id) || destination != "" && address.TakeOut(id, destination, "") != id
}

// HoldsAddress reports whether a provider's id holds an address beyond doubt; see HidesID.
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

// StorableCode is a provider's code without the destination and any other address.
func StorableCode(code, destination string) string {
	return WithoutAddresses(address.TakeOut(code, destination, takenOut))
}

// takenOut stands where an address stood.
const takenOut = "[address]"

// WithoutAddresses replaces what looks like an address in what a provider reports. Where it
// shows only in another reading of the text, it returns that reading without it.
func WithoutAddresses(text string) string {
	for _, reading := range address.Readings(text) {
		plain := reading
		for found := address.Find(address.Kinds(), plain); len(found) > 0; found = address.Find(address.Kinds(), plain) {
			plain = plain[:found[0].Start] + takenOut + plain[found[0].End:]
		}
		if plain != reading {
			return WithoutAddresses(plain)
		}
	}
	return text
}
