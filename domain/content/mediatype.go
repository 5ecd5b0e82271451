package content

import "strings"

// FormatOf returns how values are escaped within a text of a media type; without one it is JSON.
func FormatOf(mediaType string) Format {
	base, _, _ := strings.Cut(strings.ToLower(mediaType), ";")
	base = strings.TrimSpace(base)
	switch {
	case base == "", base == "application/json", strings.HasSuffix(base, "+json"):
		return JSON
	case base == "application/x-www-form-urlencoded":
		return Form
	case base == "text/html", base == "application/xhtml+xml", base == "image/svg+xml": // which browsers run
		return HTML
	case base == "application/xml", base == "text/xml", strings.HasSuffix(base, "+xml"):
		return XML
	}
	return Text
}
