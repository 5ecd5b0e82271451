package api

import (
	"slices"
	"time"

	"recapito/commands"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// NotificationBody is a notification as it is shown.
type NotificationBody struct {
	ID          string                 `json:"id"`
	State       notification.Lifecycle `json:"state"`
	Final       bool                   `json:"final" doc:"Nothing more will be sent. The state may still rise to delivered or read."`
	Scenario    string                 `json:"scenario"`
	Version     string                 `json:"version" doc:"Of the scenario."`
	Brand       string                 `json:"brand,omitempty" doc:"Of the scenario."`
	Segment     string                 `json:"segment,omitempty" doc:"Of the scenario."`
	Campaign    string                 `json:"campaign,omitempty"`
	Priority    string                 `json:"priority"`
	Test        bool                   `json:"test"`
	Reference   string                 `json:"reference,omitempty"`
	RequestedAt time.Time              `json:"requested_at"`
	SendAt      *time.Time             `json:"send_at,omitempty"`
	ExpiresAt   *time.Time             `json:"expires_at,omitempty"`
	To          map[string]int         `json:"to" doc:"Channel → how many addresses the request gave."`
	Fields      []string               `json:"fields" doc:"The names of the fields that the request gave."`
	Attempts    []attemptBody          `json:"attempts"`
	Engagement  engagementBody         `json:"engagement"`
	Payment     paymentBody            `json:"payment"`
	Revision    event.Revision         `json:"revision" doc:"Of the last event."`
	Position    event.Position         `json:"position"`
	Links       Links                  `json:"links"`
}

type attemptBody struct {
	Number       int                  `json:"number"`
	Step         int                  `json:"step"`
	Kind         notification.TryKind `json:"kind" doc:"first, retry or resend"`
	Follows      int                  `json:"follows,omitempty" doc:"The attempt it retries or resends."`
	Channel      string               `json:"channel"`
	Route        string               `json:"route"`
	Status       notification.Status  `json:"status"`
	Code         string               `json:"code,omitempty" doc:"Of a failure: the provider's code, or what stopped it."`
	Country      string               `json:"country,omitempty"`
	Operator     string               `json:"operator,omitempty"`
	Units        int                  `json:"units"`
	ScheduledAt  *time.Time           `json:"scheduled_at,omitempty"`
	DueAt        *time.Time           `json:"due_at,omitempty"`
	DispatchedAt *time.Time           `json:"dispatched_at,omitempty"`
	SentAt       *time.Time           `json:"sent_at,omitempty"`
	StatusAt     *time.Time           `json:"status_at,omitempty" doc:"When it reached its status, as the ledger recorded it."`
}

type engagementBody struct {
	Replies int `json:"replies"`
}

type paymentBody struct {
	Paid bool `json:"paid"`
}

// NotificationOf shows a notification; codes are those of FailureCodes.
func NotificationOf(id string, l commands.Loaded[notification.State], codes map[int]string) NotificationBody {
	s := &l.State
	r := &s.Requested
	b := NotificationBody{
		ID: id, State: s.Lifecycle(), Final: s.Final(), Scenario: r.Scenario, Version: r.Version,
		Brand: r.Brand, Segment: r.Segment, Campaign: r.Campaign, Priority: r.Priority,
		Test: r.Test, Reference: r.Reference, RequestedAt: r.At.UTC(), SendAt: Instant(r.SendAt), ExpiresAt: Instant(r.ExpiresAt),
		To: addressCounts(r), Fields: r.FieldNames(), Attempts: []attemptBody{},
		Engagement: engagementBody{Replies: len(s.Replies)}, Payment: paymentBody{Paid: len(s.Payments) > 0},
		Revision: l.Revision, Position: l.Position, Links: linksOf(id),
	}
	for i := range s.Attempts {
		a := &s.Attempts[i]
		b.Attempts = append(b.Attempts, attemptBody{
			Number: a.Attempt, Step: a.Step, Kind: a.Kind, Follows: a.Of, Channel: a.Channel, Route: a.Route,
			Status: a.Status, Code: codes[a.Attempt], Country: a.Country, Operator: a.Operator, Units: a.Units,
			ScheduledAt: Instant(a.ScheduledAt), DueAt: Instant(a.DueAt), DispatchedAt: Instant(a.DispatchedAt),
			SentAt: Instant(a.SentAt), StatusAt: Instant(a.RaisedAt),
		})
	}
	return b
}

// Instant is a time in UTC; nil if it is zero.
func Instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

func addressCounts(r *notification.NotificationRequested) map[string]int {
	counts := map[string]int{}
	for channel, addresses := range r.To {
		counts[channel] = len(addresses)
	}
	return counts
}

func anyUndelivered(s notification.State) bool {
	return slices.ContainsFunc(s.Attempts, func(a notification.Attempt) bool { return a.Status == notification.Undelivered })
}

// FailureCodes returns why each undelivered attempt failed, as of a revision.
func FailureCodes(entries []commands.HistoryEntry, upTo event.Revision) map[int]string {
	codes := map[int]string{}
	for _, h := range entries {
		if h.Recorded.Revision > upTo {
			break
		}
		if e, ok := h.Event.(notification.NotificationUndelivered); ok {
			codes[e.Attempt] = e.Code
			if e.Code == "" {
				codes[e.Attempt] = string(e.Why)
			}
		}
	}
	return codes
}
