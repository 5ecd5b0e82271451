package receipt_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/domain/domaintest"
	"recapito/domain/receipt"
)

type happens = receipt.Event

func exported(reflect.Type) bool { return true }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

type example = domaintest.Example[receipt.State, receipt.Command, receipt.Event]

func given(t *testing.T, commands ...receipt.Command) example {
	t.Helper()
	return domaintest.For(t, receipt.Decider).After(commands...)
}

// submission of unit 1 of attempt 1 of a notification to the destination of a token,
// accepted and registered at d.
func submission(notification, token string, d time.Duration) receipt.RegisterSubmission {
	return receipt.RegisterSubmission{
		Submission: receipt.Submission{
			Tenant: "acme", Notification: notification, Attempt: 1, Unit: 1, Token: token, TokenKey: "key", AcceptedAt: at(d),
		},
		At: at(d),
	}
}

// report of a receipt about the destination of a token ("" if the provider does not
// tell it), received at d.
func report(id, token string, d time.Duration) receipt.RecordReceipt {
	r := receipt.RecordReceipt{
		Receipt: receipt.Receipt{
			ID: id, Route: "smsc", ProviderID: "1A", Says: "delivered", Code: "000", DoneAt: at(d - time.Second), ReceivedAt: at(d),
		},
		At: at(d),
	}
	if token != "" {
		r.Tokens = []receipt.Token{{Key: "old key", Token: "another"}, {Key: "key", Token: token}}
	}
	return r
}

func registered(c receipt.RegisterSubmission) happens {
	return receipt.SubmissionRegistered{Submission: c.Submission, At: c.At}
}

func recorded(c receipt.RecordReceipt) happens {
	return receipt.ReceiptRecorded{Receipt: c.Receipt, At: c.At}
}

func matched(c receipt.RecordReceipt, notification string, by receipt.Basis, d time.Duration) receipt.ReceiptMatched {
	return receipt.ReceiptMatched{
		Tenant: "acme", ReceiptID: c.ID, Notification: notification, Attempt: 1, Unit: 1, Says: c.Says, Code: c.Code,
		Basis: by, DoneAt: c.DoneAt, ReceivedAt: c.ReceivedAt, At: at(d),
	}
}

func ambiguous(id string, fits int, d time.Duration) happens {
	return receipt.ReceiptAmbiguous{ReceiptID: id, Fits: fits, At: at(d)}
}

const second = time.Second

func TestSubmissionAndReceipt(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "ada", 9*second)
	t.Run("the receipt comes second", func(t *testing.T) {
		x := given(t).When(sub).Then(registered(sub))
		x = x.When(rep).Then(recorded(rep), matched(rep, "n-1", receipt.BySubmission, 9*second))
		x.When(rep).ThenNothing()
		x.When(sub).ThenNothing()
	})
	t.Run("the receipt comes first", func(t *testing.T) {
		early := report("r-1", "ada", -5*time.Minute) // it overtook the answer to its submit
		x := given(t).When(early).Then(recorded(early))
		x.When(early).ThenNothing()
		x = x.When(sub).Then(registered(sub), matched(early, "n-1", receipt.BySubmission, 0))
		x.When(sub).ThenNothing()
	})
	t.Run("a second report is matched too", func(t *testing.T) {
		again := report("r-2", "ada", 10*second)
		again.Says = "undelivered"
		given(t, sub, rep).When(again).Then(recorded(again), matched(again, "n-1", receipt.BySubmission, 10*second))
		x := given(t, rep, again)
		x.When(sub).Then(registered(sub), matched(rep, "n-1", receipt.BySubmission, 0), matched(again, "n-1", receipt.BySubmission, 0))
	})
	t.Run("the provider does not tell the destination", func(t *testing.T) {
		blind := report("r-1", "", 9*second)
		given(t, sub).When(blind).Then(recorded(blind), matched(blind, "n-1", receipt.BySubmission, 9*second))
	})
}

