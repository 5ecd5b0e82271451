package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// historyEntry is one event as GET /v1/notifications/{id}/events tells it.
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
// history that is whole and one that still grows.
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

// progressBar shows long work: one line rewritten on a terminal, a plain line now and
// then elsewhere.
type progressBar struct {
	out      io.Writer
	terminal bool
	began    time.Time
	last     time.Time
	open     bool
}

const (
	barWidth   = 30
	plainEvery = 2 * time.Second
)

func newProgress(out io.Writer) *progressBar {
	b := &progressBar{out: out, began: time.Now()}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			b.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return b
}

func (b *progressBar) show(done, total uint64) {
	share := 0.0
	if total > 0 {
		share = float64(done) / float64(total)
	}
	rate := float64(done) / max(time.Since(b.began).Seconds(), 0.001)
	text := fmt.Sprintf("%3.0f %%  %s of %s events  %.0f/s", share*100, thousands(done), thousands(total), rate)
	switch {
	case b.terminal:
		filled := int(share * barWidth)
		_, _ = fmt.Fprintf(b.out, "\r[%s%s]  %s ", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), text)
		b.open = true
	case time.Since(b.last) >= plainEvery:
		_, _ = fmt.Fprintln(b.out, text)
		b.last = time.Now()
	}
}

func (b *progressBar) end() {
	if b.open {
		_, _ = fmt.Fprintln(b.out)
	}
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
