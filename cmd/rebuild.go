package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"recapito/api"
	"recapito/commands/retry"
)

type rebuildCmd struct {
	instanceFlag
	Projection string `arg:"" optional:"" help:"The projection: events, edr, notifications, accounting, rollups or audit_log."`
	All        bool   `help:"Rebuild every projection, reading the ledger once."`
}

// Run starts the rebuild and shows its progress until the tables are swapped.
func (r rebuildCmd) Run(ctx context.Context, t terminal) error {
	if r.All == (r.Projection != "") {
		return errors.New("name one projection, or --all")
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	path, what := "/v1/projections", "every projection"
	if !r.All {
		path, what = path+"/"+url.PathEscape(r.Projection), r.Projection
	}
	if err := c.call(ctx, http.MethodPost, path+":rebuild", nil, nil); err != nil {
		return err
	}
	began := time.Now()
	bar := newProgress(t.out)
	defer bar.end()
	for {
		all, err := r.ask(ctx, c, path)
		if err != nil {
			return err
		}
		var done, events, rate uint64
		var going []string
		for _, p := range all {
			events = max(events, p.Total)
			switch {
			case p.Error != "":
				return fmt.Errorf("rebuilding %s: %s", cmp.Or(p.Name, r.Projection), p.Error)
			case p.State == "rebuilding":
				going = append(going, p.Name)
				if len(going) == 1 || p.Done < done {
					done, rate = p.Done, p.Rate
				}
			}
		}
		if len(going) == 0 {
			bar.show(events, events)
			bar.end()
			_, _ = fmt.Fprintf(t.out, "%s is rebuilt: %d events in %s\n", what, events, time.Since(began).Round(time.Millisecond))
			return nil
		}
		slices.Sort(going)
		bar.showLeft(done, events, rate, strings.Join(going, " "))
		if retry.Wait(ctx, followEvery) != nil {
			return errors.New("no longer watching; the rebuild goes on in the instance")
		}
	}
}

// ask how far those that were asked for are.
func (r rebuildCmd) ask(ctx context.Context, c *client, path string) ([]api.Projection, error) {
	if r.All {
		var all struct {
			Projections []api.Projection `json:"projections"`
		}
		err := c.call(ctx, http.MethodGet, path, nil, &all)
		return all.Projections, err
	}
	var one api.Projection
	err := c.call(ctx, http.MethodGet, path, nil, &one)
	return []api.Projection{one}, err
}
