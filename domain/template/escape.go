package template

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"

	"recapito/domain/content"
)

// Escape returns a value as it may stand at a place, or an *EscapeError if it may not.
type Escape func(value string) (string, error)

// EscapeError is a value that may not stand at its place. It never holds the value.
type EscapeError struct{ Rule string }

func (e *EscapeError) Error() string { return e.Rule }

// escapeFor returns how values are escaped within a text of a format; nil: as they are.
func escapeFor(f content.Format) Escape {
	switch f {
	case content.HTML, content.XML:
		return escapeMarkup
	case content.JSON:
		return escapeJSON
	case content.Form:
		return func(value string) (string, error) { return url.QueryEscape(value), nil }
	case content.Line:
		return oneLine
	case content.Text:
	}
	return nil
}

var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// escapeMarkup escapes for HTML and XML, in text and in quoted attributes.
func escapeMarkup(value string) (string, error) { return markup.Replace(value), nil }

// escapeJSON escapes for the inside of a JSON string (RFC 8259, section 7). < > & are
// escaped too, so that the document may stand in HTML.
func escapeJSON(value string) (string, error) {
	quoted, err := json.Marshal(value)
	if err != nil {
		return "", &EscapeError{"a value cannot be written in JSON"}
	}
	return string(quoted[1 : len(quoted)-1]), nil
}

// URLPart percent-encodes all but the unreserved characters of RFC 3986, section 2.3: the
// value can stand in a path segment, in a query's name or in its value.
func URLPart(value string) (string, error) {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if digit(c) || letter(c) || c == '-' || c == '.' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String(), nil
}

// oneLine refuses values that hold a control character, such as the line break that would
// begin another header.
func oneLine(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", &EscapeError{"a value holds a line break or another control character"}
	}
	return value, nil
}

// replacer lets the template engine escape with an Escape.
type replacer struct{ escape Escape }

// WriteString implements the engine's interface.
func (r replacer) WriteString(w io.Writer, value string) (int, error) {
	escaped, err := r.escape(value)
	if err != nil {
		return 0, err
	}
	if _, err := io.WriteString(w, escaped); err != nil {
		return 0, err
	}
	return len(value), nil
}
