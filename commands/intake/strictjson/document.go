// Package strictjson reads one JSON document strictly. A document (RFC 8259, in UTF-8) is
// refused unless every reader understands it alike (RFC 7493): a member that stands twice
// and half of a surrogate pair are errors. The members of an object are then taken one by
// one by type, and everything that is wrong with them is collected with its place.
//
// Promise: no error and no problem holds anything of the document but names of members
// that a program of ours could have given.
package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth of a JSON document. A request has no more than five levels.
const maxDepth = 16

// DocumentError refuses a document as such.
type DocumentError struct {
	// Duplicate: a member stands twice in an object. Else it is not one JSON document.
	Duplicate bool
	// Detail names the byte, or the rule; it may be empty.
	Detail string
}

func (e *DocumentError) Error() string {
	what := "not one JSON document in UTF-8"
	if e.Duplicate {
		what = "a member stands twice in one JSON object"
	}
	if e.Detail == "" {
		return what
	}
	return what + ": " + e.Detail
}

// Check returns a *DocumentError unless data is one JSON document (RFC 8259) in UTF-8 that
// every reader understands alike (RFC 7493): no member stands twice in an object, no
// escape is half of a surrogate pair, and nothing is nested deeper than 16 levels.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return &DocumentError{Detail: "it is not UTF-8"}
	}
	var document json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return badJSON(int(syntax.Offset))
		}
		return &DocumentError{}
	}
	return walk(data)
}

func badJSON(offset int) error {
	return &DocumentError{Detail: fmt.Sprintf("the fault is at byte %d", offset)}
}

// walk visits every string of a valid document.
func walk(data []byte) error {
	var open []map[string]bool // of each array or object around: the members so far; nil: array
	nameNext := false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if len(open) == maxDepth {
				return &DocumentError{Detail: fmt.Sprintf("it is nested deeper than %d levels", maxDepth)}
			}
			var members map[string]bool
			if nameNext = data[i] == '{'; nameNext {
				members = map[string]bool{}
			}
			open = append(open, members)
		case '}', ']':
			open = open[:len(open)-1]
			nameNext = false
		case ',':
			nameNext = len(open) > 0 && open[len(open)-1] != nil
		case '"':
			end := stringEnd(data, i)
			if halfSurrogate(data[i:end]) {
				return badJSON(i)
			}
			if nameNext {
				var name string
				if err := json.Unmarshal(data[i:end], &name); err != nil {
					return badJSON(i)
				}
				members := open[len(open)-1]
				if members[name] {
					return &DocumentError{Duplicate: true, Detail: fmt.Sprintf("the second one is at byte %d", i)}
				}
				members[name] = true
				nameNext = false
			}
			i = end - 1
		}
	}
	return nil
}

// stringEnd returns the place after the string that begins at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// halfSurrogate reports whether a string has a \u escape of half a surrogate pair, which
// encoding/json would silently replace.
func halfSurrogate(s []byte) bool {
	for i := 0; i < len(s)-1; i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if s[i] != 'u' {
			continue
		}
		r := escaped(s, i+1)
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		if i+2 >= len(s) || s[i+1] != '\\' || s[i+2] != 'u' || utf16.DecodeRune(r, escaped(s, i+3)) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped reads the four hexadecimal digits at i, which a valid document has.
func escaped(s []byte, i int) rune {
	if i+4 > len(s) {
		return utf8.RuneError
	}
	v, err := strconv.ParseUint(string(s[i:i+4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(v)
}
