package content

import (
	"encoding/json"
	"errors"
	"regexp"
)

// MaxRESTBodyBytes bounds the body of a call.
const MaxRESTBodyBytes = 1 << 20

// validMediaType is a type, a subtype and parameters (RFC 9110, section 8.3.1).
var validMediaType = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"[^\"\\\\\r\n]*\"))*$")

// REST is the content of a call to a custom HTTP service. How values are escaped in
// the body follows from its media type.
var REST = Kind{
	Name: "rest", Version: 1,
	Members: []Member{
		{Name: "body", Doc: "the body of the call", Required: true, Format: JSON, MaxBytes: MaxRESTBodyBytes},
		{Name: "media_type", Doc: "the body's media type; application/json if left out", Constant: true, Format: Line, MaxBytes: 255},
	},
	FormatOf: func(m Member, constants map[string]string) Format {
		if m.Name != "body" {
			return m.Format
		}
		return FormatOf(constants["media_type"])
	},
	Check: func(d Document) error {
		mediaType, body := d.Member("media_type"), d.Member("body")
		var problems []error
		if mediaType != "" && !validMediaType.MatchString(mediaType) {
			problems = append(problems, &MemberError{"media_type", "must be a media type, such as application/json"})
		}
		if FormatOf(mediaType) == JSON && !json.Valid([]byte(body)) {
			problems = append(problems, &MemberError{"body", "must be JSON, because of its media type (application/json unless media_type names another)"})
		}
		return errors.Join(problems...)
	},
}
