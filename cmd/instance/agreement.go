package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recapito/adapters/smpp/sandbox"
	"recapito/commands/retry"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

const (
	finalWithin = 10 * time.Minute
	agreeWithin = time.Minute
	lookEvery   = 200 * time.Millisecond
)

// WaitFinal returns the states of the notifications once all are final.
func (l *Instance) WaitFinal(ctx context.Context, ids []string) (map[string]notification.State, error) {
	ctx, cancel := context.WithTimeout(ctx, finalWithin)
	defer cancel()
	final := map[string]notification.State{}
	for {
		var open string // one of those that are not, and how it stands
		for _, id := range ids {
			if _, done := final[id]; done {
				continue
			}
			got, err := l.Notifications.Get(ctx, tenant.Default, id)
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
		if err := retry.Wait(ctx, lookEvery); err != nil {
			return nil, fmt.Errorf("%d of %d notifications are not final (%s): %w", len(ids)-len(final), len(ids), open, err)
		}
	}
}

// JournalProblems compares what the ledger records as sent with what reached the
// simulator. A segment reaches it again only if it was throttled before.
func JournalProblems(final map[string]notification.State, journal []sandbox.Entry) []error {
	var problems []error
	reached := map[string]sandbox.Verdict{}
	for _, e := range journal {
		key := fmt.Sprintf("%s segment %d", e.Reference, max(e.Part, 1))
		if before, again := reached[key]; again && before != sandbox.Throttled {
			problems = append(problems, fmt.Errorf("attempt %s reached the simulator again after it was %s", key, before))
		}
		reached[key] = e.Verdict
	}
	for id, state := range final {
		for _, a := range state.Attempts {
			segment := func(unit int) string {
				return fmt.Sprintf("%s segment %d", receipt.Reference(id, a.Attempt), unit)
			}
			for _, accepted := range a.Accepted {
				if key := segment(accepted.Unit); reached[key] != sandbox.Accepted {
					problems = append(problems, fmt.Errorf("attempt %s is sent in the ledger, and the simulator did not take it", key))
				}
			}
			for unit := 1; unit <= a.Units; unit++ {
				if key := segment(unit); a.DispatchedAt.IsZero() && reached[key] != "" {
					problems = append(problems, fmt.Errorf("attempt %s reached the simulator and was never dispatched", key))
				}
			}
		}
	}
	return problems
}

// TableProblems compares ClickHouse with a fold of the event store, number by number, once
// it has caught up.
func (l *Instance) TableProblems(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	for {
		found, err := l.reconciler(nil).Run(ctx)
		if err == nil && len(found.Differences) == 0 {
			return nil
		}
		if retry.Wait(ctx, lookEvery) != nil {
			problems := []error{err}
			for _, d := range found.Differences {
				problems = append(problems, errors.New(d.String()))
			}
			return problems
		}
	}
}
