package address

import (
	"regexp"
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
)

// Reported is what an address in a provider's report shows: of the destination or the
// sender of a message, in whatever spelling the provider chose. The zero value is a text
// that is no address of the kind, such as a name or a short code.
type Reported struct {
	// Normal is the normal form that the text may stand for; "" if it cannot be read.
	Normal string
	// Complete is whether Normal is certain: another address is another destination.
	Complete bool
	// Partial is whether the text is an address with something missing: masked, national.
	Partial bool
}

// Reported reads an address in a provider's report. It never fails: what it cannot read
// is no address.
func (k Kind) Reported(text string) Reported {
	text = strings.TrimSpace(text)
	if k.Reads != nil {
		return k.Reads(text)
	}
	normal, err := k.Normalise(text)
	if err != nil {
		return Reported{}
	}
	return Reported{Normal: normal, Complete: true}
}

var (
	// reportedNumber is digits as a provider gives them, with or without the usual separators.
	reportedNumber = regexp.MustCompile(`^(?:\+|00)?[0-9](?:[ ().-]*[0-9]){6,}$`)
	// maskedNumber is digits of which some are replaced.
	maskedNumber = regexp.MustCompile(`^\+?[0-9 ().-]*[*xX#?]+[0-9*xX#? ().-]*$`)
)

// readPhone takes a number for complete only if it is written as an international one
// and is one. Bare digits may be national, so they prove nothing where they differ.
func readPhone(text string) Reported {
	switch {
	case reportedNumber.MatchString(text):
		international := strings.HasPrefix(text, "+") || strings.HasPrefix(text, "00")
		bare := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, text)
		if !strings.HasPrefix(text, "+") {
			bare = strings.TrimPrefix(bare, "00")
		}
		_, err := normalisePhone("+" + bare)
		complete := international && err == nil
		return Reported{Normal: "+" + bare, Complete: complete, Partial: !complete}
	case maskedNumber.MatchString(text) && strings.ContainsAny(text, "0123456789"):
		return Reported{Partial: true}
	}
	return Reported{}
}

// TakeOut replaces a given normal address in a text by something else, a phone number
// without its country code too: some providers build ids from numbers. An address that is
// spelled with other letter case, or only in another of the text's Readings, is taken out of
// that reading. It returns the text as it is if it holds none.
func TakeOut(text, normal, by string) string {
	if text == "" {
		return ""
	}
	spellings := []string{normal, strings.TrimPrefix(normal, "+")}
	if n, err := phonenumbers.Parse(normal, ""); err == nil {
		spellings = append(spellings, phonenumbers.GetNationalSignificantNumber(n))
	}
	for _, reading := range Readings(text) {
		for _, spelled := range spellings {
			if len(spelled) < minInternational {
				continue
			}
			// Not by lower case: it may have another length.
			found := regexp.MustCompile("(?i)" + regexp.QuoteMeta(spelled))
			if without := found.ReplaceAllLiteralString(reading, by); without != reading {
				return without
			}
		}
	}
	return text
}
