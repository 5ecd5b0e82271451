package readmodels

import "time"

// How audit_log knows of a call: an event that the call appended tells of it, or it was
// recorded.
const (
	ViaEvent = "event"
	ViaCall  = "call"
)

// AuditRow is a row of audit_log: a call of the API.
type AuditRow struct {
	Tenant       string    `ch:"tenant"`
	At           time.Time `ch:"at"`
	ID           string    `ch:"id"`  // of the event, or of the request
	Seq          uint64    `ch:"seq"` // of the ledger event that tells of it
	Actor        string    `ch:"actor"`
	Operation    string    `ch:"operation"`
	Method       string    `ch:"method"`
	Path         string    `ch:"path"`
	Status       uint16    `ch:"status"`
	Code         string    `ch:"code"`
	Notification string    `ch:"notification"`
	Target       string    `ch:"target"`
	Correlation  string    `ch:"correlation"`
	Traceparent  string    `ch:"traceparent"`
	Via          string    `ch:"via"`
	DurationMs   *uint32   `ch:"duration_ms"` // nil where an event tells of it
}

var auditColumns = []string{
	"tenant", "at", "id", "seq", "actor", "operation", "method", "path", "status", "code", "notification", "target",
	"correlation", "traceparent", "via", "duration_ms",
}

func (r AuditRow) values() []any {
	return []any{
		r.Tenant, r.At, r.ID, r.Seq, r.Actor, r.Operation, r.Method, r.Path, r.Status, r.Code, r.Notification, r.Target,
		r.Correlation, r.Traceparent, r.Via, r.DurationMs,
	}
}
