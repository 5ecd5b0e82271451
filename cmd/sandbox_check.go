package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"recapito/adapters/smpp/sandbox"
	"recapito/cmd/instance"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

const sendersAtOnce = 16

// sendAndCheck sends N samples, waits until all are final, and errs unless the ledger,
// the simulator's journal and the EDR agree.
func (s sandboxCmd) sendAndCheck(ctx context.Context, t terminal, l *instance.Instance, i instance.RunFile) error {
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
	final, err := l.WaitFinal(ctx, ids)
	if err != nil {
		return err
	}
	delivered := 0
	for _, state := range final {
		if state.Lifecycle() == notification.LifecycleDelivered || state.Lifecycle() == notification.LifecycleRead {
			delivered++
		}
	}
	journal, err := sandbox.ReadJournal(filepath.Join(l.Config.Data, "smsc"))
	if err != nil {
		return fmt.Errorf("reading the simulator's journal: %w", err)
	}
	problems := instance.JournalProblems(final, journal)
	problems = append(problems, l.TableProblems(ctx)...)
	_, _ = fmt.Fprintf(t.out, "\n%d sent, %d delivered, %d failed\n", len(ids), delivered, len(ids)-delivered)
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("the ledger, the simulator's journal and the EDR do not agree:\n%w", err)
	}
	_, _ = fmt.Fprintln(t.out, "the ledger, the simulator's journal and the EDR agree")
	return nil
}
