package rest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recapito/domain/receipt"
)

// Limits of what is taken from a service.
const (
	maxIDBytes   = 256
	maxCodeBytes = 64
)

// defaultStatuses are the words of a route that sets none.
var defaultStatuses = map[string]receipt.Status{
	"delivered": receipt.Delivered, "read": receipt.Read, "seen": receipt.Read, "opened": receipt.Read,
	"undelivered": receipt.Undelivered, "failed": receipt.Undelivered, "rejected": receipt.Undelivered,
	"expired": receipt.Undelivered, "bounced": receipt.Undelivered,
}

// words are a service's words for statuses. Letter case does not matter.
type words map[string]receipt.Status

func newWords(set map[string]receipt.Status) words {
	if len(set) == 0 {
		set = defaultStatuses
	}
	w := words{}
	for word, status := range set {
		w[strings.ToLower(word)] = status
	}
	return w
}

// status returns what a word means: a word that is not listed changes nothing.
func (w words) status(word string) receipt.Status {
	return cmp.Or(w[strings.ToLower(word)], receipt.Intermediate)
}

// place is a Place that was parsed.
type place struct {
	given   bool
	pointer pointer
	header  string
}

func newPlace(p Place) place {
	return place{given: p != Place{}, pointer: mustPointer(p.Pointer), header: p.Header}
}

func (p place) text(h http.Header, document any, limit int) string {
	text := ""
	switch {
	case p.header != "":
		text = h.Get(p.header)
	case p.given:
		text, _ = p.pointer.text(document)
	}
	return clean(text, limit)
}

// clean returns a text of one line within a limit, "" if it is none.
func clean(text string, limit int) string {
	text = strings.TrimSpace(text)
	if len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return text
}

// condition is a Condition that was parsed.
type condition struct {
	pointer pointer
	is      []string
}

func newCondition(c Condition) condition { return condition{mustPointer(c.Pointer), c.Is} }

func (c condition) given() bool { return len(c.is) > 0 }

func (c condition) holds(document any) bool {
	text, ok := c.pointer.text(document)
	return ok && slices.Contains(c.is, text)
}

// responses reads responses.
type responses struct {
	statuses, codes  map[string]string
	acceptedWhen     condition
	id, code, status place
	words            words
}

func newResponses(s *Settings) *responses {
	return &responses{
		statuses: s.Response.Statuses, codes: s.Response.Codes, acceptedWhen: newCondition(s.Response.AcceptedWhen),
		id: newPlace(s.Response.ProviderID), code: newPlace(s.Response.Code), status: newPlace(s.Response.Status), words: newWords(s.Statuses),
	}
}

// reading is what was read from a response.
type reading struct {
	class      string
	code       string // of a refusal
	id         string
	status     receipt.Status
	statusCode string
	retryAfter time.Duration
}

// read reads a response. complete is false if the body ended early or is over the limit.
func (r *responses) read(res *http.Response, body []byte, complete bool) reading {
	var document any
	if complete {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if decoder.Decode(&document) != nil {
			document = nil
		} else if _, err := decoder.Token(); err != io.EOF {
			document = nil
		}
	}
	out := reading{class: r.class(res.StatusCode), code: statusCode(res.StatusCode), retryAfter: retryAfter(res.Header)}
	if code := r.code.text(res.Header, document, maxCodeBytes); code != "" {
		if class, ok := r.codes[code]; ok {
			out.class = class
		}
		if out.class != classAccepted || r.acceptedWhen.given() {
			out.code = code
		}
	}
	if out.class != classAccepted {
		return out
	}
	if r.acceptedWhen.given() && !r.acceptedWhen.holds(document) {
		switch {
		case !complete:
			out.class = classUnknown
		case out.code == statusCode(res.StatusCode):
			out.class, out.code = classPermanent, CodeNotAccepted
		default:
			out.class = classPermanent
		}
		return out
	}
	out.id = r.id.text(res.Header, document, maxIDBytes)
	if word := r.status.text(res.Header, document, maxCodeBytes); word != "" {
		if out.status = r.words.status(word); out.status == receipt.Undelivered {
			out.statusCode = word
		}
	}
	return out
}

// class returns a status's class: as the route sets it for the status, for its hundred,
// or as it is by itself.
func (r *responses) class(status int) string {
	text := strconv.Itoa(status)
	if class, ok := r.statuses[text]; ok {
		return class
	}
	if class, ok := r.statuses[text[:1]+"xx"]; ok {
		return class
	}
	return statusClass(status)
}

// retryAfter reads the header of RFC 9110, section 10.2.3; 0 if it is absent.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(int64(seconds), int64(maxPause/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
