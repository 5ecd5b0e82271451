package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits of RFC 5321 section 4.5.3.1, in bytes. A path holds < and > too, so a mailbox
// has at most 254.
const (
	maxLocalBytes   = 64
	maxDomainBytes  = 255
	maxMailboxBytes = 254
)

// domains is UTS #46 as a registry applies it: STD3 rules, lengths of labels (RFC 1035),
// contextual rules and directions of RFC 5891 to 5893. The result is A-labels in lower
// case.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.ValidateLabels(true), idna.VerifyDNSLength(true))

// normaliseEmail returns a mailbox of RFC 5321 section 4.1.2, or of RFC 6531 with a local
// part in UTF-8, without a display name or comment. The local part stays as it is written
// (NFC); quotes that it does not need are removed. The domain becomes A-labels, so a
// server without SMTPUTF8 takes it. A domain of one label and an address literal are
// refused: no public mailbox has one.
func normaliseEmail(value string) (string, error) {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("must be a mailbox of printable characters (%s)", shape(value))
	}
	at := strings.LastIndexByte(value, '@')
	if at <= 0 || at == len(value)-1 {
		return "", fmt.Errorf("must be a mailbox: a local part, @ and a domain (%s)", shape(value))
	}
	local, err := normaliseLocal(norm.NFC.String(value[:at]))
	if err != nil {
		return "", err
	}
	domain, err := normaliseDomain(value[at+1:])
	if err != nil {
		return "", err
	}
	if mailbox := local + "@" + domain; len(mailbox) <= maxMailboxBytes {
		return mailbox, nil
	}
	return "", fmt.Errorf("must be a mailbox of at most %d bytes (%s)", maxMailboxBytes, shape(value))
}

func normaliseLocal(local string) (string, error) {
	if inner, quoted := strings.CutPrefix(local, `"`); quoted {
		text, err := unquote(inner)
		if err != nil {
			return "", err
		}
		if local = text; !dotAtom(text) {
			local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
	} else if !dotAtom(local) {
		return "", fmt.Errorf("must be a mailbox whose local part is words joined by single dots, or quoted (its local part has %d characters)", utf8.RuneCountInString(local))
	}
	if len(local) > maxLocalBytes {
		return "", fmt.Errorf("must be a mailbox whose local part has at most %d bytes (it has %d)", maxLocalBytes, len(local))
	}
	return local, nil
}

// unquote returns the content of a quoted string whose opening quote is gone.
func unquote(s string) (string, error) {
	bad := errors.New("must be a mailbox whose quoted local part is ASCII with one closing quote at its end")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < ' ' || c > '~':
			return "", bad
		case c == '"':
			if i != len(s)-1 || b.Len() == 0 {
				return "", bad
			}
			return b.String(), nil
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", bad
			}
			c = s[i]
		}
		b.WriteByte(c)
	}
	return "", bad
}

// dotAtom is RFC 5321's Dot-string, with the UTF-8 of RFC 6531 section 3.3.
func dotAtom(s string) bool {
	for _, atom := range strings.Split(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !atext(r) }) {
			return false
		}
	}
	return true
}

func atext(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r) ||
		r > unicode.MaxASCII && unicode.IsGraphic(r) && !unicode.IsSpace(r)
}

func normaliseDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") {
		return "", errors.New("must be a mailbox at a domain name, not at an address literal")
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("must be a mailbox at a domain name of the DNS (its domain has %d characters)", utf8.RuneCountInString(domain))
	}
	labels := strings.Split(ascii, ".")
	top := labels[len(labels)-1]
	switch {
	case len(ascii) > maxDomainBytes || len(labels) < 2 || top == "":
		return "", errors.New("must be a mailbox at a full domain name, with its top-level domain and no dot at its end")
	case !strings.ContainsFunc(top, unicode.IsLetter): // RFC 3696 section 2: not all digits
		return "", errors.New("must be a mailbox at a domain name whose top-level domain is no number")
	}
	return ascii, nil
}

// emailIdentity ignores the letter case of the local part. RFC 5321 section 2.4 lets a
// host tell cases apart and asks that none relies on it; two persons of one mailbox's two
// spellings are not known, and one person of both is common. Dots and "+tags" stay: what
// they mean is the host's own rule.
func emailIdentity(normal string) string { return strings.ToLower(normal) }

// findEmails returns what looks like a mailbox: an @ (or its full-width form, or %40)
// between characters, and what is joined to it on both sides.
func findEmails(text string) []Span {
	var found []Span
	for from := 0; from < len(text); {
		i, size := atSign(text[from:])
		if i < 0 {
			break
		}
		i += from
		start, end := i, i+size
		for start > from {
			r, n := utf8.DecodeLastRuneInString(text[:start])
			if !atext(r) && r != '.' && r != '"' {
				break
			}
			start -= n
		}
		for end < len(text) {
			r, n := utf8.DecodeRuneInString(text[end:])
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && r != '.' && r != '-' {
				break
			}
			end += n
		}
		if start < i && end > i+size {
			found = append(found, Span{start, end})
		}
		from = max(end, i+size)
	}
	return found
}

// atSign returns where the first at sign of a text stands, and its length; -1 if none does.
func atSign(text string) (at, size int) {
	at = -1
	for _, sign := range []string{"@", "＠", "%40"} {
		if i := strings.Index(text, sign); i >= 0 && (at < 0 || i < at) {
			at, size = i, len(sign)
		}
	}
	return at, size
}

// spellsEmail ignores letter case, and finds a mailbox with an encoded at sign and one at
// a domain written in its own script.
func spellsEmail(text, normal string) bool {
	text = strings.NewReplacer("%40", "@", "＠", "@").Replace(strings.ToLower(norm.NFC.String(text)))
	normal = strings.ToLower(normal)
	if strings.Contains(text, normal) {
		return true
	}
	at := strings.LastIndexByte(normal, '@')
	domain, err := idna.Lookup.ToUnicode(normal[at+1:])
	return err == nil && strings.Contains(text, normal[:at+1]+domain)
}
