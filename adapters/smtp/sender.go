package smtp

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"recapito/domain/address"
)

// maxNameBytes bounds a display name.
const maxNameBytes = 256

// ParseSender reads a mailbox, or a display name and a mailbox: "Name <mailbox>", where
// the name may stand in double quotes. The mailbox is normalised as address.Email does.
// Its error names the rule and never the value.
func ParseSender(sender string) (mail.Address, error) {
	if !utf8.ValidString(sender) || strings.ContainsFunc(sender, unicode.IsControl) {
		return mail.Address{}, errors.New("must be one line of printable characters")
	}
	name, mailbox := "", strings.TrimSpace(sender)
	if inner, found := strings.CutSuffix(mailbox, ">"); found {
		at := strings.LastIndexByte(inner, '<')
		if at < 0 {
			return mail.Address{}, errors.New("must be a mailbox, or a name and a mailbox in angle brackets")
		}
		name, mailbox = strings.TrimSpace(inner[:at]), strings.TrimSpace(inner[at+1:])
	}
	name, err := displayName(name)
	if err != nil {
		return mail.Address{}, err
	}
	normal, err := address.Email.Normalise(mailbox)
	if err != nil {
		return mail.Address{}, err
	}
	return mail.Address{Name: name, Address: normal}, nil
}

// displayName returns a name without its quotes, and with single blanks.
func displayName(name string) (string, error) {
	if inner, quoted := strings.CutPrefix(name, `"`); quoted {
		inner, closed := strings.CutSuffix(inner, `"`)
		if !closed {
			return "", errors.New("must have a name with both quotes or none")
		}
		name = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(inner)
	}
	name = strings.Join(strings.Fields(name), " ")
	switch {
	case len(name) > maxNameBytes:
		return "", errors.New("must have a name of at most 256 bytes")
	case strings.ContainsAny(name, "<>"):
		return "", errors.New("must have a name without angle brackets")
	}
	return name, nil
}

// ascii reports whether a text needs no SMTPUTF8.
func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}
