package content

// MaxRESTBodyBytes bounds the body of a call.
const MaxRESTBodyBytes = 1 << 20

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
		return formatOfMediaType(constants["media_type"])
	},
}
