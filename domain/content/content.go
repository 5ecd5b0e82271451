// Package content defines what a channel's message holds. A kind of content is a
// value: its members, their formats and limits. A scenario has one template a member;
// the templates are rendered once, when a notification is planned, into a Document,
// and the document is sealed in the target of the plan.
//
// A document's JSON form, its kind's name and its version are the storage format: a
// member is never renamed or reused. A change makes a new version, with a golden
// document of its own under testdata/golden.
package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of any document.
const (
	// MaxDocumentBytes bounds the JSON form of one document, attachments included.
	MaxDocumentBytes = 16 << 20
	maxMembers       = 32
)

// Format of a member decides how the values of fields are escaped in its template.
type Format string

// The formats of members.
const (
	Text Format = "text" // plain text, nothing is escaped
	HTML Format = "html" // & < > " ' are escaped in values
	JSON Format = "json" // values are escaped as within a JSON string (RFC 8259, section 7)
	XML  Format = "xml"  // & < > " ' are escaped in values
	Form Format = "form" // values are percent-encoded (application/x-www-form-urlencoded)
	Line Format = "line" // one line of plain text; a line break in it is an error
)

// Member is one member of a kind of content.
type Member struct {
	Name     string
	Doc      string // one line, for the documents
	Required bool
	Constant bool // taken as it stands, not a template
	Format   Format
	MaxBytes int // of the rendered member; 0: only the document's limit
	// Example stands for a templated member while a scenario is checked, where not any text
	// is valid; "" where any is.
	Example string
}

// Kind is what the messages of a channel hold.
type Kind struct {
	Name    string // e.g. "email"; the document's type
	Version int    // of the document's form, from 1
	Members []Member
	// Attachments reports whether a document may have attachments, and its limits.
	Attachments AttachmentLimits
	// FormatOf replaces a member's format where other members decide it; nil keeps it.
	FormatOf func(m Member, constants map[string]string) Format
	// Check holds the rules over the complete document; nil if there are none.
	Check func(Document) error
}

// AttachmentLimits bound a document's attachments. The zero value allows none.
type AttachmentLimits struct {
	Count    int
	MaxBytes int // of all attachments of a document together, decoded
}

// Attachment is a file that goes with a message.
type Attachment struct {
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	Data      []byte `json:"data"` // base64 in JSON
}

// Document is one rendered message. It holds personal data in clear: never log it.
type Document struct {
	Type        string
	Version     int
	Members     map[string]string // members that rendered as empty are absent
	Attachments []Attachment
}

// String hides what the document holds.
func (d Document) String() string { return d.Type + ":[personal]" }

// GoString hides what the document holds.
func (d Document) GoString() string { return d.String() }

// Member returns a member, "" if the document has none of that name.
func (d Document) Member(name string) string { return d.Members[name] }

// Member returns the definition of a member.
func (k Kind) Member(name string) (Member, bool) {
	i := slices.IndexFunc(k.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return Member{}, false
	}
	return k.Members[i], true
}

// MemberNames lists the members, for messages.
func (k Kind) MemberNames() string {
	names := make([]string, len(k.Members))
	for i, m := range k.Members {
		names[i] = m.Name
	}
	return strings.Join(names, ", ")
}

// Format returns how values are escaped in a member's template.
func (k Kind) Format(m Member, constants map[string]string) Format {
	if k.FormatOf != nil {
		return k.FormatOf(m, constants)
	}
	return m.Format
}

// MemberError is a rule that a member of a document breaks. It never holds the value.
type MemberError struct {
	Member string
	Rule   string
}

func (e *MemberError) Error() string { return e.Member + " " + e.Rule }

// Broken returns the rules that err names, each with its member, and nothing else of it.
func Broken(err error) string {
	var rules []string
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
		case *MemberError:
			rules = append(rules, e.Error())
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				walk(one)
			}
		}
	}
	walk(err)
	return strings.Join(rules, "; ")
}

