package commands

import (
	"recapito/domain/address"
	"recapito/domain/receipt"
)

// StorableID is a provider's id without the destination that some providers build it
// from: the destination's token stands in its place, so that ids stay apart.
func StorableID(id, destination string, t receipt.Token) string {
	return address.TakeOut(id, destination, "."+t.Token+".")
}

// WithoutAddresses replaces what looks like an address in what a provider reports.
func WithoutAddresses(text string) string {
	for text != "" {
		found := address.Find(address.Kinds(), text)
		if len(found) == 0 {
			break
		}
		text = text[:found[0].Start] + "[address]" + text[found[0].End:]
	}
	return text
}
