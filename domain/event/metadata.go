package event

import "time"

// Metadata stands on every ledger event, as JSON.
type Metadata struct {
	Tenant        string `json:"tenant"`
	Actor         string `json:"actor"` // who: "key:<key id>", "system:<part>", "provider:<route>", "local"
	CorrelationID string `json:"$correlationId,omitempty"`
	CausationID   string `json:"$causationId,omitempty"`
	// OccurredAt is when it happened out there; RecordedAt when it was appended, as
	// the ledger's clock (the store's own time does not survive a copy).
	OccurredAt  time.Time `json:"occurred_at"`
	RecordedAt  time.Time `json:"recorded_at"`
	Traceparent string    `json:"traceparent,omitempty"`
	Test        bool      `json:"test,omitempty"`
}
