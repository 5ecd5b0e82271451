package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// historyEntry is one event as GET /v1/notifications/{id}/events reports it.
type historyEntry struct {
	Revision   uint64    `json:"revision"`
	Type       string    `json:"type"`
	What       string    `json:"what"`
	OccurredAt time.Time `json:"occurred_at"`
	RecordedAt time.Time `json:"recorded_at"`
	Who        string    `json:"who"`
}

func historyPath(id, after string) string {
	path := "/v1/notifications/" + url.PathEscape(id) + "/events?limit=1000"
	if after != "" {
		path += "&after=" + after
	}
	return path
}

// history reads all pages of a notification's history.
func (c *client) history(ctx context.Context, id string) ([]historyEntry, error) {
	var all []historyEntry
	for after := ""; ; {
		var page struct {
			Events []historyEntry `json:"events"`
			Next   *uint64        `json:"next"`
		}
		if err := c.call(ctx, http.MethodGet, historyPath(id, after), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if page.Next == nil {
			return all, nil
		}
		after = strconv.FormatUint(*page.Next, 10)
	}
}

// timeline prints events as an aligned table, a row at a time, so that it serves a
// history that is complete and one that still grows.
type timeline struct{ out io.Writer }

const (
	clockLayout = "2006-01-02 15:04:05.000"
	rowFormat   = "%-23s  %-23s  %-17s  %-17s  %s\n"
)

func newTimeline(out io.Writer) *timeline { return &timeline{out: out} }

func (t *timeline) head() {
	_, _ = fmt.Fprintf(t.out, rowFormat, "OCCURRED (UTC)", "RECORDED (UTC)", "WHO", "EVENT", "WHAT")
}

func (t *timeline) row(e historyEntry) {
	_, _ = fmt.Fprintf(t.out, rowFormat, e.OccurredAt.UTC().Format(clockLayout), e.RecordedAt.UTC().Format(clockLayout), e.Who, phrase(e.Type), e.What)
}

// phrase is an event's type in a person's words: "outcome unknown".
func phrase(eventType string) string {
	var b strings.Builder
	for i, r := range strings.TrimPrefix(eventType, "Notification") {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
