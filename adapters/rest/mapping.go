package rest

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recapito/commands/channel"
	"recapito/domain/receipt"
)

// Formats of a callback's times.
const (
	timeRFC3339 = "rfc3339"
	timeUnix    = "unix"
	timeUnixMS  = "unix_ms"
)

// Limits of what a callback holds.
const (
	maxFormFields       = 200
	maxReplyBytes       = 64 << 10
	maxDestinationBytes = 256
)

// item is what one item of a callback reports.
type item struct {
	number  int // its place in the callback, from 0
	receipt *channel.ProviderReceipt
	reply   *channel.ProviderReply
}

// mapping reads the items of a callback.
type mapping struct {
	route       string
	c           Callback
	words       words
	byReference bool // the service has no ids: our reference is the message's id
	items       pointer
	id, ref     pointer
	status      pointer
	code        pointer
	destination pointer
	occurredAt  pointer
	replyWhen   condition
	replyID     pointer
	replyText   pointer
	ignore      condition
}

func newMapping(r *Route) *mapping {
	c := r.s.Callback
	return &mapping{
		route: r.o.Name, c: c, words: newWords(r.s.Statuses), byReference: r.s.Response.ProviderID == Place{},
		items: mustPointer(c.Items), id: mustPointer(c.ProviderID), ref: mustPointer(c.Reference), status: mustPointer(c.Status),
		code: mustPointer(c.Code), destination: mustPointer(c.Destination), occurredAt: mustPointer(c.OccurredAt),
		replyWhen: newCondition(c.Reply.When), replyID: mustPointer(c.Reply.ID), replyText: mustPointer(c.Reply.Text), ignore: newCondition(c.Ignore),
	}
}

// read returns what a document reports, and an error that names the place and the rule of
// every item that breaks one. Such an item is left out; the others are taken.
func (m *mapping) read(document any, receivedAt time.Time) ([]item, error) {
	at, found := m.items.find(document)
	if !found {
		return nil, fmt.Errorf("%s: is required", m.c.Items)
	}
	list, ok := at.([]any)
	if !ok {
		list = []any{at}
	}
	if len(list) > m.c.MaxItems {
		return nil, fmt.Errorf("the callback has %d items; at most %d are allowed", len(list), m.c.MaxItems)
	}
	var out []item
	var invalid []error
	for i, element := range list {
		if _, ok := element.(map[string]any); !ok {
			invalid = append(invalid, fmt.Errorf("item %d: must be an object", i))
			continue
		}
		if m.ignore.given() && m.ignore.holds(element) {
			continue
		}
		read, err := m.item(element, receivedAt)
		if err != nil {
			invalid = append(invalid, fmt.Errorf("item %d: %w", i, err))
			continue
		}
		read.number = i
		out = append(out, read)
	}
	return out, errors.Join(invalid...)
}

// reader takes values out of an item and keeps the first broken rule.
type reader struct {
	of  any
	err error
}

func (r *reader) text(p pointer, key, given string, limit int) string {
	if given == "" {
		return ""
	}
	text, ok := p.text(r.of)
	switch {
	case !ok:
		r.fail(key, "must be a string or a number")
	case len(text) > limit:
		r.fail(key, fmt.Sprintf("has %d bytes; at most %d are allowed", len(text), limit))
	case !utf8.ValidString(text):
		r.fail(key, "must be UTF-8")
	default:
		return text
	}
	return ""
}

func (r *reader) line(p pointer, key, given string, limit int) string {
	text := strings.TrimSpace(r.text(p, key, given, limit))
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.fail(key, "must be one line")
		return ""
	}
	return text
}

func (r *reader) fail(key, rule string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", key, rule)
	}
}

func (m *mapping) item(element any, receivedAt time.Time) (item, error) {
	r := &reader{of: element}
	id := r.line(m.id, "provider_id", m.c.ProviderID, maxIDBytes)
	ref := r.line(m.ref, "reference", m.c.Reference, maxIDBytes)
	if m.byReference && id == "" {
		id = ref
	}
	word := r.line(m.status, "status", m.c.Status, maxCodeBytes)
	text := r.text(m.replyText, "reply.text", m.c.Reply.Text, maxReplyBytes)
	isReply := m.c.Reply.Text != "" && text != ""
	if m.replyWhen.given() {
		isReply = m.replyWhen.holds(element)
	}
	occurredAt, within := m.time(r)
	var out item
	switch {
	case r.err != nil:
	case word == "" && !isReply:
		r.fail("status", "is required: the item is neither a status nor a reply")
	case id == "" && ref == "":
		r.fail("provider_id", "or reference is required")
	}
	if isReply {
		reply := channel.ProviderReply{
			Route: m.route, ReplyID: r.line(m.replyID, "reply.id", m.c.Reply.ID, maxIDBytes), Reference: ref, ProviderID: id, Text: text,
			OccurredAt: occurredAt, ReceivedAt: receivedAt,
		}
		if reply.ReplyID == "" || text == "" {
			r.fail("reply.id", "and reply.text are required")
		}
		out.reply = &reply
	}
	if word != "" {
		report := channel.ProviderReceipt{
			Route: m.route, ProviderID: id, Reference: ref, Status: m.words.status(word),
			Destination: r.line(m.destination, "destination", m.c.Destination, maxDestinationBytes),
			Code:        r.line(m.code, "code", m.c.Code, maxCodeBytes),
			OccurredAt:  occurredAt, OccurredWithin: within, ReceivedAt: receivedAt,
		}
		if ref != "" {
			report.Unit = 1
		}
		if report.Status == receipt.Undelivered && report.Code == "" {
			report.Code = word
		}
		out.receipt = &report
	}
	return out, r.err
}

// time returns when an item happened. A time that cannot be read costs no receipt: it is
// zero then, and the time of receipt counts.
func (m *mapping) time(r *reader) (at time.Time, within time.Duration) {
	text, _ := m.occurredAt.text(r.of)
	if m.c.OccurredAt == "" || text == "" || len(text) > maxCodeBytes {
		return time.Time{}, 0
	}
	if m.c.TimeFormat == timeRFC3339 {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return time.Time{}, 0
		}
		if at.Nanosecond() == 0 {
			within = time.Second
		}
		return at.UTC(), within
	}
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || n <= 0 || n > 1e15:
		return time.Time{}, 0
	case m.c.TimeFormat == timeUnix && n < 1e11:
		return time.UnixMilli(int64(n * 1000)).UTC(), time.Second
	case m.c.TimeFormat == timeUnixMS && n < 1e14:
		return time.UnixMilli(int64(n)).UTC(), time.Millisecond
	}
	return time.Time{}, 0
}

var errForm = errors.New("the form cannot be read, or a field stands twice")

// parseForm reads a form as an object of strings.
func parseForm(body string) (any, error) {
	if strings.Count(body, "&") >= maxFormFields {
		return nil, fmt.Errorf("the form has more than %d fields", maxFormFields)
	}
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, errForm
	}
	document := map[string]any{}
	for name, list := range values {
		if len(list) != 1 || !utf8.ValidString(name) || !utf8.ValidString(list[0]) {
			return nil, errForm
		}
		document[name] = list[0]
	}
	return document, nil
}
