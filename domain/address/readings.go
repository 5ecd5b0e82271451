package address

import (
	"net/url"

	"golang.org/x/text/unicode/norm"
)

// Readings returns the texts that a text may stand for: as it is, and where they differ, in
// the compatibility form of Unicode (NFKC: another kind of digit or @ becomes the usual
// one), and percent-decoded once and twice. An address hidden in one of them is found there.
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
	for range 2 {
		decoded, err := url.PathUnescape(plain)
		if err != nil {
			break
		}
		if plain = norm.NFKC.String(decoded); !add(plain) {
			break
		}
	}
	return readings
}
