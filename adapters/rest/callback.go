package rest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
)

// Ways to know the caller of a callback.
const (
	authSignature = "signature"
	authBearer    = "bearer"
	authBasic     = "basic"
	authHeader    = "header"
)

// Codes of problems. They are the API's own, so a client reads one list.
const (
	problemBadJSON     = "bad_json"
	problemDuplicate   = "duplicate_member"
	problemAuth        = "unauthorized"
	problemNotFound    = "not_found"
	problemMethod      = "method_not_allowed"
	problemTimeout     = "body_timeout"
	problemTooLarge    = "too_large"
	problemMedia       = "unsupported_media_type"
	problemInvalid     = "invalid"
	problemUnavailable = "unavailable"
)

// callbacks serves a route's callbacks.
type callbacks struct {
	r       *Route
	c       Callback
	signer  *signer
	secrets [][sha256.Size]byte
	mapping *mapping
	slots   chan struct{}
}

func newCallbacks(r *Route) (*callbacks, error) {
	h := &callbacks{r: r, c: r.s.Callback}
	if !h.c.configured() {
		return h, nil
	}
	h.slots = make(chan struct{}, h.c.Concurrency)
	h.mapping = newMapping(r)
	if h.c.Auth.Type == authSignature {
		var err error
		h.signer, err = newSigner(h.c.Auth.Signature)
		return h, err
	}
	secrets, err := readSecrets(h.c.Auth.Secrets, minSecretBytes)
	for _, secret := range secrets {
		h.secrets = append(h.secrets, sha256.Sum256([]byte(secret)))
	}
	return h, err
}

// Callback implements channel.Callback. Its handler responds with 204 only after every status
// and reply of the callback was stored, and else a problem (RFC 9457) that names the item and
// the rule and never the value: 422 where the others are stored and coming again would not
// help, 503 where it would. A callback that comes again is stored again: the ledger counts a
// receipt and a reply once.
func (r *Route) Callback() http.Handler { return r.callbacks }

// ServeHTTP implements http.Handler.
func (h *callbacks) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := h.serve(w, req)
	h.r.counts.callback(status)
	if status >= http.StatusBadRequest {
		h.r.o.Log.Warn("rest: a callback was refused", "route", h.r.o.Name, "status", status)
	}
}

func (h *callbacks) serve(w http.ResponseWriter, req *http.Request) int {
	switch {
	case !h.c.configured():
		return problem(w, http.StatusNotFound, problemNotFound, "the route has no callbacks")
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return problem(w, http.StatusMethodNotAllowed, problemMethod, "a callback is a POST")
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return unavailable(w, "too many callbacks are in progress")
	}
	if h.signer == nil && !h.knows(req) {
		return h.unauthorized(w, errCaller)
	}
	ctx, cancel := context.WithTimeout(req.Context(), h.c.Timeout)
	defer cancel()
	// A server without deadlines of its own still does not wait for a slow body.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.c.Timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, h.c.MaxBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem(w, http.StatusRequestEntityTooLarge, problemTooLarge, "the body is larger than the route allows")
	case err != nil:
		return problem(w, http.StatusRequestTimeout, problemTimeout, "the body did not arrive")
	}
	if h.signer != nil {
		if err := h.signer.verify(req.Header, h.r.now(), body); err != nil {
			return h.unauthorized(w, err)
		}
	}
	document, status, code, err := parse(req.Header.Get("Content-Type"), body)
	if err != nil {
		return problem(w, status, code, err.Error())
	}
	items, invalid := h.mapping.read(document, h.r.now())
	refused, err := h.store(ctx, items)
	if err != nil {
		h.r.o.Log.Warn("rest: a callback was not stored", "route", h.r.o.Name, "error", err)
		return unavailable(w, "the callback was not stored; send it again")
	}
	if err := errors.Join(invalid, refused); err != nil {
		return problem(w, http.StatusUnprocessableEntity, problemInvalid, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	w.WriteHeader(http.StatusNoContent)
	return http.StatusNoContent
}

// store gives every item to its sink, whatever becomes of the others. It returns which
// items break a rule, and an error where an item may be stored if it comes again.
func (h *callbacks) store(ctx context.Context, items []item) (refused, err error) {
	keep := func(i item, failed error, stored *atomic.Uint64) {
		var rule *event.Rule
		switch {
		case failed == nil:
			stored.Add(1)
		case errors.As(failed, &rule):
			h.r.counts.unstored.Add(1)
			refused = errors.Join(refused, fmt.Errorf("item %d: %s", i.number, rule.Message))
		default:
			err = errors.Join(err, failed)
		}
	}
	for _, i := range items {
		if i.receipt != nil {
			keep(i, h.r.o.Receipts.Receive(ctx, *i.receipt), &h.r.counts.receipts)
		}
		if i.reply != nil {
			keep(i, h.r.o.Replies.Reply(ctx, *i.reply), &h.r.counts.replies)
		}
	}
	return refused, err
}

var errCaller = errors.New("the request does not have the route's secret")

// knows reports whether a request has one of the route's secrets. Their hashes are
// compared, in constant time.
func (h *callbacks) knows(req *http.Request) bool {
	secret, ok := "", true
	switch h.c.Auth.Type {
	case authBearer:
		scheme, token, found := strings.Cut(req.Header.Get("Authorization"), " ")
		secret, ok = token, found && strings.EqualFold(scheme, "Bearer")
	case authBasic:
		var username string
		username, secret, ok = req.BasicAuth()
		given, wanted := sha256.Sum256([]byte(username)), sha256.Sum256([]byte(h.c.Auth.Username))
		ok = subtle.ConstantTimeCompare(given[:], wanted[:]) == 1 && ok
	case authHeader:
		secret = req.Header.Get(h.c.Auth.Header)
	}
	given, known := sha256.Sum256([]byte(secret)), 0
	for _, wanted := range h.secrets {
		known |= subtle.ConstantTimeCompare(given[:], wanted[:])
	}
	return ok && known == 1
}

func (h *callbacks) unauthorized(w http.ResponseWriter, err error) int {
	switch h.c.Auth.Type {
	case authBearer:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case authBasic:
		w.Header().Set("WWW-Authenticate", `Basic realm="callbacks"`)
	}
	return problem(w, http.StatusUnauthorized, problemAuth, err.Error())
}

// parse reads a body of JSON or of a form as one document.
func parse(contentType string, body []byte) (document any, status int, code string, err error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")):
		if err := strictjson.Check(body); err != nil {
			code := problemBadJSON
			var refused *strictjson.DocumentError
			if errors.As(err, &refused) && refused.Duplicate {
				code = problemDuplicate
			}
			return nil, http.StatusBadRequest, code, err
		}
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.UseNumber()
		if err := decoder.Decode(&document); err != nil {
			return nil, http.StatusBadRequest, problemBadJSON, errors.New("not one JSON document")
		}
		return document, 0, "", nil
	case err == nil && mediaType == "application/x-www-form-urlencoded":
		document, err := parseForm(string(body))
		return document, http.StatusBadRequest, problemBadJSON, err
	}
	return nil, http.StatusUnsupportedMediaType, problemMedia, errors.New("a callback is application/json or application/x-www-form-urlencoded")
}

// problem writes a problem of RFC 9457 and returns its status.
func problem(w http.ResponseWriter, status int, code, detail string) int {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "urn:recapito:problem:" + code, "title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
	return status
}

func unavailable(w http.ResponseWriter, detail string) int {
	w.Header().Set("Retry-After", "5")
	return problem(w, http.StatusServiceUnavailable, problemUnavailable, detail)
}
