package intake

import (
	"regexp"

	"recapito/commands/intake/strictjson"
)

// CheckClear checks a short name that is stored in clear (a label, a reference): its
// length in bytes, no control characters, and no address or phone number in it.
func CheckClear(field, value string, limit int) []strictjson.Problem {
	var ps problems
	checkClear(field, value, limit, nil, &ps)
	return ps
}

// CheckNote checks a free text that is stored in clear (the reason of a cancel). It is
// CheckClear, and refuses as well what reads like an address or a number anywhere in it.
func CheckNote(field, value string, limit int) []strictjson.Problem {
	ps := CheckClear(field, value, limit)
	if len(ps) == 0 && addressWithin.MatchString(value) {
		return []strictjson.Problem{{Field: field, Code: "personal_data", Message: "is stored in clear and must not hold an address or a phone number"}}
	}
	return ps
}

// addressWithin finds an @ between characters, or seven digits with nothing but the
// usual separators between them.
var addressWithin = regexp.MustCompile(`[^\s]@[^\s]|[0-9](?:[ ./()-]*[0-9]){6}`)
