package address

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of addresses whose form is their issuer's own.
const (
	maxDeviceBytes = 4096 // FCM and APNs say that tokens may grow; 4 KB is a push message's own limit
	maxUserBytes   = 256
	maxURLBytes    = 2048
	// maxISSI: a short subscriber identity has 24 bits (ETSI EN 300 392-1 clause 7.2.3);
	// all ones are the broadcast address, and 0 is nobody's.
	maxISSI       = 1<<24 - 2
	maxISSIDigits = 8
)

// normaliseDevice accepts a token as its push service gives it, unchanged: printable
// ASCII without spaces.
func normaliseDevice(value string) (string, error) {
	if value == "" || len(value) > maxDeviceBytes || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("must be a device token: 1 to %d characters of ASCII without spaces (%s)", maxDeviceBytes, shape(value))
	}
	return value, nil
}

// deviceToken is a registration token of Firebase Cloud Messaging: an instance id, a
// colon and a long string. Other services' tokens look like any hash.
var deviceToken = regexp.MustCompile(`[A-Za-z0-9_-]{11,}:APA91[A-Za-z0-9_-]{60,}`)

func findDevices(text string) []Span {
	var found []Span
	for _, s := range deviceToken.FindAllStringIndex(text, -1) {
		found = append(found, Span{s[0], s[1]})
	}
	return found
}

// normaliseUser accepts an id as its system gives it, in NFC: letter case is the
// system's own matter.
func normaliseUser(value string) (string, error) {
	if utf8.ValidString(value) {
		value = norm.NFC.String(value)
	}
	if value == "" || len(value) > maxUserBytes || !utf8.ValidString(value) || strings.TrimSpace(value) != value ||
		strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("must be a user's id: 1 to %d bytes of printable characters, with no space at its ends (%s)", maxUserBytes, shape(value))
	}
	return value, nil
}

// normaliseURL accepts an absolute http or https URL of RFC 3986 without user
// information or fragment. Scheme and host become lower case.
func normaliseURL(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || len(value) > maxURLBytes || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.HasSuffix(value, "#") ||
		strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("must be an absolute URL of at most %d ASCII characters, without user information or fragment (%s)", maxURLBytes, shape(value))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("must be a URL of http or https (%s)", shape(value))
	}
	rest := value[strings.Index(value, "://")+3:]
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	return u.Scheme + "://" + strings.ToLower(host) + rest[len(host):], nil
}

// normaliseISSI accepts a TETRA individual short subscriber identity in decimal.
func normaliseISSI(value string) (string, error) {
	wrong := fmt.Errorf("must be an ISSI: a decimal number from 1 to %d without leading zeros (%s)", maxISSI, shape(value))
	if value == "" || len(value) > maxISSIDigits || value[0] == '0' {
		return "", wrong
	}
	n := 0
	for _, c := range []byte(value) {
		if !isDigit(c) {
			return "", wrong
		}
		n = n*10 + int(c-'0')
	}
	if n > maxISSI {
		return "", wrong
	}
	return value, nil
}
