package api

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"recapito/commands"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/notification"
)

type historyInput struct {
	ID    string `path:"id" doc:"The notification's id."`
	After string `query:"after" doc:"Events after this revision; all if left out."`
	Limit string `query:"limit" doc:"At most so many events: 1 to 1,000, 100 if left out."`
}

type historyOutput struct{ Body historyBody }

type historyBody struct {
	ID     string          `json:"id"`
	Events []HistoryEvent  `json:"events"`
	Next   *event.Revision `json:"next,omitempty" doc:"There are more: ask again with after set to this."`
}

// HistoryEvent is an event as the audit trail shows it: what, when, who, why.
type HistoryEvent struct {
	Revision   event.Revision `json:"revision"`
	Position   event.Position `json:"position,omitempty" doc:"In the event store. Left out as of a time: a copy of the store has others."`
	EventID    string         `json:"event_id"`
	Type       string         `json:"type"`
	What       string         `json:"what" doc:"What happened, in a sentence."`
	Details    map[string]any `json:"details" doc:"What of the event is not personal."`
	OccurredAt time.Time      `json:"occurred_at" doc:"When it happened out there."`
	RecordedAt time.Time      `json:"recorded_at" doc:"When the ledger recorded it."`
	Who        string         `json:"who" doc:"key:<id>, provider:<route>, system:<part> or local."`
	Why        whyBody        `json:"why"`
}

type whyBody struct {
	Reason         string                       `json:"reason,omitempty"`
	CausationID    string                       `json:"causation_id,omitempty" doc:"The event that led to it."`
	CorrelationID  string                       `json:"correlation_id,omitempty"`
	Considerations []notification.Consideration `json:"considerations,omitempty" doc:"Each choice of the plan and its reason."`
}

func (s *Server) history(ctx context.Context, in *historyInput, _ []byte) (*historyOutput, error) {
	from, limit, problem := pageOf(in.After, in.Limit)
	if problem != nil {
		return nil, problem
	}
	c, err := named(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	entries, err := s.Notifications.History(ctx, c.Tenant, in.ID, from, limit+1)
	if err != nil {
		return nil, err
	}
	out := historyBody{ID: in.ID, Events: []HistoryEvent{}}
	for i, h := range entries {
		if i == limit {
			out.Next = &entries[i-1].Recorded.Revision
			break
		}
		out.Events = append(out.Events, HistoryEventOf(h))
	}
	return &historyOutput{Body: out}, nil
}

func pageOf(after, limit string) (from event.Revision, size int, p *Problem) {
	var wrong []FieldProblem
	if after != "" {
		r, err := strconv.ParseUint(after, 10, 62)
		if err != nil {
			wrong = append(wrong, FieldProblem{"after", strictjson.WrongType, "must be a revision: a whole number from 0"})
		}
		from = event.Revision(r) + 1
	}
	size, bad := LimitOf(limit, DefaultPage, MaxPage)
	if bad != nil {
		wrong = append(wrong, *bad)
	}
	if len(wrong) > 0 {
		return 0, 0, NewProblem(CodeInvalid, "", wrong...)
	}
	return from, size, nil
}

// LimitOf reads how many rows a page may have, 1 to most; standard if it is not given.
func LimitOf(limit string, standard, most int) (int, *FieldProblem) {
	if limit == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > most {
		return standard, &FieldProblem{"limit", strictjson.WrongType, fmt.Sprintf("must be an integer from 1 to %d", most)}
	}
	return n, nil
}

// HistoryEventOf shows an event.
func HistoryEventOf(h commands.HistoryEntry) HistoryEvent {
	t := notification.PhraseOf(h.Event)
	return HistoryEvent{
		Revision: h.Recorded.Revision, Position: h.Recorded.Position, EventID: h.Recorded.ID, Type: h.Recorded.Type,
		What: t.What, Details: t.Details, OccurredAt: h.Metadata.OccurredAt.UTC(), RecordedAt: h.Metadata.RecordedAt.UTC(),
		Who: h.Metadata.Actor,
		Why: whyBody{
			Reason: t.Reason, CausationID: h.Metadata.CausationID, CorrelationID: h.Metadata.CorrelationID,
			Considerations: t.Considerations,
		},
	}
}
