package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/event"
	"recapito/domain/receipt"
)

const maxNameOfFileBytes = 255

// envelope is a message ready for the wire. It holds personal data: never log it.
type envelope struct {
	id       string // of the message, without brackets and domain: it names the attempt
	from, to string // of the envelope
	token    string // ENVID; "" if no DSN is asked for
	utf8     bool   // a mailbox is not ASCII: SMTPUTF8 is needed (RFC 6531)
	data     []byte // header and body, lines ended by CRLF, signed
}

// parts are a document's members, checked.
type parts struct {
	subject, html, text string
	replyTo             *mail.Address
	unsubscribe         string
	attachments         []content.Attachment
}

// rule returns a broken rule of content, which names the member and never its value.
func rule(member, message string) error { return &content.MemberError{Member: member, Rule: message} }

// refusal is what read found, as a channel's error.
func refusal(err error) error {
	return &event.Rule{Code: CodeInvalidContent, Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
}

// read checks a document. Its errors are content.MemberErrors, joined.
func read(d content.Document) (parts, error) {
	if d.Type != content.Email.Name {
		return parts{}, rule("content", "must be of the type email")
	}
	_, err := content.Email.New(d.Members, d.Attachments)
	problems := []error{err}
	p := parts{
		// Runs of blanks would make lines of blanks where the header is folded.
		subject: strings.Join(strings.Fields(d.Member("subject")), " "),
		html:    d.Member("html"), text: d.Member("text"),
		unsubscribe: d.Member("unsubscribe"), attachments: d.Attachments,
	}
	if p.subject == "" || strings.ContainsFunc(p.subject, unicode.IsControl) {
		problems = append(problems, rule("subject", "must be one line of printable characters"))
	}
	if to := d.Member("reply_to"); to != "" {
		mailbox, err := ParseSender(to)
		if err != nil {
			problems = append(problems, rule("reply_to", err.Error()))
		}
		p.replyTo = &mailbox
	}
	if p.unsubscribe != "" && !isUnsubscribe(p.unsubscribe) {
		problems = append(problems, rule("unsubscribe", "must be a URL of the scheme https or mailto, in printable ASCII without blanks, brackets and commas"))
	}
	for _, a := range p.attachments {
		problems = append(problems, checkAttachment(a))
	}
	return p, errors.Join(problems...)
}

func isUnsubscribe(s string) bool {
	u, err := url.Parse(s)
	if err != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>,"\`, r) }) {
		return false
	}
	return u.Scheme == "https" && u.Host != "" || u.Scheme == "mailto" && u.Opaque != ""
}

// checkAttachment refuses what would not arrive as a file: a composite type may not be in
// base64 (RFC 2045 section 6.4).
func checkAttachment(a content.Attachment) error {
	if len(a.Name) > maxNameOfFileBytes || strings.ContainsFunc(a.Name, unicode.IsControl) {
		return rule("attachments", fmt.Sprintf("must have names of at most %d printable bytes", maxNameOfFileBytes))
	}
	kind, _, err := mime.ParseMediaType(a.MediaType)
	if err != nil || !strings.Contains(kind, "/") || !ascii(a.MediaType) || strings.ContainsFunc(a.MediaType, unicode.IsControl) ||
		strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		return rule("attachments", "must have media types of files: no multipart and no message")
	}
	return nil
}

// withoutName is a media type without the parameter name, which is the attachment's own.
func withoutName(mediaType string) string {
	kind, parameters, err := mime.ParseMediaType(mediaType)
	if _, named := parameters["name"]; err != nil || !named {
		return mediaType
	}
	delete(parameters, "name")
	return mime.FormatMediaType(kind, parameters)
}

// compose builds and signs a message. Its errors are event.Rules.
func (r *Route) compose(m channel.Message) (envelope, error) {
	p, err := read(m.Content)
	if err != nil {
		return envelope{}, refusal(err)
	}
	from := m.Sender
	if from == "" {
		from = r.settings.Sender
	}
	sender, err := ParseSender(from)
	if err != nil {
		return envelope{}, &event.Rule{Code: CodeInvalidSender, Message: "the sender " + err.Error()}
	}
	to, err := address.Email.Normalise(m.Destination)
	if err != nil {
		return envelope{}, &event.Rule{Code: CodeInvalidDestination, Message: "the destination " + err.Error()}
	}
	e := envelope{from: sender.Address, to: to}
	if e.id, err = messageID(m.Reference); err != nil {
		return envelope{}, err
	}
	if r.bounce != "" {
		if e.token, err = Token(r.secret, m.Reference); err != nil {
			return envelope{}, &event.Rule{Code: CodeInvalidReference, Message: err.Error()}
		}
		e.from = BounceMailbox(r.bounce, e.token)
	}
	e.utf8 = !ascii(e.to) || !ascii(sender.Address) || p.replyTo != nil && !ascii(p.replyTo.Address)
	data, err := build(p, sender, to, e.id, r.now())
	if err == nil {
		e.data, err = sign(data, r.signatures)
	}
	if err != nil {
		return envelope{}, &event.Rule{Code: CodeInvalidContent, Message: err.Error()}
	}
	return e, nil
}

// messageID returns the left part of a Message-ID, which is the same whenever the attempt
// is sent. The id of a submission is this part alone: with its domain it would look like a
// person's mailbox.
func messageID(reference string) (string, error) {
	notification, attempt, ok := receipt.ParseReference(reference)
	if !ok || !isName(notification) || strings.ContainsAny(notification, ":[]") {
		return "", &event.Rule{Code: CodeInvalidReference, Message: "the reference names no attempt"}
	}
	return fmt.Sprintf("%s.%d", notification, attempt), nil
}

func build(p parts, sender mail.Address, to, id string, now time.Time) ([]byte, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	m.FromMailAddress(&sender)
	m.ToMailAddress(&mail.Address{Address: to})
	if p.replyTo != nil {
		m.ReplyToMailAddress(p.replyTo)
	}
	m.Subject(p.subject)
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(id + sender.Address[strings.LastIndexByte(sender.Address, '@'):])
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 section 5
	if p.unsubscribe != "" {
		m.SetListUnsubscribe(p.unsubscribe)
		if strings.HasPrefix(p.unsubscribe, "https:") {
			m.SetListUnsubscribePost()
		}
	}
	// The last alternative is the best one (RFC 2046 section 5.1.4).
	if p.text != "" {
		m.AddAlternativeString(gomail.TypeTextPlain, p.text)
	}
	if p.html != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, p.html)
	}
	for _, a := range p.attachments {
		m.AttachReadSeeker(a.Name, bytes.NewReader(a.Data), gomail.WithFileContentType(gomail.ContentType(withoutName(a.MediaType))))
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, errors.New("the message cannot be built")
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes(), nil
}
