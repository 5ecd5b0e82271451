package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"recapito/adapters/smpp/sandbox"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

const (
	sendersAtOnce = 16
	finalWithin   = 10 * time.Minute
	agreeWithin   = time.Minute
	lookEvery     = 200 * time.Millisecond
)

// sendAndCheck sends N samples, waits until all are final, and errs unless the ledger,
// the simulator's journal and the EDR tell the same.
func (s sandboxCmd) sendAndCheck(ctx context.Context, t terminal, l *ledger, i Instance) error {
	ids := make([]string, s.ExitAfter)
	var senders errgroup.Group
	senders.SetLimit(sendersAtOnce)
	c := newClient(i, tenant.Default)
	for n := range ids {
		senders.Go(func() (err error) {
			ids[n], err = sendSample(ctx, c)
			return err
		})
	}
	if err := senders.Wait(); err != nil {
		return fmt.Errorf("sending the samples: %w", err)
	}
	final, err := l.waitFinal(ctx, ids)
	if err != nil {
		return err
	}
	delivered := 0
	for _, state := range final {
		if state.Lifecycle() == notification.LifecycleDelivered || state.Lifecycle() == notification.LifecycleRead {
			delivered++
		}
	}
	journal, err := sandbox.ReadJournal(filepath.Join(l.config.Data, "smsc"))
	if err != nil {
		return fmt.Errorf("reading the simulator's journal: %w", err)
	}
	problems := journalProblems(final, journal)
	problems = append(problems, l.edrProblems(ctx)...)
	_, _ = fmt.Fprintf(t.out, "\n%d sent, %d delivered, %d failed\n", len(ids), delivered, len(ids)-delivered)
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("the ledger, the simulator's journal and the EDR do not agree:\n%w", err)
	}
	_, _ = fmt.Fprintln(t.out, "the ledger, the simulator's journal and the EDR agree")
	return nil
}

// waitFinal answers the states of the notifications once all are final.
func (l *ledger) waitFinal(ctx context.Context, ids []string) (map[string]notification.State, error) {
	ctx, cancel := context.WithTimeout(ctx, finalWithin)
	defer cancel()
	final := map[string]notification.State{}
	for {
		var open string // one of those that are not, and how it stands
		for _, id := range ids {
			if _, done := final[id]; done {
				continue
			}
			got, err := l.notifications.Get(ctx, tenant.Default, id)
			if err != nil {
				return nil, fmt.Errorf("reading notification %s: %w", id, err)
			}
			if got.State.Final() {
				final[id] = got.State
				continue
			}
			open = fmt.Sprintf("%s is %s", id, got.State.Lifecycle())
			for _, a := range got.State.Attempts {
				open += fmt.Sprintf(", its attempt %d %s", a.Attempt, a.Status)
			}
		}
		if len(final) == len(ids) {
			return final, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d notifications are not final (%s): %w", len(ids)-len(final), len(ids), open, ctx.Err())
		case <-time.After(lookEvery):
		}
	}
}

// journalProblems compares what the ledger says was on the wire with what the
// simulator says reached it.
func journalProblems(final map[string]notification.State, journal []sandbox.Entry) []error {
	var problems []error
	reached := map[string]int{}
	for _, e := range journal {
		reached[fmt.Sprintf("%s part %d", e.Reference, max(e.Part, 1))]++
	}
	for key, times := range reached {
		if times > 1 {
			problems = append(problems, fmt.Errorf("attempt %s reached the simulator %d times", key, times))
		}
	}
	for id, state := range final {
		for _, a := range state.Attempts {
			for part := 1; part <= a.Parts; part++ {
				key := fmt.Sprintf("%s part %d", receipt.Reference(id, a.Attempt), part)
				if accepted := len(a.Accepted) >= part; accepted && reached[key] == 0 {
					problems = append(problems, fmt.Errorf("attempt %s is sent in the ledger and never reached the simulator", key))
				}
				if a.DispatchedAt.IsZero() && reached[key] > 0 {
					problems = append(problems, fmt.Errorf("attempt %s reached the simulator and was never dispatched", key))
				}
			}
		}
	}
	return problems
}

// edrProblems compares ClickHouse with a fold of the event store, number by number, once
// it has caught up.
func (l *ledger) edrProblems(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	for {
		found, err := l.reconciler(nil).Run(ctx)
		if err == nil && len(found.Differences) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			problems := []error{err}
			for _, d := range found.Differences {
				problems = append(problems, errors.New(d.String()))
			}
			return problems
		case <-time.After(lookEvery):
		}
	}
}
