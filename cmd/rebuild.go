package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type rebuildCmd struct {
	instanceFlag
	Projection string `arg:"" help:"The projection: events, edr, notifications, accounting, rollups or audit_log."`
}

// Run starts the rebuild and shows its progress until the tables are swapped.
func (r rebuildCmd) Run(ctx context.Context, t terminal) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	path := "/v1/projections/" + url.PathEscape(r.Projection)
	if err := c.call(ctx, http.MethodPost, path+":rebuild", nil, nil); err != nil {
		return err
	}
	began := time.Now()
	bar := newProgress(t.out)
	for {
		var p struct {
			State string `json:"state"`
			Done  uint64 `json:"done"`
			Total uint64 `json:"total"`
			Error string `json:"error"`
		}
		if err := c.call(ctx, http.MethodGet, path, nil, &p); err != nil {
			return err
		}
		bar.show(p.Done, p.Total)
		switch {
		case p.Error != "":
			bar.end()
			return fmt.Errorf("rebuilding %s: %s", r.Projection, p.Error)
		case p.State != "rebuilding":
			bar.show(p.Total, p.Total)
			bar.end()
			_, _ = fmt.Fprintf(t.out, "%s is rebuilt: %d events in %s\n", r.Projection, p.Total, time.Since(began).Round(time.Millisecond))
			return nil
		}
		select {
		case <-ctx.Done():
			bar.end()
			return errors.New("no longer watching; the rebuild goes on in the instance")
		case <-time.After(followEvery):
		}
	}
}
