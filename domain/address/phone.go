package address

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
)

// e164 is ITU-T E.164 (11/2010) clause 6.2.1 with the + of E.123: a country code, which
// begins with no zero, and at most 15 digits. Seven is the least of any number that can
// be dialled from abroad.
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// normalisePhone accepts E.164 and repairs nothing: a number that the library would have
// to change is refused, because the changed number may be another person's.
func normalisePhone(value string) (string, error) {
	if !e164.MatchString(value) {
		return "", fmt.Errorf("must be a phone number in E.164 form: + and 7 to 15 digits (%s)", shape(value))
	}
	n, err := phonenumbers.Parse(value, "")
	if err != nil {
		return "", errors.New("must begin with a country code that is in use")
	}
	if phonenumbers.Format(n, phonenumbers.E164) != value {
		return "", fmt.Errorf("must be in E.164 form: it has a national prefix, or another digit that is not dialled from abroad, after its country code (%s)", shape(value))
	}
	if !phonenumbers.IsPossibleNumber(n) {
		return "", fmt.Errorf("must be a possible phone number of its country: it has too few or too many digits (%s)", shape(value))
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.UNKNOWN:
	case phonenumbers.VOICEMAIL:
		// In Italy and Israel a subscriber's number with a digit or two more.
		return "", fmt.Errorf("must be a subscriber's number: it has digits too many, or is a voice mailbox (%s)", shape(value))
	default:
		return value, nil
	}
	// The library's ranges may be older than the number, so one of no known range passes,
	// unless it is one of a known range with a digit too many.
	if valid(digitsLess(value, n)) {
		return "", fmt.Errorf("must be in E.164 form: it has a national prefix after its country code (%s)", shape(value))
	}
	if phonenumbers.TruncateTooLongNumber(n) {
		return "", fmt.Errorf("must be a possible phone number of its country: it has digits too many (%s)", shape(value))
	}
	return value, nil
}

// digitsLess returns a number without the zeros that follow its country code; "" if none
// does. In Italy and some other countries a zero there is part of the number.
func digitsLess(value string, n *phonenumbers.PhoneNumber) string {
	code := fmt.Sprintf("+%d", n.GetCountryCode())
	national := strings.TrimPrefix(value, code)
	trimmed := strings.TrimLeft(national, "0")
	if trimmed == national {
		return ""
	}
	return code + trimmed
}

func valid(number string) bool {
	n, err := phonenumbers.Parse(number, "")
	return err == nil && inUse(n)
}

// inUse is whether a number lies in a range of subscribers that the library knows.
func inUse(n *phonenumbers.PhoneNumber) bool {
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.UNKNOWN, phonenumbers.VOICEMAIL:
		return false
	default:
		return true
	}
}

func possible(number string) bool {
	n, err := phonenumbers.Parse(number, "")
	return err == nil && phonenumbers.IsPossibleNumber(n)
}

// phoneFacts returns the country of a number, and its operator by the table. A number of no
// single country, such as +800 or a satellite's, has none.
func phoneFacts(normal string, operators Operators) Facts {
	facts := Facts{Operator: operators.Of(normal)}
	n, err := phonenumbers.Parse(normal, "")
	if err != nil {
		return facts
	}
	region := phonenumbers.GetRegionCodeForNumber(n)
	if !country(region) {
		region = phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
	}
	if country(region) {
		facts.Country = region
	}
	return facts
}

// country is whether a region of the library is a country: "001" and "ZZ" are not.
func country(region string) bool { return len(region) == 2 && region != "ZZ" }

// homeRegions are the countries whose numbers are found without a country code. A
// national number is not told from an order number by its length, so only ranges that
// are in use count, and each country here costs order references that look like them.
var homeRegions = []string{"IT"}

// Lengths of what a finder takes for a number, in digits.
const (
	minInternational = 7
	minBare          = 10
	maxDigits        = 15
	// maxSeparators is how many separators in a row one number may hold: " (0) ".
	maxSeparators = 3
)

