package scenario

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the fields of a request.
const (
	MaxValueBytes     = 4_096  // of one value
	MaxAllValuesBytes = 32_768 // of all values of a request
	// A template compares numbers of at most so many digits without losing one: as 64 bits, and
	// with a fraction by IEEE 754.
	maxIntegerDigits  = 18
	maxFractionDigits = 15 // and before the point
)

// ProblemCode names the rule that a field breaks.
type ProblemCode string

// The rules a field can break.
const (
	UnknownField ProblemCode = "unknown_field" // the scenario does not define it
	MissingField ProblemCode = "missing_field" // required, and absent or empty
	WrongType    ProblemCode = "wrong_type"    // not of the type defined
	InvalidValue ProblemCode = "invalid_value" // of the type, but holding what no text may hold
	TooLong      ProblemCode = "too_long"      // over a limit of size
	TooMany      ProblemCode = "too_many_fields"
)

// FieldProblem is a rule broken by one field: its place and the rule, never the value.
type FieldProblem struct {
	Field   string // where: "fields.day", or "fields"
	Code    ProblemCode
	Message string
}

// CheckFields checks a request's fields, as decoded from JSON (string, bool, float64,
// json.Number, or json.RawMessage), and returns each value's canonical text, the
// personal ones apart from the others, or all problems at once, ordered by field.
// A number or boolean may also come as a string that reads as one, since some listeners
// (forms, CSV, the command line) know only text.
func (d Definition) CheckFields(fields map[string]any) (personal, open map[string]string, problems []FieldProblem) {
	report := func(place string, code ProblemCode, rule string, args ...any) {
		problems = append(problems, FieldProblem{Field: place, Code: code, Message: fmt.Sprintf(rule, args...)})
	}
	if len(fields) > MaxFields {
		report("fields", TooMany, "at most %d fields", MaxFields)
		return nil, nil, problems
	}
	personal, open = map[string]string{}, map[string]string{}
	total := 0
	for name, value := range fields {
		f, ok := d.Field(name)
		if !ok {
			report(unknownPlace(name), UnknownField, "the scenario %s defines no such field", d.Name)
			continue
		}
		text, wrong := canonical(f.Type, value)
		switch {
		case wrong != nil:
			report("fields."+name, wrong.code, "%s", wrong.rule)
			continue
		case len(text) > MaxValueBytes:
			report("fields."+name, TooLong, "at most %d bytes", MaxValueBytes)
			continue
		case text == "" && f.Required:
			report("fields."+name, MissingField, "is required and must not be empty")
			continue
		}
		total += len(text)
		if f.Personal {
			personal[name] = text
		} else {
			open[name] = text
		}
	}
	for _, f := range d.Fields {
		if _, given := fields[f.Name]; f.Required && !given {
			report("fields."+f.Name, MissingField, "is required")
		}
	}
	if total > MaxAllValuesBytes {
		report("fields", TooLong, "at most %d bytes in all", MaxAllValuesBytes)
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b FieldProblem) int { return strings.Compare(a.Field, b.Field) })
		return nil, nil, problems
	}
	return personal, open, nil
}

// unknownPlace names an unknown field only if its name could be a field's: a caller
// may have put anything, such as a phone number, where a name belongs.
func unknownPlace(name string) string {
	if len(name) <= MaxNameLength && validFieldName.MatchString(name) {
		return "fields." + name
	}
	return "fields"
}

type broken struct {
	code ProblemCode
	rule string
}

// canonical is the one text that stands for a value of a type.
func canonical(t Type, value any) (string, *broken) {
	if raw, ok := value.(json.RawMessage); ok {
		decoder := json.NewDecoder(strings.NewReader(string(raw)))
		decoder.UseNumber()
		value = nil
		if err := decoder.Decode(&value); err != nil {
			return "", &broken{WrongType, "must be one JSON value"}
		}
	}
	switch t {
	case Text:
		return canonicalText(value)
	case Number:
		return canonicalNumber(value)
	case Date:
		return canonicalDate(value)
	case Boolean:
		return canonicalBoolean(value)
	}
	return "", &broken{WrongType, "is of a type that the scenario does not define"}
}

func canonicalText(value any) (string, *broken) {
	s, ok := value.(string)
	if !ok {
		return "", &broken{WrongType, "must be a text (a JSON string)"}
	}
	if !utf8.ValidString(s) {
		return "", &broken{InvalidValue, "must be valid UTF-8"}
	}
	for _, r := range s {
		if (r < ' ' && r != '\n' && r != '\r' && r != '\t') || r == 0x7f {
			return "", &broken{InvalidValue, "must hold no control characters"}
		}
	}
	return s, nil
}

func canonicalNumber(value any) (string, *broken) {
	wrong := &broken{WrongType, "must be a decimal number without an exponent"}
	var s string
	switch v := value.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", wrong
		}
		s = strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		s = strconv.Itoa(v)
	case int64:
		s = strconv.FormatInt(v, 10)
	case json.Number:
		s = v.String()
	case string:
		s = v
	default:
		return "", wrong
	}
	integer, fraction, hasFraction := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !digits(integer) || (len(integer) > 1 && integer[0] == '0') || (hasFraction && !digits(fraction)) {
		return "", wrong
	}
	fraction = strings.TrimRight(fraction, "0")
	if limit := maxDigits(fraction); len(integer)+len(fraction) > limit {
		return "", &broken{TooLong, fmt.Sprintf("at most %d digits: a longer one is a text", limit)}
	}
	out := integer
	if fraction != "" {
		out += "." + fraction
	}
	if strings.HasPrefix(s, "-") && out != "0" {
		out = "-" + out
	}
	return out, nil
}

func maxDigits(fraction string) int {
	if fraction == "" {
		return maxIntegerDigits
	}
	return maxFractionDigits
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

func canonicalDate(value any) (string, *broken) {
	s, ok := value.(string)
	if !ok || len(s) != len(time.DateOnly) {
		return "", &broken{WrongType, "must be a date as a text, year-month-day, such as 2026-12-01"}
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", &broken{WrongType, "must be a date of the calendar, year-month-day, such as 2026-12-01"}
	}
	return s, nil
}

func canonicalBoolean(value any) (string, *broken) {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v), nil
	case string:
		if v == "true" || v == "false" {
			return v, nil
		}
	}
	return "", &broken{WrongType, "must be true or false"}
}
