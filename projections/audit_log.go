package projections

import (
	"context"
	"errors"
	"math"
	"strings"

	"recapito/domain/audit"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
	"recapito/readmodels"
)

// Operation is an operation of the API as the table shows it, and the status of a call that
// succeeded.
type Operation struct {
	Method, Path string
	Status       int
}

// Operations are those of the API, by name.
type Operations map[string]Operation

// AuditLog is the projection audit_log: every call of the API, one row.
func AuditLog(codec *event.Codec, operations Operations) Projection {
	return Projection{Table: readmodels.AuditTable, Rows: func(events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
		return callRows(codec, operations, events)
	}}
}

func callRows(codec *event.Codec, operations Operations, events []LedgerEvent) ([]readmodels.Row, []*event.Unreadable) {
	var rows []readmodels.Row
	aside := each(events, func(e LedgerEvent) error {
		calls, err := AuditRows(codec, operations, e)
		for _, c := range calls {
			rows = append(rows, c)
		}
		return err
	})
	return rows, aside
}

// AuditRows returns the calls that an event records. *event.Unreadable if it is one that should
// and cannot be read.
func AuditRows(codec *event.Codec, operations Operations, e LedgerEvent) ([]readmodels.AuditRow, error) {
	recorded := strings.HasPrefix(e.Stream, audit.StreamPrefix)
	if !recorded && !audit.RecordsCall(e.Type) {
		return nil, nil
	}
	m, err := e.metadata()
	if err != nil || m.Tenant == "" {
		return nil, corrupt(e.Recorded, "its metadata name no tenant")
	}
	if !recorded {
		operation, by := audit.OperationOf(e.Type, m.Actor)
		if !by {
			return nil, nil
		}
		o := operations[operation]
		row := readmodels.AuditRow{
			Tenant: m.Tenant, At: storable(m.RecordedAt), ID: e.ID, Seq: e.Seq, Actor: m.Actor,
			Operation: operation, Method: o.Method, Path: o.Path, Status: uint16(o.Status),
			Correlation: m.CorrelationID, Traceparent: m.Traceparent, Via: readmodels.ViaEvent,
		}
		if id, is := strings.CutPrefix(e.Stream, notification.StreamPrefix); is {
			row.Notification = id
			return []readmodels.AuditRow{row}, nil
		}
		if row.Target, err = keyOf(codec, e.Recorded); err != nil {
			return nil, err
		}
		return []readmodels.AuditRow{row}, nil
	}
	decoded, err := codec.Decode(context.Background(), nil, "", e.Recorded)
	if errors.Is(err, event.ErrUnknownType) {
		return nil, nil
	}
	if err != nil {
		return nil, corrupt(e.Recorded, "its data cannot be decoded")
	}
	of, is := decoded.(audit.CallsRecorded)
	if !is {
		return nil, nil
	}
	rows := make([]readmodels.AuditRow, 0, len(of.Calls))
	for _, c := range of.Calls {
		if c.Status < 0 || c.Status > math.MaxUint16 {
			return nil, corrupt(e.Recorded, "a number in it is out of range")
		}
		took := uint32(min(max(c.Millis, 0), math.MaxUint32))
		rows = append(rows, readmodels.AuditRow{
			Tenant: m.Tenant, At: storable(c.At), ID: c.ID, Seq: e.Seq, Actor: c.Actor,
			Operation: c.Operation, Method: c.Method, Path: c.Path, Status: uint16(c.Status), Code: c.Code,
			Notification: c.Notification, Target: c.Target, Correlation: c.Notification, Traceparent: c.Traceparent,
			Via: readmodels.ViaCall, DurationMs: &took,
		})
	}
	return rows, nil
}

// keyOf returns the API key that an event of a tenant is about.
func keyOf(codec *event.Codec, r event.Recorded) (string, error) {
	decoded, err := codec.Decode(context.Background(), nil, "", r)
	if err != nil {
		return "", corrupt(r, "its data cannot be decoded")
	}
	switch e := decoded.(type) {
	case tenant.KeyCreated:
		return e.KeyID, nil
	case tenant.KeyRevoked:
		return e.KeyID, nil
	}
	return "", nil
}