// findPhones returns what looks like a phone number: + or 00 and a possible number, or 10
// to 15 digits that are a valid number with or without the country code, with the usual
// separators between them. Dates, UUIDs and other mixed ids are not numbers.
func findPhones(text string) []Span {
	var found []Span
	runes := unmixed(text)
	for i := 0; i < len(runes); {
		if runes[i].digit == 0 {
			i++
			continue
		}
		last := candidate(runes, i)
		if s, next, ok := numberWithin(text, runes, i, last); ok {
			found = append(found, s)
			i = next
			continue
		}
		i = last + 1
	}
	return found
}

// candidate returns the index of the last digit of the run of digits and separators that
// begins at i.
func candidate(runes []place, i int) int {
	last := i
	for j, separators := i+1, 0; j < len(runes) && separators <= maxSeparators; j++ {
		switch {
		case runes[j].digit != 0:
			last, separators = j, 0
		case runes[j].separates:
			separators++
		default:
			return last
		}
	}
	return last
}

// numberWithin tries the run of first..last, and then shorter ones: groups of a run are
// left out from its end and then from its beginning, so that a number beside another
// number or a date is found.
func numberWithin(text string, runes []place, first, last int) (s Span, next int, ok bool) {
	for begin := first; begin <= last; begin = nextGroup(runes, begin, last) {
		plus := begin > 0 && runes[begin-1].plus
		for end := furthest(runes, begin, last); end >= begin; end = groupBefore(runes, begin, end) {
			if looksLikeNumber(text[runes[begin].at:runes[end].end], digits(runes[begin:end+1]), plus) {
				start := runes[begin].at
				if plus {
					start = runes[begin-1].at
				}
				return Span{start, runes[end].end}, end + 1, true
			}
		}
	}
	return Span{}, 0, false
}

// furthest returns the last digit that a number from begin can have, so that a long text
// costs no more than its length: last, or the end of the last group before the longest
// number's end.
func furthest(runes []place, begin, last int) int {
	const longest = (maxDigits + 3) * (1 + maxSeparators) // +3: 00 and a national zero
	if last-begin < longest {
		return last
	}
	return groupBefore(runes, begin, begin+longest)
}

// nextGroup returns the first digit after the next separator, or one past last.
func nextGroup(runes []place, i, last int) int {
	for ; i <= last && runes[i].digit != 0; i++ {
	}
	for ; i <= last && runes[i].digit == 0; i++ {
	}
	return i
}

// groupBefore returns the last digit before the separator before i, or one before first.
func groupBefore(runes []place, first, i int) int {
	for ; i >= first && runes[i].digit != 0; i-- {
	}
	for ; i >= first && runes[i].digit == 0; i-- {
	}
	return i
}

func digits(runes []place) string {
	var b strings.Builder
	for _, r := range runes {
		if r.digit != 0 {
			b.WriteByte(r.digit)
		}
	}
	return b.String()
}

// year is a group of four digits, a year, at the beginning of a text.
var year = regexp.MustCompile(`^(?:19|20)[0-9]{2}[^0-9]`)

func looksLikeNumber(text, digits string, plus bool) bool {
	international, zeros := strings.CutPrefix(digits, "00")
	switch {
	case plus:
		return len(digits) >= minInternational && len(digits) <= maxDigits+1 && possible("+"+digits) // +1: a national zero
	case zeros && len(international) >= minInternational+1 && len(international) <= maxDigits && possible("+"+international):
		return true
	case len(digits) < minBare || len(digits) > maxDigits:
		return false
	case year.MatchString(text): // 2026-0012345 is somebody's invoice
		return false
	case digits[0] != '0' && valid("+"+digits):
		return true
	}
	for _, region := range homeRegions {
		n, err := phonenumbers.Parse(digits, region)
		if err == nil && inUse(n) && phonenumbers.GetNationalSignificantNumber(n) == digits {
			return true
		}
	}
	return false
}

// minSpelled is the least number of digits in a row by which a number is recognised
// without its country code.
const minSpelled = 6

// spellsPhone compares digits: a text spells a number if its digits hold the number's,
// with or without the country code, whatever separates them.
func spellsPhone(text, normal string) bool {
	n, err := phonenumbers.Parse(normal, "")
	if err != nil {
		return false
	}
	national := phonenumbers.GetNationalSignificantNumber(n)
	if len(national) < minSpelled {
		national = strings.TrimPrefix(normal, "+")
	}
	return strings.Contains(digits(places(text)), national)
}
