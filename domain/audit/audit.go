// Package audit is the record of who called what on the API, as far as no other event
// tells it: reads, what was refused, what was asked for again. A call that appended an
// event is told by that event; Told says of which.
//
// Nothing of what was sent stands here: no path, query, header or body, only what the
// ledger itself names (operations, templates, ids).
package audit

import (
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/tenant"
)

// StreamPrefix is the category of the records of calls.
const StreamPrefix = "audit-"

// nobody stands in a stream's name where the tenant is not known.
const nobody = "_"

// Actor writes the records.
const Actor = "system:audit"

// Stream names the stream of a tenant's calls that were recorded on a day (UTC).
// tenant.System is for those of nobody who is known.
func Stream(of string, day time.Time) string {
	if of == tenant.System {
		of = nobody
	}
	return StreamPrefix + of + "-" + day.UTC().Format("20060102")
}

// Call is one call of the API and what became of it.
type Call struct {
	ID           string    `json:"id" doc:"the request's, as its answer named it"`
	At           time.Time `json:"at" doc:"when it came"`
	Actor        string    `json:"actor,omitempty" doc:"whose key it was; empty: no key, or one that opens nothing"`
	Operation    string    `json:"operation,omitempty" doc:"as /openapi.json names it; empty: there is no such operation"`
	Method       string    `json:"method"`
	Path         string    `json:"path,omitempty" doc:"the operation's template, never what was asked for"`
	Status       int       `json:"status"`
	Code         string    `json:"code,omitempty" doc:"of the problem it was answered with"`
	Notification string    `json:"notification,omitempty" doc:"the id it was about"`
	Target       string    `json:"target,omitempty" doc:"the API key or projection it was about"`
	Traceparent  string    `json:"traceparent,omitempty"`
	Millis       int64     `json:"ms" doc:"how long it took, in milliseconds"`
}

// Event is the one event of a record's stream.
//
//sumtype:decl
type Event interface{ auditEvent() }

// CallsRecorded: calls of one tenant, in the order they ended.
type CallsRecorded struct {
	Calls []Call    `json:"calls"`
	At    time.Time `json:"at" doc:"when the first of them came"`
}

func (CallsRecorded) auditEvent() {}

// OccurredAt is when the first call came.
func (e CallsRecorded) OccurredAt() time.Time { return e.At }

// Definitions registers the event under its stored name.
func Definitions() []event.Definition {
	return []event.Definition{
		event.Define[CallsRecorded]("CallsRecorded",
			event.Doc("Calls of the API that no other event tells of: reads, refusals, repetitions.")),
	}
}

// Operation is what a call asked for, as /openapi.json names it.
type Operation struct{ ID, Method, Path string }

// told are the events that tell of the call that appended them.
var told = map[string]struct {
	Operation
	status int
}{
	"NotificationRequested": {Operation{"submit", "POST", "/v1/notifications"}, 202},
	"NotificationCancelled": {Operation{"cancel", "POST", "/v1/notifications/{id}/cancel"}, 200},
	"TenantKeyCreated":      {Operation{"create-key", "POST", "/v1/keys"}, 201},
	"TenantKeyRevoked":      {Operation{"revoke-key", "DELETE", "/v1/keys/{id}"}, 200},
}

// Told answers the call that an event of this type tells of, and what it was answered,
// if the event was appended by one: actor is the event's.
func Told(eventType, actor string) (o Operation, status int, by bool) {
	call, is := told[eventType]
	if !is || actor != LocalActor && !strings.HasPrefix(actor, KeyActorPrefix) {
		return Operation{}, 0, false
	}
	return call.Operation, call.status, true
}

// The actors of calls: the local admin key, and KeyActorPrefix with a key's id.
const (
	LocalActor     = "local"
	KeyActorPrefix = "key:"
)

// Tells says whether events of this type can tell of a call.
func Tells(eventType string) bool {
	_, is := told[eventType]
	return is
}

// TellingTypes lists the types of events that can tell of a call.
func TellingTypes() []string {
	types := make([]string, 0, len(told))
	for t := range told {
		types = append(types, t)
	}
	return types
}
