package address

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a table of operators.
const (
	MaxOperatorPrefixes  = 100_000
	maxOperatorNameBytes = 64
)

// Operators maps prefixes of E.164 numbers to the operators that hold the ranges. The
// longest prefix of a number counts. A number that its user took to another operator
// (number portability) still shows the holder of its range. The zero value knows none.
type Operators struct {
	names   map[string]string // by the prefix's digits
	longest int
}

// NewOperators makes a table of a map from prefix ("+39333") to operator. It reports
// every entry that is wrong.
func NewOperators(prefixes map[string]string) (Operators, error) {
	if len(prefixes) > MaxOperatorPrefixes {
		return Operators{}, fmt.Errorf("a table of operators has at most %d prefixes", MaxOperatorPrefixes)
	}
	o := Operators{names: make(map[string]string, len(prefixes))}
	var wrong []error
	for prefix, name := range prefixes {
		digits, plus := strings.CutPrefix(prefix, "+")
		switch {
		case !plus || digits == "" || len(digits) > maxDigits || digits[0] == '0' || strings.Trim(digits, "0123456789") != "":
			wrong = append(wrong, fmt.Errorf("prefix %q: must be + and 1 to %d digits, the first of them not 0", prefix, maxDigits))
		case name == "" || len(name) > maxOperatorNameBytes || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
			wrong = append(wrong, fmt.Errorf("prefix %q: its operator must have 1 to %d bytes and no control characters", prefix, maxOperatorNameBytes))
		default:
			o.names[digits] = name
			o.longest = max(o.longest, len(digits))
		}
	}
	if len(wrong) > 0 {
		return Operators{}, errors.Join(wrong...)
	}
	return o, nil
}

// Of returns the operator that holds the range of a number in E.164 form; "" if the
// table has none, or the address is no number.
func (o Operators) Of(number string) string {
	digits, plus := strings.CutPrefix(number, "+")
	if !plus {
		return ""
	}
	for n := min(len(digits), o.longest); n > 0; n-- {
		if name, ok := o.names[digits[:n]]; ok {
			return name
		}
	}
	return ""
}
