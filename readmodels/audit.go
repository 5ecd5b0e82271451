package readmodels

import "time"

// How audit_log knows of a call: the call appended an event, or it was
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
	Seq          uint64    `ch:"seq"` // of the ledger event that records it
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
	DurationMs   *uint32   `ch:"duration_ms"` // nil where the call's own event records it
}

var auditColumns = columns[AuditRow]{
	of("tenant", func(r *AuditRow) string { return r.Tenant }),
	of("at", func(r *AuditRow) time.Time { return r.At }),
	of("id", func(r *AuditRow) string { return r.ID }),
	of("seq", func(r *AuditRow) uint64 { return r.Seq }),
	of("actor", func(r *AuditRow) string { return r.Actor }),
	of("operation", func(r *AuditRow) string { return r.Operation }),
	of("method", func(r *AuditRow) string { return r.Method }),
	of("path", func(r *AuditRow) string { return r.Path }),
	of("status", func(r *AuditRow) uint16 { return r.Status }),
	of("code", func(r *AuditRow) string { return r.Code }),
	of("notification", func(r *AuditRow) string { return r.Notification }),
	of("target", func(r *AuditRow) string { return r.Target }),
	of("correlation", func(r *AuditRow) string { return r.Correlation }),
	of("traceparent", func(r *AuditRow) string { return r.Traceparent }),
	of("via", func(r *AuditRow) string { return r.Via }),
	of("duration_ms", func(r *AuditRow) *uint32 { return r.DurationMs }),
}

func (AuditRow) columns(rows []Row) []any { return auditColumns.of(rows) }
