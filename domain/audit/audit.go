// Package audit is the record of who called what on the API, as far as no other event
// records it: reads, refusals, repeated requests. A call that appended an event is recorded
// by that event; OperationOf returns which call it was.
//
// Nothing of what was sent stands here: no path, query, header or body, only what the
// ledger itself names (operations, templates, ids).
package audit

import (
	"maps"
	"slices"
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
// tenant.System is for calls without a known key.
func Stream(of string, day time.Time) string {
	if of == tenant.System {
		of = nobody
	}
	return StreamPrefix + of + "-" + day.UTC().Format("20060102")
}

// Call is one call of the API and what became of it.
type Call struct {
	ID           string    `json:"id" doc:"the request's, as its response named it"`
	At           time.Time `json:"at" doc:"when it came"`
	Actor        string    `json:"actor,omitempty" doc:"whose key it was; empty: no key, or an unknown one"`
	Operation    string    `json:"operation,omitempty" doc:"as /openapi.json names it; empty: there is no such operation"`
	Method       string    `json:"method"`
	Path         string    `json:"path,omitempty" doc:"the operation's template, never the path itself"`
	Status       int       `json:"status"`
	Code         string    `json:"code,omitempty" doc:"of the problem that was returned"`
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

// definitions registers the event under its stored name.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[CallsRecorded]("CallsRecorded",
			event.Doc("Calls of the API that no other event records: reads, refusals, repetitions.")),
	}
}

// operations are the events that record the call that appended them, and what was called.
var operations = map[string]string{
	"NotificationRequested": "submit",
	"NotificationCancelled": "cancel",
	"TenantKeyCreated":      "create-key",
	"TenantKeyRevoked":      "revoke-key",
}

// OperationOf returns the operation whose call an event of this type records, if a call
// appended it: actor is the event's.
func OperationOf(eventType, actor string) (operation string, by bool) {
	operation, by = operations[eventType]
	return operation, by && (actor == LocalActor || strings.HasPrefix(actor, KeyActorPrefix))
}

// The actors of calls: the local admin key, and KeyActorPrefix with a key's id.
const (
	LocalActor     = "local"
	KeyActorPrefix = "key:"
)

// RecordsCall reports whether events of this type can record a call.
func RecordsCall(eventType string) bool {
	_, is := operations[eventType]
	return is
}

// RecordingTypes lists the types of events that can record a call.
func RecordingTypes() []string { return slices.Sorted(maps.Keys(operations)) }
