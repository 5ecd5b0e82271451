package rest

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Limits of a JSON pointer.
const (
	maxPointerBytes = 500
	maxPointerDepth = 16
)

// pointer is a parsed JSON pointer (RFC 6901). The empty one is the document.
type pointer []string

var errPointer = errors.New("must be a JSON pointer (RFC 6901), such as /message/id, of at most 16 parts")

// parsePointer reads a pointer.
func parsePointer(text string) (pointer, error) {
	if text == "" {
		return nil, nil
	}
	if text[0] != '/' || len(text) > maxPointerBytes {
		return nil, errPointer
	}
	parts := strings.Split(text[1:], "/")
	if len(parts) > maxPointerDepth {
		return nil, errPointer
	}
	for i, part := range parts {
		unescaped := strings.NewReplacer("~0", "", "~1", "").Replace(part)
		if strings.Contains(unescaped, "~") {
			return nil, errPointer
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

// mustPointer is for settings that were validated.
func mustPointer(text string) pointer {
	p, err := parsePointer(text)
	if err != nil {
		panic("rest: a pointer was not validated")
	}
	return p
}

// find returns the value that a pointer leads to.
func (p pointer) find(document any) (value any, ok bool) {
	for _, part := range p {
		switch v := document.(type) {
		case map[string]any:
			if document, ok = v[part]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != part {
				return nil, false
			}
			document = v[i]
		default:
			return nil, false
		}
	}
	return document, true
}

// text returns a string, a number or a boolean as a text. Absent and null values are "".
// ok is false for an object and an array.
func (p pointer) text(document any) (text string, ok bool) {
	value, found := p.find(document)
	if !found {
		return "", true
	}
	switch v := value.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
