package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"recapito/commands/retry"
)

type sendCmd struct {
	instanceFlag
	Scenario  string   `arg:"" help:"The scenario to send."`
	To        []string `help:"A destination, channel=address; repeat for several." placeholder:"sms=+39…" required:"" sep:"none"`
	Field     []string `help:"A custom field, name=value; repeat for several." placeholder:"name=value" sep:"none"`
	Recipient string   `help:"The recipient's id."`
	Priority  string   `help:"high, normal or low."`
	Key       string   `help:"Idempotency key: sending again with it sends nothing twice."`
	Campaign  string   `help:"The campaign it belongs to, for reports."`
	Reference string   `help:"Your own reference."`
	SendAt    string   `name:"send-at" help:"When to send, RFC 3339." placeholder:"2026-12-01T09:00:00Z"`
	ExpiresAt string   `name:"expires-at" help:"Not sent from then on, RFC 3339."`
	Test      bool     `help:"Mark it as a test."`
	Wait      bool     `help:"Follow it to its final state."`
}

// summary is what a verb reads of a notification.
type summary struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Final bool   `json:"final"`
}

// Run requests the notification and prints its id.
func (s sendCmd) Run(ctx context.Context, t terminal) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	body, err := s.request()
	if err != nil {
		return err
	}
	if s.Key != "" {
		c.idempotencyKey = s.Key
	}
	var accepted summary
	if err := c.call(ctx, http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, accepted.ID)
	if !s.Wait {
		return nil
	}
	c.idempotencyKey = ""
	return followNotification(ctx, c, t, accepted.ID)
}

func (s sendCmd) request() (map[string]any, error) {
	body := map[string]any{"scenario": s.Scenario}
	destinations, err := pairs("to", "channel=address, such as sms=+393331234567", s.To)
	if err != nil {
		return nil, err
	}
	to := map[string][]string{}
	for _, d := range destinations {
		to[d[0]] = append(to[d[0]], d[1])
	}
	body["to"] = to
	given, err := pairs("field", "name=value", s.Field)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for _, f := range given {
		fields[f[0]] = f[1]
	}
	if len(fields) > 0 {
		body["fields"] = fields
	}
	for name, value := range map[string]string{
		"recipient": s.Recipient, "priority": s.Priority, "campaign": s.Campaign, "reference": s.Reference, "send_at": s.SendAt, "expires_at": s.ExpiresAt,
	} {
		if value != "" {
			body[name] = value
		}
	}
	if s.Test {
		body["test"] = true
	}
	return body, nil
}

// failedStates are those of a final notification that reached nobody.
var failedStates = []string{"rejected", "suppressed", "cancelled", "expired", "exhausted", "undelivered", "outcome_unknown"}

const followEvery = 200 * time.Millisecond

// followNotification prints a notification's events as they come, until it is final.
func followNotification(ctx context.Context, c *client, t terminal, id string) error {
	seen := 0
	for {
		var now summary
		if err := c.call(ctx, http.MethodGet, "/v1/notifications/"+url.PathEscape(id), nil, &now); err != nil {
			return err
		}
		h, err := c.history(ctx, id)
		if err != nil {
			return err
		}
		table := newTimeline(t.out)
		for _, e := range h[min(seen, len(h)):] {
			table.row(e)
		}
		seen = len(h)
		if now.Final {
			_, _ = fmt.Fprintf(t.out, "%s: %s\n", id, now.State)
			if slices.Contains(failedStates, now.State) {
				return fmt.Errorf("nobody is known to have been reached; `recapito show %s` shows why", id)
			}
			return nil
		}
		if retry.Wait(ctx, followEvery) != nil {
			return errors.New("stopped waiting; `recapito show " + id + "` shows how it went on")
		}
	}
}
