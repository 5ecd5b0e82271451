package smpp

import (
	"strings"

	"recapito/domain/event"
)

// Types of number and numbering plans (SMPP 3.4, 5.2.5, 5.2.6).
const (
	tonInternational = 1
	tonNetwork       = 3
	tonAlphanumeric  = 5
	npiUnknown       = 0
	npiISDN          = 1
)

// Limits of an address.
const (
	maxDigits       = 15 // E.164
	maxShortCode    = 6  // a sender of so few digits without + is a number of the network, not E.164
	maxAlphanumeric = 11 // 3GPP TS 23.040, 9.1.2.5: 11 characters of 7 bits
)

var (
	errSender      = &event.Rule{Code: "invalid_sender", Message: "the sender is neither a number nor a name of at most 11 characters"}
	errDestination = &event.Rule{Code: "invalid_destination", Message: "the destination is not an E.164 number"}
)

type smppAddress struct {
	ton, npi int
	value    string
}

// sender is the source address of a message: a number, or a name.
func sender(s string) (smppAddress, error) {
	if digits := strings.TrimPrefix(s, "+"); isDigits(digits) {
		if len(digits) > maxDigits {
			return smppAddress{}, errSender
		}
		if len(digits) <= maxShortCode && digits == s {
			return smppAddress{tonNetwork, npiUnknown, digits}, nil
		}
		return smppAddress{tonInternational, npiISDN, digits}, nil
	}
	if s == "" || len(s) > maxAlphanumeric {
		return smppAddress{}, errSender
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return smppAddress{}, errSender
		}
	}
	return smppAddress{tonAlphanumeric, npiUnknown, s}, nil
}

// destination is the address of a person: E.164, on the wire without its plus.
func destination(s string) (smppAddress, error) {
	digits := strings.TrimPrefix(s, "+")
	if !isDigits(digits) || len(digits) > maxDigits {
		return smppAddress{}, errDestination
	}
	return smppAddress{tonInternational, npiISDN, digits}, nil
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
