package api

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

// checkJSON says whether a body is one JSON document (RFC 8259) in UTF-8 that every
// reader understands alike (RFC 7493): no member stands twice in an object, and no
// escape is half of a surrogate pair. Problems name the byte and nothing that stands
// there.
func checkJSON(data []byte) *Problem {
	if !utf8.Valid(data) {
		return newProblem(CodeBadJSON, "it is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return badJSON(int(syntax.Offset))
		}
		return newProblem(CodeBadJSON, "")
	}
	return walk(data)
}

func badJSON(offset int) *Problem {
	return newProblem(CodeBadJSON, fmt.Sprintf("the fault is at byte %d", offset))
}

// walk visits every string of a valid document.
func walk(data []byte) *Problem {
	var open []map[string]bool // of each array or object around: the members so far; nil: array
	nameNext := false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if len(open) == maxDepth {
				return newProblem(CodeBadJSON, fmt.Sprintf("it is nested deeper than %d levels", maxDepth))
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
					return newProblem(CodeDuplicateMember, fmt.Sprintf("the second one is at byte %d", i))
				}
				members[name] = true
				nameNext = false
			}
			i = end - 1
		}
	}
	return nil
}

// stringEnd answers the place after the string that begins at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// halfSurrogate says whether a string has a \u escape of half a surrogate pair, which
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
