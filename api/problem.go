package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/commands"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// Code names the rule that was broken, for programs. Codes are stable: one is never renamed
// or used for something else. docs/errors.md lists them, and a test keeps it so.
type Code string

// The codes of a problem.
const (
	CodeBadJSON          Code = "bad_json"
	CodeDuplicateMember  Code = "duplicate_member"
	CodeUnauthorized     Code = "unauthorized"
	CodeForbidden        Code = "forbidden"
	CodeNotFound         Code = "not_found"
	CodeMethod           Code = "method_not_allowed"
	CodeBodyTimeout      Code = "body_timeout"
	CodeKeyReused        Code = "idempotency_key_reused"
	CodeInFlight         Code = "in_flight"
	CodeFinal            Code = "final"
	CodeErased           Code = "erased"
	CodeSeveralPersons   Code = "several_persons"
	CodeTooManyKeys      Code = "too_many_keys"
	CodeTooLarge         Code = "too_large"
	CodeUnsupportedMedia Code = "unsupported_media_type"
	CodeInvalid          Code = "invalid"
	CodeTooManyRequests  Code = "too_many_requests"
	CodeInternal         Code = "internal"
	CodeUnavailable      Code = "unavailable"
	CodeBehind           Code = "behind"
	CodeOutcomeUnknown   Code = "outcome_unknown"
	CodeUnreadable       Code = "unreadable"
)

// CodeInfo is the row of docs/errors.md of a code.
type CodeInfo struct {
	Code   Code
	Status int
	Title  string // what it means
	Remedy string // what the caller can do
}

// Codes lists every code a problem can have.
func Codes() []CodeInfo {
	return []CodeInfo{
		{CodeBadJSON, http.StatusBadRequest, "the body is not one JSON document in UTF-8", "mend the body; the detail names the byte"},
		{CodeDuplicateMember, http.StatusBadRequest, "a member stands twice in one JSON object", "send it once; the detail names the byte"},
		{CodeUnauthorized, http.StatusUnauthorized, "no API key came with the request, or one that opens nothing", "send `Authorization: Bearer <key>` with a key that is not revoked"},
		{CodeForbidden, http.StatusForbidden, "the API key does not allow this", "use the key of that tenant, or for administration the local admin key"},
		{CodeNotFound, http.StatusNotFound, "there is no such thing, or it belongs to another tenant", "check the id and the key"},
		{CodeMethod, http.StatusMethodNotAllowed, "the path does not take this method", "use one that the header `Allow` lists"},
		{CodeBodyTimeout, http.StatusRequestTimeout, "the body did not arrive in time", "send it again"},
		{CodeKeyReused, http.StatusConflict, "the idempotency key was used with another request", "use a new key for a new request"},
		{CodeInFlight, http.StatusConflict, "an attempt is being sent, or its outcome is not known yet", "try again later"},
		{CodeFinal, http.StatusConflict, "the notification is already final", "nothing: there is nothing left to stop"},
		{CodeErased, http.StatusConflict, "the idempotency key belongs to a person whose data was erased", "use a new key; the person's consent is needed anew"},
		{CodeSeveralPersons, http.StatusConflict, "the destination names several persons; persons lists them", "ask again with `person`, one of those"},
		{CodeTooManyKeys, http.StatusConflict, "the tenant has as many API keys as it may have", "use the keys it has"},
		{CodeUnreadable, http.StatusConflict, "a stored event that this needs cannot be read", "an administrator finds it in `/v1/set-aside`"},
		{CodeTooLarge, http.StatusRequestEntityTooLarge, "the body is larger than allowed", "send less at once"},
		{CodeUnsupportedMedia, http.StatusUnsupportedMediaType, "the body is not application/json, or is compressed", "send `Content-Type: application/json`, without `Content-Encoding`"},
		{CodeInvalid, http.StatusUnprocessableEntity, "the request breaks rules; errors lists each with its place", "mend every place listed"},
		{CodeTooManyRequests, http.StatusTooManyRequests, "too many requests are in progress", "try again after `Retry-After` seconds"},
		{CodeInternal, http.StatusInternalServerError, "a fault of this service, logged under the instance", "report the `instance`; a request with an Idempotency-Key may be repeated"},
		{CodeUnavailable, http.StatusServiceUnavailable, "a part of the service does not answer; nothing was changed", "try again after `Retry-After` seconds"},
		{CodeBehind, http.StatusServiceUnavailable, "the read models do not hold yet what was asked for by `after` or `as_of`; the detail says how far they are", "ask again after `Retry-After` seconds, or without `after`"},
		{CodeOutcomeUnknown, http.StatusServiceUnavailable, "it is not known whether the request was carried out", "repeat it after `Retry-After` seconds, under the same Idempotency-Key"},
	}
}