// A provider gives an id out again: its receipts are told apart by destination and time.
func TestReusedIDs(t *testing.T) {
	ada, bert := submission("n-1", "ada", 0), submission("n-2", "bert", time.Hour)
	t.Run("by the destination's token", func(t *testing.T) {
		x := given(t, ada, bert)
		for _, c := range []struct{ token, notification string }{{"ada", "n-1"}, {"bert", "n-2"}} {
			rep := report("r-1", c.token, 2*time.Hour)
			x.When(rep).Then(recorded(rep), matched(rep, c.notification, receipt.BySubmission, 2*time.Hour))
		}
	})
	t.Run("another's destination: an orphan, kept", func(t *testing.T) {
		rep := report("r-1", "carla", 2*time.Hour)
		x := given(t, ada, bert).When(rep).Then(recorded(rep))
		late := submission("n-3", "carla", 2*time.Hour)
		x.When(late).Then(registered(late), matched(rep, "n-3", receipt.BySubmission, 2*time.Hour))
	})
	t.Run("a token under another key does not fit", func(t *testing.T) {
		other := submission("n-1", "ada", 0)
		other.TokenKey = "another key"
		rep := report("r-1", "ada", second)
		given(t, other).When(rep).Then(recorded(rep))
	})
	t.Run("by time", func(t *testing.T) {
		again := submission("n-2", "ada", 2*receipt.Window)
		x := given(t, ada, again)
		for _, c := range []struct {
			received     time.Duration
			notification string
		}{
			{-10*time.Minute - 1, ""}, {-10 * time.Minute, "n-1"}, {receipt.Window, "n-1"}, {receipt.Window + 1, ""},
			{2*receipt.Window - 10*time.Minute - 1, ""}, {2*receipt.Window - 10*time.Minute, "n-2"}, {3 * receipt.Window, "n-2"},
		} {
			rep := report("r-1", "ada", c.received)
			want := []happens{recorded(rep)}
			if c.notification != "" {
				want = append(want, matched(rep, c.notification, receipt.BySubmission, c.received))
			}
			x.When(rep).Then(want...)
		}
	})
	t.Run("what fits several is kept and listed, once", func(t *testing.T) {
		again := submission("n-2", "ada", time.Hour)
		rep := report("r-1", "ada", 2*time.Hour)
		x := given(t, ada, again).When(rep).Then(recorded(rep), ambiguous("r-1", 2, 2*time.Hour))
		third := submission("n-3", "ada", 2*time.Hour)
		x.When(third).Then(registered(third))
	})
	t.Run("a receipt that was matched stays so", func(t *testing.T) {
		again := submission("n-2", "ada", 2*time.Hour)
		given(t, ada, report("r-1", "ada", time.Hour)).When(again).Then(registered(again))
	})
	t.Run("two units under one id", func(t *testing.T) {
		two := submission("n-1", "ada", 0)
		two.Unit = 2
		rep := report("r-1", "ada", time.Hour)
		given(t, ada).When(two).Then(registered(two)).When(rep).Then(recorded(rep), ambiguous("r-1", 2, time.Hour))
	})
}

func TestReceiptsThatNameTheirAttempt(t *testing.T) {
	echoed := report("r-1", "ada", second)
	echoed.Notification, echoed.Attempt, echoed.Unit = "n-1", 1, 1
	byReference := matched(echoed, "n-1", receipt.ByReference, second)
	byReference.Tenant = "" // nobody knows it here
	sub := submission("n-1", "ada", 2*second)

	t.Run("before any submission, once", func(t *testing.T) {
		x := given(t).When(echoed).Then(recorded(echoed), byReference)
		x.When(echoed).ThenNothing()
		x.When(sub).Then(registered(sub))
		x.When(receipt.ConfirmFit{ReceiptID: "r-1", Notification: "n-2", Attempt: 1, Unit: 1}).ThenNothing()
	})
	t.Run("with its submission, once", func(t *testing.T) {
		early := submission("n-1", "ada", 0)
		given(t, early).When(echoed).Then(recorded(echoed), byReference)
	})
}

func TestFit(t *testing.T) {
	rep := report("r-1", "ada", 2*second)
	fit := func(notification string) receipt.ConfirmFit {
		return receipt.ConfirmFit{ReceiptID: "r-1", Tenant: "acme", Notification: notification, Attempt: 1, Unit: 1, At: at(time.Minute)}
	}
	sub := submission("n-1", "ada", time.Second)
	t.Run("of no receipt", func(t *testing.T) {
		given(t).When(fit("n-1")).ThenError(receipt.ErrNoReceipt)
		given(t, sub).When(fit("n-1")).ThenError(receipt.ErrNoReceipt)
	})
	t.Run("once, and to one only", func(t *testing.T) {
		x := given(t, rep).When(fit("n-1")).Then(matched(rep, "n-1", receipt.ByFit, time.Minute))
		x.When(fit("n-1")).ThenNothing()
		x.When(fit("n-2")).ThenNothing()
	})
	t.Run("it was right: its submission says nothing new", func(t *testing.T) {
		given(t, rep, fit("n-1")).When(sub).Then(registered(sub))
	})
	t.Run("it was wrong: the submission confirms the right one", func(t *testing.T) {
		x := given(t, rep, fit("n-2")).When(sub).Then(registered(sub), matched(rep, "n-1", receipt.BySubmission, time.Second))
		x.When(sub).ThenNothing()
	})
	t.Run("not of a receipt that its submission explains", func(t *testing.T) {
		given(t, sub, rep).When(fit("n-2")).ThenNothing()
	})
}

