package content

import "errors"

// Limits of an e-mail.
const (
	// MaxSubjectBytes leaves room for the header's name and its encoding within the
	// line limit of RFC 5322, section 2.1.1 (998 octets).
	MaxSubjectBytes = 500
	// MaxUnsubscribeBytes keeps List-Unsubscribe within that line too: a URL cannot be folded.
	MaxUnsubscribeBytes = 900
	MaxBodyBytes        = 1 << 20
	MaxAttachments      = 10
	MaxAttachmentsBytes = 7 << 20 // base64 makes a third more of it: below the common limit of 10 MB a message
)

// Email is the content of an e-mail: HTML, plain text, or both as alternatives.
var Email = Kind{
	Name: "email", Version: 1,
	Members: []Member{
		{Name: "subject", Doc: "the subject", Required: true, Format: Line, MaxBytes: MaxSubjectBytes},
		{Name: "html", Doc: "the HTML body", Format: HTML, MaxBytes: MaxBodyBytes},
		{Name: "text", Doc: "the plain-text body", Format: Text, MaxBytes: MaxBodyBytes},
		{Name: "reply_to", Doc: "the mailbox for answers", Format: Line, MaxBytes: 320, Example: "a@example.org"},
		{Name: "unsubscribe", Doc: "the https or mailto URL of List-Unsubscribe (RFC 2369, RFC 8058)", Format: Line, MaxBytes: MaxUnsubscribeBytes, Example: "https://example.org/"},
	},
	Attachments: AttachmentLimits{Count: MaxAttachments, MaxBytes: MaxAttachmentsBytes},
	Check: func(d Document) error {
		if d.Member("html") == "" && d.Member("text") == "" {
			return errors.Join(&MemberError{"text", "or html is required"})
		}
		if rule := brokenURLs(d.Member("html")); rule != "" {
			return errors.Join(&MemberError{"html", rule})
		}
		for _, a := range d.Attachments {
			if f := FormatOf(a.MediaType); f != HTML && f != XML {
				continue
			}
			if rule := brokenURLs(string(a.Data)); rule != "" {
				return errors.Join(&MemberError{"attachments", rule})
			}
		}
		return nil
	},
}