var infoOf = sync.OnceValue(func() map[Code]CodeInfo {
	infos := map[Code]CodeInfo{}
	for _, i := range Codes() {
		infos[i.Code] = i
	}
	return infos
})

// FieldProblem is one broken rule: its place and the rule, never the value.
type FieldProblem struct {
	Field   string `json:"field" doc:"Where: a member, a query parameter or a header." example:"to.sms[0]"`
	Code    string `json:"code" doc:"Which rule; stable." example:"invalid_address"`
	Message string `json:"message" doc:"The rule, for people." example:"must be a phone number in E.164 form"`
}

// Problem is RFC 9457's problem details. It never holds what was sent.
type Problem struct {
	Type     string         `json:"type" doc:"Names the code as a URI." example:"urn:recapito:problem:invalid"`
	Title    string         `json:"title" doc:"What the code means."`
	Status   int            `json:"status" doc:"The HTTP status."`
	Code     Code           `json:"code" doc:"Which rule was broken; stable." example:"invalid"`
	Detail   string         `json:"detail,omitempty" doc:"What is the matter here, for people."`
	Instance string         `json:"instance,omitempty" doc:"Of an internal fault: under what it is logged."`
	Errors   []FieldProblem `json:"errors,omitempty" doc:"Every broken rule with its place."`
	Persons  []NamedPerson  `json:"persons,omitempty" doc:"Of several_persons: whom the destination names, at most 1,000."`

	retryAfter int // seconds; 0: no header
}

// NamedPerson is a person that an address names.
type NamedPerson struct {
	Person string     `json:"person" doc:"The person's random id."`
	Link   string     `json:"link" enum:"held,mentioned" doc:"held: named with a recipient, or first of its request; mentioned: named next to another address."`
	Named  bool       `json:"recipient" doc:"Whether the person has a recipient id, where the address is held."`
	From   time.Time  `json:"from" doc:"When a request first named it so."`
	To     *time.Time `json:"to,omitempty" doc:"When that ended; left out while it stands."`
}

// retrySeconds is the value of Retry-After where nothing better is known.
const retrySeconds = 1

// NewProblem makes the problem of a code.
func NewProblem(c Code, detail string, fields ...FieldProblem) *Problem {
	i := infoOf()[c]
	p := &Problem{Type: "urn:recapito:problem:" + string(c), Title: i.Title, Status: i.Status, Code: c, Detail: detail, Errors: fields}
	if i.Status == http.StatusServiceUnavailable || i.Status == http.StatusTooManyRequests {
		p.retryAfter = retrySeconds
	}
	return p
}

// Invalid makes the problem of one broken rule.
func Invalid(field, code, message string) *Problem {
	return NewProblem(CodeInvalid, "", FieldProblem{field, code, message})
}

