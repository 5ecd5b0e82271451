package retry_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands/retry"
)

var errDown = errors.New("down")

// lines collects what a Log writes.
type lines struct{ bytes.Buffer }

func (l *lines) log(what string) *retry.Log {
	return retry.NewLog(slog.New(slog.NewTextHandler(l, nil)), what)
}

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

func TestDoWaitsLongerEachTimeWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		err := retry.Policy{First: time.Second, Most: 4 * time.Second}.Do(t.Context(), nil, func(context.Context) error {
			at = append(at, time.Now())
			if len(at) < 6 {
				return errDown
			}
			return nil
		})
		if err != nil || len(at) != 6 {
			t.Fatalf("%v after %d tries, want success at the sixth", err, len(at))
		}
		exact := 0
		for i, seconds := range []int{1, 2, 4, 4, 4} {
			nominal := time.Duration(seconds) * time.Second
			wait := at[i+1].Sub(at[i])
			if wait < nominal/2 || wait > nominal*3/2 {
				t.Errorf("wait %d was %s, want %s and half of it to either side", i, wait, nominal)
			}
			if wait == nominal {
				exact++
			}
		}
		if exact == 5 {
			t.Error("no wait was random")
		}
	})
}

func TestDoEndsWithTheOperationsLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		fail := func(context.Context) error { tries++; return errDown }
		if err := (retry.Policy{Tries: 3}).Do(t.Context(), nil, fail); !errors.Is(err, errDown) || tries != 3 {
			t.Errorf("limited tries: %v after %d", err, tries)
		}
		tries = 0
		refuse := func(context.Context) error { tries++; return retry.Permanent(errDown) }
		if err := (retry.Policy{}).Do(t.Context(), nil, refuse); err != errDown || tries != 1 {
			t.Errorf("permanent error: %v after %d tries", err, tries)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := (retry.Policy{First: time.Hour}).Do(ctx, nil, fail); err != errDown || time.Since(began) != time.Minute {
			t.Errorf("context's end: %v after %s", err, time.Since(began))
		}
		tries = 0
		if err := (retry.Policy{}).Do(ctx, nil, fail); err != errDown || tries != 1 {
			t.Errorf("a context that has ended: %v after %d tries, want one", err, tries)
		}
	})
}

func TestKeepBeginsAnewWhenASessionWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []time.Time
		var waits []time.Duration
		err := retry.Policy{First: time.Second, Most: time.Hour}.Keep(t.Context(), nil, func(ctx context.Context, working func()) error {
			if len(ends) > 0 {
				waits = append(waits, time.Since(ends[len(ends)-1]))
			}
			defer func() { ends = append(ends, time.Now()) }()
			switch len(ends) {
			case 6: // lasts
				_ = retry.Wait(ctx, retry.DefaultSteady)
			case 12: // works
				working()
			case 18:
				return retry.Permanent(errDown)
			}
			return nil
		})
		if err != errDown {
			t.Fatalf("Keep returned %v, want the permanent error", err)
		}
		for i, wait := range waits {
			nominal := time.Second << (i % 6)
			if wait < nominal/2 || wait > nominal*3/2 {
				t.Errorf("wait %d was %s, want about %s", i, wait, nominal)
			}
		}
	})
}

func TestKeepReturnsNothingWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sessions := 0
		err := retry.Policy{}.Keep(ctx, nil, func(ctx context.Context, _ func()) error {
			if sessions++; sessions == 2 {
				cancel()
			}
			return errDown
		})
		if err != nil || sessions != 2 {
			t.Errorf("Keep returned %v after %d sessions", err, sessions)
		}
	})
}

func TestALogStaysQuietWhileAFailureLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		log := out.log("asking the store")
		up := time.Now().Add(10*time.Minute + time.Second)
		done := make(chan error)
		for range 50 { // at once, as many inputs of one runner
			go func() {
				done <- retry.Policy{First: time.Second, Most: time.Second}.Do(t.Context(), log, func(context.Context) error {
					if time.Now().Before(up) {
						return errDown
					}
					return nil
				})
			}()
		}
		for range 50 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := out.count("asking the store failed, will be tried again"); n < 10 || n > 11 {
			t.Errorf("%d warnings in ten minutes, want one a minute:\n%s", n, out.String())
		}
		if n := out.count("asking the store works again"); n != 1 {
			t.Errorf("%d lines that it works again, want 1:\n%s", n, out.String())
		}
	})
}

func TestALogOfAFailureThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		log := out.log("writing")
		for range 600 { // each write fails once: five minutes of it
			failed := false
			_ = retry.Policy{First: time.Second / 2, Most: time.Second / 2}.Do(t.Context(), log, func(context.Context) error {
				if failed {
					return nil
				}
				failed = true
				return errDown
			})
		}
		if n := out.count("failed"); n < 4 || n > 12 {
			t.Errorf("%d lines in five minutes:\n%s", n, out.String())
		}
		_ = retry.Wait(t.Context(), 20*time.Second)
		before := out.count("tried again")
		_ = retry.Policy{Tries: 2}.Do(t.Context(), log, func(context.Context) error { return errDown })
		if out.count("tried again") != before+1 {
			t.Error("a new failure, long after the last, was not logged")
		}
	})
}

func TestATestMayDriveTheClock(t *testing.T) {
	var slept []time.Duration
	policy := retry.Policy{First: time.Hour, Tries: 3, Sleep: func(_ context.Context, d time.Duration) { slept = append(slept, d) }}
	began := time.Now()
	_ = policy.Do(t.Context(), nil, func(context.Context) error { return errDown })
	if len(slept) != 2 || slept[0] != time.Hour || time.Since(began) > time.Minute {
		t.Errorf("slept %v in %s", slept, time.Since(began))
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := retry.Wait(ctx, time.Millisecond); err != nil {
			t.Error(err)
		}
		if err := retry.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait returned %v", err)
		}
		if err := retry.Wait(ctx, 0); err == nil {
			t.Error("Wait returned nil though its context had ended")
		}
	})
}

func TestWaitsOfACallerWithItsOwnTimer(t *testing.T) {
	var out lines
	waits := retry.Policy{First: time.Second, Most: 4 * time.Second}.Waits(out.log("writing"))
	between := func(got, nominal time.Duration) {
		t.Helper()
		if got < nominal/2 || got > nominal*3/2 {
			t.Errorf("waits %s, want about %s", got, nominal)
		}
	}
	between(waits.Failed(errDown), time.Second)
	between(waits.Failed(errDown), 2*time.Second)
	if !waits.Failing() || out.count("tried again") != 1 {
		t.Errorf("failing %v, log:\n%s", waits.Failing(), out.String())
	}
	waits.Worked()
	if waits.Failing() || out.count("works again") != 1 {
		t.Errorf("failing %v, log:\n%s", waits.Failing(), out.String())
	}
	between(waits.Failed(errDown), time.Second)
	policy := retry.Policy{First: time.Second, Most: time.Minute}
	between(policy.After(0), time.Second)
	between(policy.After(1), time.Second)
	between(policy.After(4), 8*time.Second)
	between(policy.After(1000), time.Minute)
}

func TestKeepLogsASteadySessionsEndAsANewFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		sessions := 0
		_ = retry.Policy{First: time.Second, Steady: 15 * time.Second}.Keep(t.Context(), out.log("following"), func(ctx context.Context, _ func()) error {
			if sessions++; sessions == 4 {
				return retry.Permanent(errDown)
			}
			return cmp.Or(retry.Wait(ctx, 15*time.Second), errDown)
		})
		if out.count("tried again") != 3 {
			t.Errorf("three sessions were lost, the log has\n%s", out.String())
		}
	})
}
