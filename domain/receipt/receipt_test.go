package receipt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/domain/receipt"
)

// The same content is a repeat only while the submission that its first was matched to
// is open; later the provider has given the id again.
func TestRepeats(t *testing.T) {
	sub, first := submission("n-1", "ada", 0), report("r-1", "ada", time.Hour)
	again := func(d time.Duration) receipt.RecordReceipt {
		c := report("r-1", "ada", d)
		c.DoneAt = first.DoneAt
		return c
	}
	t.Run("of a matched receipt", func(t *testing.T) {
		x := given(t, sub, first, match("r-1", time.Hour))
		x.When(again(window)).ThenNothing()
		later := again(window + 1)
		events, err := receipt.Decide(x.State(), later)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		r := events[0].(receipt.ReceiptRecorded).Receipt
		if r.ID == "r-1" || r.Content != "r-1" {
			t.Errorf("the new receipt has the id %q, the content of %q", r.ID, r.Content)
		}
		x = x.Given(events...)
		x.When(later).ThenNothing()
		next := submission("n-2", "ada", window+1)
		x = x.When(next).Then(receipt.SubmissionRegistered{Submission: next.Submission, Waiting: []string{r.ID}, At: next.At})
		matchedTo := matched(later, "n-2", receipt.ByID, 2*window)
		matchedTo.ReceiptID = r.ID
		x = x.When(match(r.ID, 2*window)).Then(matchedTo)
		x.When(again(2*window + 1)).ThenNothing()
		third := again(2*window + 2)
		if events, _ := receipt.Decide(x.State(), third); len(events) != 1 || events[0].(receipt.ReceiptRecorded).ID == r.ID {
			t.Errorf("the third receipt of one content: %v", events)
		}
	})
	t.Run("of a receipt that was matched to nothing", func(t *testing.T) {
		x := given(t, first)
		x.When(again(time.Hour + window)).ThenNothing()
		if events, _ := receipt.Decide(x.State(), again(time.Hour+window+1)); len(events) != 1 {
			t.Errorf("later it is no repeat, and %d events", len(events))
		}
	})
	t.Run("other content is no repeat", func(t *testing.T) {
		other := report("r-2", "ada", 2*time.Hour)
		given(t, sub, first).When(other).Then(recorded(other))
	})
}

func TestReceiptsThatNameTheirAttempt(t *testing.T) {
	echoed := report("r-1", "ada", second)
	echoed.Notification, echoed.Attempt, echoed.Unit = "n-1", 1, 1
	byReference := matched(echoed, "n-1", receipt.ByReference, second)
	byReference.Tenant = "" // it is not known here
	sub := submission("n-1", "ada", 2*second)

	t.Run("at once, before any submission", func(t *testing.T) {
		x := given(t).When(echoed).Then(recorded(echoed), byReference)
		x.When(echoed).ThenNothing()
		x = x.When(sub).Then(registered(sub))
		x.When(match("r-1", time.Minute)).ThenNothing()
		x.When(fitted("r-1", "n-2", time.Minute)).ThenNothing()
	})
	t.Run("with its submission, once", func(t *testing.T) {
		x := given(t, submission("n-1", "ada", 0)).When(echoed).Then(recorded(echoed), byReference)
		x.When(match("r-1", time.Minute)).ThenNothing()
	})
	t.Run("content that comes back is matched again", func(t *testing.T) {
		later := echoed
		later.ReceivedAt = at(2 * window)
		events, _ := receipt.Decide(given(t, echoed).State(), later)
		if len(events) != 2 || events[1].(receipt.ReceiptMatched).ReceiptID != events[0].(receipt.ReceiptRecorded).ID {
			t.Errorf("%v", events)
		}
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
		{receipt.ProviderIDReused{At: at(time.Minute)}, time.Minute},
	} {
		if got := c.event.OccurredAt(); !got.Equal(at(c.want)) {
			t.Errorf("%T occurred at %v, want %v", c.event, got, at(c.want))
		}
	}
}

// matchAll issues what the matcher issues in the end: a match of every receipt.
func matchAll(t *rapid.T, s receipt.State) (receipt.State, []happens) {
	var all []happens
	for _, r := range s.Receipts {
		events, err := receipt.Decide(s, match(r.ID, 0))
		if err != nil {
			t.Fatal(err)
		}
		s = receipt.Decider.Fold(s, events...)
		all = append(all, events...)
	}
	return s, all
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
					commands = append(commands, report(id, token, time.Duration(j)*time.Minute), match(id, 0))
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
		fold := func(decided []happens) {
			for _, e := range decided {
				events, states = append(events, e), append(states, receipt.Evolve(states[len(states)-1], e))
				if e, ok := e.(receipt.ReceiptMatched); ok {
					matches[e.Notification+" "+e.ReceiptID]++
				}
			}
		}
		for _, c := range commands {
			decided, err := receipt.Decide(states[len(states)-1], c)
			if _, ok := c.(receipt.MatchReceipt); err != nil && !ok {
				t.Fatal(err)
			}
			fold(decided)
			if again, _ := receipt.Decide(states[len(states)-1], c); len(again) > 0 {
				t.Fatalf("%T twice decides twice", c)
			}
		}
		_, decided := matchAll(t, states[len(states)-1])
		fold(decided)
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
			return matched(report(fmt.Sprint(i, by), "ada", 0), by, receipt.ByID, 0)
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
