package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

type showCmd struct {
	instanceFlag
	ID   string `arg:"" help:"The notification's id."`
	JSON bool   `help:"Print the history as JSON."`
}

// Run prints the timeline as an aligned table.
func (s showCmd) Run(ctx context.Context, t terminal) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if s.JSON {
		var raw json.RawMessage
		if err := c.call(ctx, http.MethodGet, historyPath(s.ID, ""), nil, &raw); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(t.out, string(raw))
		return nil
	}
	var now summary
	if err := c.call(ctx, http.MethodGet, "/v1/notifications/"+url.PathEscape(s.ID), nil, &now); err != nil {
		return err
	}
	h, err := c.history(ctx, s.ID)
	if err != nil {
		return err
	}
	table := newTimeline(t.out)
	table.head()
	for _, e := range h {
		table.row(e)
	}
	_, _ = fmt.Fprintf(t.out, "\nstate %s, %s\n", now.State, map[bool]string{true: "final", false: "not final yet"}[now.Final])
	return nil
}
