package address

import (
	"encoding/hex"
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// mostDecodings is how often a text is percent-decoded in search of an address.
const mostDecodings = 5

// Readings returns the texts that a text may stand for: as it is, and where they differ, in
// the compatibility form of Unicode (NFKC: another kind of digit or @ becomes the usual
// one), without invisible characters and with HTML's character references decoded, with the
// @ and + of quoted-printable decoded, and percent-decoded, also where that was done several
// times. What is no escape stays as it is. An address hidden in one of them is found there.
func Readings(text string) []string {
	readings := []string{text}
	add := func(read string) bool {
		for _, r := range readings {
			if r == read {
				return false
			}
		}
		readings = append(readings, read)
		return true
	}
	plain := norm.NFKC.String(text)
	add(plain)
	add(norm.NFKC.String(strings.Map(visible, html.UnescapeString(text))))
	add(norm.NFKC.String(quotedPrintable.Replace(text)))
	for range mostDecodings {
		if plain = norm.NFKC.String(decoded(plain)); !add(plain) {
			break
		}
	}
	return readings
}

// quotedPrintable decodes what addresses need of RFC 2045, section 6.7.
var quotedPrintable = strings.NewReplacer("=40", "@", "=2B", "+", "=2b", "+")

// visible drops what stands in no place of its own, such as a zero-width space.
func visible(r rune) rune {
	if unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// decoded is a text with its percent-escapes (RFC 3986, section 2.1) decoded.
func decoded(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		b, _ := hex.DecodeString(e[1:]) // two digits
		return string(b)
	})
}
