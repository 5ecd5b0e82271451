package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"recapito/api"
	"recapito/domain/event"
	"recapito/projections"
)

// settleWithin bounds how long a comparison waits for the tables to hold what the ledger
// had when it was asked for.
const settleWithin = 2 * time.Minute

// reconciler compares the tables with a fold of the event store, up to what all of them
// hold once they have caught up.
func (l *ledger) reconciler(progress func(projections.Progress)) *projections.Reconciler {
	return &projections.Reconciler{
		Source: l.engines.events, Codec: l.codec, Conn: l.engines.read, Progress: progress,
		Cut: func(ctx context.Context) (uint64, error) {
			settling, cancel := context.WithTimeout(ctx, settleWithin)
			defer cancel()
			if err := l.projections.Settle(settling); err != nil {
				return 0, fmt.Errorf("the tables have not caught up: %w", err)
			}
			return l.projections.Held(), nil
		},
	}
}

// reconcile implements api.Reconcile.
func (l *ledger) reconcile(ctx context.Context, progress func(done, total uint64)) (api.Reconciliation, error) {
	found, err := l.reconciler(func(p projections.Progress) { progress(p.Done, p.Total) }).Run(ctx)
	if err != nil {
		return api.Reconciliation{}, errors.Join(event.ErrUnavailable, err)
	}
	result := api.Reconciliation{Events: found.Events, Rows: found.Rows}
	for _, d := range found.Differences {
		result.Differences = append(result.Differences, api.Difference(d))
	}
	return result, nil
}

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
	lines.Buffer(nil, maxAnswerBytes)
	for lines.Scan() {
		if a.JSON {
			_, _ = fmt.Fprintf(t.out, "%s\n", lines.Bytes())
		}
		var line api.ReconcileLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return api.Reconciliation{}, fmt.Errorf("reading the answer: %w", err)
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