// Error, GetStatus, GetHeaders and ContentType make it an error that huma writes.
func (p *Problem) Error() string  { return string(p.Code) + ": " + p.Title }
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders of the answer.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="recapito"`)
	}
	return h
}

const problemType = "application/problem+json"

// ContentType of the answer.
func (p *Problem) ContentType(string) string { return problemType }

// Write sends the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	if a, is := w.(interface{ note(c Code) }); is {
		a.note(p.Code)
	}
	w.WriteHeader(p.Status)
	// A caller that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(p)
}

// takeOverErrors makes huma answer with problems of ours: its own repeat the offending
// value. huma knows no other way than a package variable.
var takeOverErrors = sync.OnceFunc(func() {
	huma.NewError = func(status int, _ string, _ ...error) huma.StatusError {
		for _, i := range Codes() {
			if i.Status == status {
				return NewProblem(i.Code, "")
			}
		}
		if status >= http.StatusBadRequest && status < http.StatusInternalServerError {
			return NewProblem(CodeInvalid, "")
		}
		return NewProblem(CodeInternal, "")
	}
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return huma.NewError(status, msg, errs...)
	}
})

// rules are the broken rules of the domain that callers may see, under their codes.
var rules = []struct {
	rule *event.Rule
	code Code
}{
	{notification.ErrAbsent, CodeNotFound}, // of tenant.ErrNoKey too: rules differ by code
	{notification.ErrKeyReused, CodeKeyReused},
	{notification.ErrInFlight, CodeInFlight},
	{notification.ErrFinal, CodeFinal},
	{intake.ErrErased, CodeErased},
	{&event.Rule{Code: string(CodeTooManyKeys)}, CodeTooManyKeys},
}

// problemOf returns what a caller gets for an error, and whether the error is a fault
// of ours that somebody must see. changes: the request may change something.
func problemOf(err error, changes bool) (p *Problem, fault bool) {
	var document *strictjson.DocumentError
	var members *strictjson.Invalid
	var unreadable *event.Unreadable
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &document) && document.Duplicate:
		return NewProblem(CodeDuplicateMember, document.Detail), false
	case errors.As(err, &document):
		return NewProblem(CodeBadJSON, document.Detail), false
	case errors.As(err, &members):
		return NewProblem(CodeInvalid, "", fieldProblems(members.Problems)...), false
	case errors.Is(err, commands.ErrKeyErased):
		return NewProblem(CodeErased, ""), false
	case errors.Is(err, event.ErrTooLarge):
		return NewProblem(CodeTooLarge, ""), false
	case errors.As(err, &unreadable):
		return NewProblem(CodeUnreadable, ""), true
	case errors.Is(err, event.ErrUnavailable), errors.Is(err, commands.ErrKeysUnavailable):
		return NewProblem(CodeUnavailable, ""), true
	case errors.Is(err, event.ErrUnknownOutcome):
		return NewProblem(CodeOutcomeUnknown, ""), true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		if changes {
			return NewProblem(CodeOutcomeUnknown, "it did not end in time"), true
		}
		return NewProblem(CodeUnavailable, "it did not end in time"), true
	}
	for _, r := range rules {
		if errors.Is(err, r.rule) {
			return NewProblem(r.code, ""), false
		}
	}
	return NewProblem(CodeInternal, ""), true
}

func fieldProblems(ps []strictjson.Problem) []FieldProblem {
	out := make([]FieldProblem, len(ps))
	for i, p := range ps {
		out[i] = FieldProblem(p)
	}
	return out
}

// instance makes a problem name the request under which it is logged.
func (p *Problem) instance(requestID string) *Problem {
	named := *p
	named.Instance = fmt.Sprintf("urn:uuid:%s", requestID)
	return &named
}

// SortProblems orders problems by place and code.
func SortProblems(ps []FieldProblem) {
	slices.SortStableFunc(ps, func(a, b FieldProblem) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Code, b.Code))
	})
}

// FieldCodes lists every rule that a FieldProblem can name, with docs/errors.md.
func FieldCodes() []string {
	codes := make([]string, len(fieldCodes))
	for i, c := range fieldCodes {
		codes[i] = c.Code
	}
	return codes
}

// FieldCodeInfo is the row of docs/errors.md of a field's code.
type FieldCodeInfo struct{ Code, Meaning string }

// FieldCodeInfos lists them with their meaning.
func FieldCodeInfos() []FieldCodeInfo { return slices.Clone(fieldCodes) }

const (
	tooMany        = "too_many"
	tooLong        = "too_long"
	unknownChannel = "unknown_channel"
)

var fieldCodes = []FieldCodeInfo{
	{strictjson.MissingField, "it is required"},
	{strictjson.WrongType, "it is not of the type expected"},
	{strictjson.InvalidValue, "it is of the type expected, but not one of the values allowed"},
	{tooLong, "it is longer than allowed"},
	{tooMany, "there is more than one of it"},
	{"too_many_fields", "there are more fields than a scenario can have"},
	{strictjson.UnknownMember, "no member of this name is known here"},
	{"unknown_parameter", "no query parameter of this name is known here"},
	{"unknown_scenario", "the tenant has no scenario of this name"},
	{"unknown_field", "the scenario defines no field of this name"},
	{unknownChannel, "no route serves this channel"},
	{"invalid_address", "it is not an address of its kind, or not in the form that is sent to"},
	{"personal_data", "it is stored in clear and holds an address or a phone number, or what looks like one"},
}