func TestOccurredAt(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "ada", second)
	sub.At, rep.At = at(time.Hour), at(time.Hour)
	for _, c := range []struct {
		event interface{ OccurredAt() time.Time }
		want  time.Duration
	}{
		{registered(sub).(receipt.SubmissionRegistered), 0},
		{recorded(rep).(receipt.ReceiptRecorded), second},
		{matched(rep, "n-1", receipt.ByFit, time.Minute), time.Minute},
		{receipt.ReceiptAmbiguous{At: at(time.Minute)}, time.Minute},
	} {
		if got := c.event.OccurredAt(); !got.Equal(at(c.want)) {
			t.Errorf("%T occurred at %v, want %v", c.event, got, at(c.want))
		}
	}
}

// In whatever order submissions and receipts come, and however often: every command
// twice is once, no state is written to, and a pair that fits and fits nothing else is
// matched exactly once.
func TestEveryPairIsMatchedOnceInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := []string{"ada", "bert", "carla"}
		var commands []receipt.Command
		var pairs []string
		for i, token := range tokens {
			if rapid.Bool().Draw(t, "submitted") {
				commands = append(commands, submission(fmt.Sprint("n-", i), token, 0))
				for j := range rapid.IntRange(0, 2).Draw(t, "receipts") {
					id := fmt.Sprint("r-", token, j)
					commands = append(commands, report(id, token, time.Duration(j)*time.Minute))
					pairs = append(pairs, fmt.Sprintf("n-%d %s", i, id))
				}
			} else if rapid.Bool().Draw(t, "orphan") {
				commands = append(commands, report("r-"+token, token, 0))
			}
		}
		if len(commands) == 0 {
			return
		}
		commands = append(commands, rapid.SliceOfN(rapid.SampledFrom(commands), 0, 10).Draw(t, "repeated")...)
		commands = rapid.Permutation(commands).Draw(t, "order")

		states := []receipt.State{receipt.Decider.Initial()}
		var events []happens
		matches := map[string]int{}
		for _, c := range commands {
			s := states[len(states)-1]
			decided, err := receipt.Decide(s, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range decided {
				s = receipt.Evolve(s, e)
				events, states = append(events, e), append(states, s)
				if e, ok := e.(receipt.ReceiptMatched); ok {
					matches[e.Notification+" "+e.ReceiptID]++
				}
			}
			if again, _ := receipt.Decide(s, c); len(again) > 0 {
				t.Fatalf("%T twice decides twice", c)
			}
		}
		for _, pair := range pairs {
			if matches[pair] != 1 {
				t.Fatalf("%s is matched %d times", pair, matches[pair])
			}
		}
		if len(matches) != len(pairs) {
			t.Fatalf("%v, of %v", matches, pairs)
		}
		s := receipt.Decider.Initial()
		for i, e := range events {
			s = receipt.Evolve(s, e)
			if diff := cmp.Diff(s, states[i+1], cmp.Exporter(exported)); diff != "" {
				t.Fatalf("a state was written to: %s", diff)
			}
		}
	})
}

// Two writers that start from one state each see only what they folded themselves.
func TestTwoFuturesOfOneStateDoNotMeet(t *testing.T) {
	kinds := map[string]func(i int, by string) happens{
		"submissions": func(i int, by string) happens { return registered(submission(fmt.Sprint(i, by), "ada", 0)) },
		"receipts":    func(i int, by string) happens { return recorded(report(fmt.Sprint(i, by), "ada", 0)) },
		"matched": func(i int, by string) happens {
			return matched(report(fmt.Sprint(i, by), "ada", 0), by, receipt.BySubmission, 0)
		},
		"ambiguous": func(i int, by string) happens { return ambiguous(fmt.Sprint(i, by), 2, 0) },
	}
	for name, event := range kinds {
		t.Run(name, func(t *testing.T) {
			var history []happens
			fold := receipt.Decider.Fold
			for i := range 20 {
				base := fold(receipt.State{}, history...)
				one, other := receipt.Evolve(base, event(i, "one")), receipt.Evolve(base, event(i, "other"))
				for _, c := range []struct {
					held receipt.State
					want []happens
				}{{base, history}, {one, append(history[:i:i], event(i, "one"))}, {other, append(history[:i:i], event(i, "other"))}} {
					if diff := cmp.Diff(fold(receipt.State{}, c.want...), c.held, cmp.Exporter(exported)); diff != "" {
						t.Fatalf("after %d events, a state was written to (-folded +held):\n%s", i, diff)
					}
				}
				history = append(history, event(i, "one"))
			}
		})
	}
}