// New checks the rendered members and returns them as a document of this kind. The
// errors are MemberErrors, joined.
func (k Kind) New(members map[string]string, attachments []Attachment) (Document, error) {
	d := Document{Type: k.Name, Version: k.Version, Members: map[string]string{}, Attachments: attachments}
	var problems []error
	for name, value := range members {
		if _, ok := k.Member(name); !ok {
			problems = append(problems, &MemberError{name, "is no member of " + k.Name})
			continue
		}
		if value != "" {
			d.Members[name] = value
		}
	}
	for _, m := range k.Members {
		if err := m.check(d.Members[m.Name]); err != nil {
			problems = append(problems, err)
		}
	}
	if err := k.Attachments.check(attachments); err != nil {
		problems = append(problems, err)
	}
	if len(problems) == 0 && k.Check != nil {
		if err := k.Check(d); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return Document{}, errors.Join(problems...)
	}
	return d, nil
}

func (m Member) check(value string) error {
	switch {
	case value == "" && m.Required:
		return &MemberError{m.Name, "is required and must not be empty"}
	case m.MaxBytes > 0 && len(value) > m.MaxBytes:
		return &MemberError{m.Name, fmt.Sprintf("has %d bytes; at most %d are allowed", len(value), m.MaxBytes)}
	case !utf8.ValidString(value):
		return &MemberError{m.Name, "must be UTF-8"}
	case m.Format == Line && strings.ContainsAny(value, "\r\n"):
		return &MemberError{m.Name, "must be one line"}
	case strings.ContainsFunc(value, control):
		return &MemberError{m.Name, "must hold no control characters but line breaks and tabs"}
	}
	return nil
}

// control reports a control character that no text holds, as of fields' values too.
func control(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }

func (l AttachmentLimits) check(attachments []Attachment) error {
	if len(attachments) > l.Count {
		return &MemberError{"attachments", fmt.Sprintf("are %d; at most %d are allowed", len(attachments), l.Count)}
	}
	total := 0
	for _, a := range attachments {
		if a.Name == "" || a.MediaType == "" {
			return &MemberError{"attachments", "must have a name and a media type each"}
		}
		total += len(a.Data)
	}
	if total > l.MaxBytes {
		return &MemberError{"attachments", fmt.Sprintf("have %d bytes together; at most %d are allowed", total, l.MaxBytes)}
	}
	return nil
}

// Names of the members that every document has.
const (
	memberType        = "type"
	memberVersion     = "version"
	memberAttachments = "attachments"
)

// MarshalJSON writes the stored form: type, version and the members side by side.
func (d Document) MarshalJSON() ([]byte, error) {
	form := make(map[string]any, len(d.Members)+3)
	for name, value := range d.Members {
		form[name] = value
	}
	form[memberType], form[memberVersion] = d.Type, d.Version
	if len(d.Attachments) > 0 {
		form[memberAttachments] = d.Attachments
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads the stored form.
func (d *Document) UnmarshalJSON(b []byte) error {
	var form map[string]json.RawMessage
	if err := json.Unmarshal(b, &form); err != nil {
		return errors.New("a document is a JSON object")
	}
	if len(form) > maxMembers {
		return fmt.Errorf("a document has at most %d members", maxMembers)
	}
	read := Document{Members: map[string]string{}}
	for name, raw := range form {
		var to any
		switch name {
		case memberType:
			to = &read.Type
		case memberVersion:
			to = &read.Version
		case memberAttachments:
			to = &read.Attachments
		default:
			var value string
			if err := json.Unmarshal(raw, &value); err != nil {
				return fmt.Errorf("a document's member %q must be a string", name)
			}
			read.Members[name] = value
			continue
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return fmt.Errorf("a document's %s is malformed", name)
		}
	}
	if read.Type == "" || read.Version < 1 {
		return errors.New("a document has a type and a version from 1")
	}
	*d = read
	return nil
}

// Encode returns the stored form of a document.
func Encode(d Document) (string, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encoding a document: %w", err)
	}
	if len(b) > MaxDocumentBytes {
		return "", fmt.Errorf("a document has %d bytes; at most %d are allowed", len(b), MaxDocumentBytes)
	}
	return string(b), nil
}

// Decode reads the stored form of a document.
func Decode(stored string) (Document, error) {
	var d Document
	if err := json.Unmarshal([]byte(stored), &d); err != nil {
		return Document{}, fmt.Errorf("decoding a document: %w", err)
	}
	return d, nil
}
