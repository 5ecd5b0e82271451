package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"recapito/api"
)

type auditCmd struct {
	Reconcile auditReconcileCmd `cmd:"" help:"Compare every number of every table with the event store, while the instance runs; exit 1 if one differs."`
}

type auditReconcileCmd struct {
	instanceFlag
	JSON bool `name:"json" help:"Print progress and result as lines of JSON."`
}

// Run shows the comparison until it ends.
func (a auditReconcileCmd) Run(ctx context.Context, t terminal) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	answer, err := c.open(ctx, asking{method: http.MethodPost, path: "/v1/projections:reconcile"})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	result, err := a.follow(answer.Body, t)
	if err != nil {
		return err
	}
	if !a.JSON {
		for _, d := range result.Differences {
			_, _ = fmt.Fprintf(t.out, "%s %s: %s\n", d.Table, d.Key, d.What)
		}
		_, _ = fmt.Fprintf(t.out, "%s rows and cells compared with %s events: %d differences\n",
			thousands(result.Rows), thousands(result.Events), len(result.Differences))
	}
	if len(result.Differences) > 0 {
		return exit{1}
	}
	return nil
}

// follow reads the lines of the answer.
func (a auditReconcileCmd) follow(body io.Reader, t terminal) (api.Reconciliation, error) {
	bar := newProgress(t.err)
	defer bar.end()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxResponseBytes)
	for lines.Scan() {
		if a.JSON {
			_, _ = fmt.Fprintf(t.out, "%s\n", lines.Bytes())
		}
		var line api.ReconcileLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return api.Reconciliation{}, fmt.Errorf("reading the response: %w", err)
		}
		switch {
		case line.Result != nil:
			return *line.Result, nil
		case line.Problem != nil:
			return api.Reconciliation{}, fmt.Errorf("the comparison failed: %w", line.Problem)
		case line.Progress != nil && !a.JSON:
			bar.show(line.Progress.Done, line.Progress.Total)
		}
	}
	return api.Reconciliation{}, errors.Join(errors.New("the comparison was cut off"), lines.Err())
}
