package receipt_test

import (
	"testing"
	"time"

	"recapito/domain/receipt"
)

func TestRecordingMatchesNothingByItself(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "ada", 9*second)
	x := given(t, sub).When(rep).Then(recorded(rep))
	x = x.When(match("r-1", 10*second)).Then(matched(rep, "n-1", receipt.ByID, 10*second))
	x.When(match("r-1", 11*second)).ThenNothing()
	x.When(rep).ThenNothing()
	x.When(sub).ThenNothing()
}

// The receipt came before the answer to its submit was known: its registration asks for
// another look.
func TestAReceiptThatCameFirst(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "ada", -5*second)
	x := given(t, rep).When(match("r-1", -4*second)).ThenNothing()
	x = x.When(sub).Then(registeredLate(sub, "r-1"))
	x = x.When(match("r-1", second)).Then(matched(rep, "n-1", receipt.ByID, second))
	x.When(sub).ThenNothing()

	t.Run("one that cannot be its own does not ask", func(t *testing.T) {
		for _, other := range []receipt.RecordReceipt{report("r-1", "bert", 0), report("r-1", "ada", -early-1), report("r-1", "", window+1)} {
			given(t, other).When(sub).Then(registered(sub))
		}
	})
}

// A submission is open for a receipt received between its acceptance − k and + w.
func TestOpenFromEarlyToWindow(t *testing.T) {
	x := given(t, submission("n-1", "ada", 0))
	for _, c := range []struct {
		received time.Duration
		open     bool
	}{{-early - 1, false}, {-early, true}, {0, true}, {window, true}, {window + 1, false}} {
		for _, token := range []string{"ada", ""} {
			rep := report("r-1", token, c.received)
			y := x.When(rep).Then(recorded(rep))
			if c.open {
				y.When(match("r-1", c.received)).Then(matched(rep, "n-1", receipt.ByID, c.received))
			} else {
				y.When(match("r-1", c.received)).ThenNothing()
			}
		}
	}
}

// Open whatever was received for it before.
func TestOpenWhateverWasReceivedBefore(t *testing.T) {
	first, second2 := report("r-1", "ada", 9*second), report("r-2", "", 10*second)
	second2.Status = "undelivered"
	x := given(t, submission("n-1", "ada", 0), first, match("r-1", 9*second), second2)
	x.When(match("r-2", 11*second)).Then(matched(second2, "n-1", receipt.ByID, 11*second))
}

// One open submission is the receipt's, whatever its address looks like, unless that is
// complete and another.
func TestOneSubmission(t *testing.T) {
	for _, c := range []struct {
		name, token string
		key         string // of the submission's token
		matches     bool
	}{
		{"its own address", "ada", "key", true},
		{"its own address, not known to be complete", "~ada", "key", true},
		{"no address that can be read: masked, absent", "", "key", true},
		{"another address, not known to be complete: partial, national, swapped", "~bert", "key", true},
		{"another complete address contradicts", "bert", "key", false},
		{"tokens under other keys contradict nothing", "bert", "expired key", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub, rep := submission("n-1", "ada", 0), report("r-1", c.token, second)
			sub.TokenKey = c.key
			x := given(t, sub, rep)
			d := x.When(match("r-1", second))
			if c.matches {
				d.Then(matched(rep, "n-1", receipt.ByID, second))
				return
			}
			d.ThenNothing()
			if _, why := x.State().About(match("r-1", second)); why != receipt.Contradicts {
				t.Errorf("it is left with %q", why)
			}
			x.When(fitted("r-1", "n-2", second)).Then(matched(rep, "n-2", receipt.ByFit, second))
		})
	}
}

// Several open submissions: the one with the receipt's token, else none.
func TestSeveralSubmissions(t *testing.T) {
	ada, bert := submission("n-1", "ada", 0), submission("n-2", "bert", time.Hour)
	x := given(t, ada, bert)
	for _, c := range []struct{ token, notification string }{
		{"ada", "n-1"}, {"~ada", "n-1"}, {"bert", "n-2"}, {"~bert", "n-2"}, {"~carla", ""}, {"", ""},
	} {
		rep := report("r-1", c.token, 2*time.Hour)
		y := x.When(rep).Then(recorded(rep))
		if c.notification == "" {
			y = y.When(match("r-1", 2*time.Hour)).Then(ambiguous("r-1", 2, 2*time.Hour))
			y.When(match("r-1", 3*time.Hour)).ThenNothing()
			continue
		}
		y.When(match("r-1", 2*time.Hour)).Then(matched(rep, c.notification, receipt.ByID, 2*time.Hour))
	}
	t.Run("a complete address leaves only its own", func(t *testing.T) {
		rep := report("r-1", "carla", 2*time.Hour)
		x.When(rep).Then(recorded(rep)).When(match("r-1", 2*time.Hour)).ThenNothing()
	})
	t.Run("two of one destination", func(t *testing.T) {
		rep := report("r-1", "ada", 2*time.Hour)
		y := given(t, ada, submission("n-2", "ada", time.Hour), rep)
		y.When(match("r-1", 2*time.Hour)).Then(ambiguous("r-1", 2, 2*time.Hour))
	})
	t.Run("one that is not open any more does not count", func(t *testing.T) {
		late := submission("n-2", "ada", 2*window)
		y := given(t, ada, late)
		for _, c := range []struct {
			received     time.Duration
			notification string
		}{
			{window, "n-1"}, {window + 1, ""}, {2*window - early - 1, ""}, {2*window - early, "n-2"}, {3 * window, "n-2"},
		} {
			rep := report("r-1", "", c.received)
			z := y.When(rep).Then(recorded(rep))
			if c.notification == "" {
				z.When(match("r-1", c.received)).ThenNothing()
			} else {
				z.When(match("r-1", c.received)).Then(matched(rep, c.notification, receipt.ByID, c.received))
			}
		}
	})
	t.Run("two units of one attempt under one id", func(t *testing.T) {
		two, rep := submission("n-1", "ada", 0), report("r-1", "ada", time.Hour)
		two.Unit = 2
		y := given(t, ada).When(two).Then(registered(two)) // no id that came back
		y.When(rep).Then(recorded(rep)).When(match("r-1", time.Hour)).Then(ambiguous("r-1", 2, time.Hour))
	})
}

// Attempts of the receipt's token that will never be registered: the id decides, unless
// the route's ids come back. Then they are candidates as well as the submissions.
func TestUnregisteredAttempts(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "ada", second)
	t.Run("the id decides", func(t *testing.T) {
		given(t, sub, rep).When(rivalled("r-1", 1, second)).Then(matched(rep, "n-1", receipt.ByID, second))
		given(t, sub, rep).When(fitted("r-1", "n-2", second)).Then(matched(rep, "n-1", receipt.ByID, second))
	})
	x := given(t, sub, rep).When(whereReused(rivalled("r-1", 1, second))).Then(ambiguous("r-1", 2, second))
	t.Run("where ids come back, until they are settled", func(t *testing.T) {
		x.When(whereReused(rivalled("r-1", 1, time.Hour))).ThenNothing()
		x.When(whereReused(match("r-1", time.Minute))).Then(matched(rep, "n-1", receipt.ByID, time.Minute))
	})
	t.Run("or one is registered here, with the token", func(t *testing.T) {
		partial := report("r-2", "~ada", 2*second)
		bert := submission("n-2", "bert", second)
		y := given(t, bert, partial).When(whereReused(rivalled("r-2", 1, 2*second))).Then(ambiguous("r-2", 2, 2*second))
		late := submission("n-1", "ada", 3*second)
		y = y.When(late).Then(registeredLate(late, "r-2"), reused(3*second))
		y.When(whereReused(match("r-2", time.Minute))).Then(matched(partial, "n-1", receipt.ByID, time.Minute))
	})
	t.Run("without a submission of the id they decide nothing", func(t *testing.T) {
		given(t, rep).When(rivalled("r-1", 2, second)).ThenNothing()
		given(t, rep).When(whereReused(rivalled("r-1", 2, second))).ThenNothing()
	})
}

// A second submission within w of another under one id: the route's ids come back.
func TestIDsThatComeBack(t *testing.T) {
	ada := submission("n-1", "ada", 0)
	for _, d := range []time.Duration{0, time.Hour, window} {
		bert := submission("n-2", "bert", d)
		x := given(t, ada).When(bert).Then(registered(bert), reused(d))
		carla := submission("n-3", "carla", d)
		x.When(carla).Then(registered(carla)) // once a stream
		// In the order in which they are registered, not in that of their acceptance.
		given(t, bert).When(ada).Then(registered(ada), reused(0))
	}
	after := submission("n-2", "bert", window+1)
	given(t, ada).When(after).Then(registered(after))
	retried := submission("n-1", "ada", time.Hour)
	retried.Attempt = 2
	given(t, ada).When(retried).Then(registered(retried), reused(time.Hour))

	t.Run("an equal token is needed there", func(t *testing.T) {
		for token, matches := range map[string]bool{"ada": true, "~ada": true, "": false, "~bert": false} {
			rep := report("r-1", token, second)
			x := given(t, ada, rep)
			d := x.When(whereReused(match("r-1", second)))
			if matches {
				d.Then(matched(rep, "n-1", receipt.ByID, second))
				continue
			}
			d.ThenNothing()
			if _, why := x.State().About(whereReused(match("r-1", second))); why != receipt.NeedsToken {
				t.Errorf("%q is left with %q", token, why)
			}
		}
	})
}

func TestFit(t *testing.T) {
	rep := report("r-1", "ada", 2*second)
	sub := submission("n-1", "ada", second)
	t.Run("of no receipt", func(t *testing.T) {
		given(t).When(fitted("r-1", "n-1", second)).ThenError(receipt.ErrNoReceipt)
		given(t, sub).When(match("r-1", second)).ThenError(receipt.ErrNoReceipt)
	})
	t.Run("once, and to one only", func(t *testing.T) {
		x := given(t, rep).When(fitted("r-1", "n-1", time.Minute)).Then(matched(rep, "n-1", receipt.ByFit, time.Minute))
		x.When(fitted("r-1", "n-1", time.Minute)).ThenNothing()
		x.When(fitted("r-1", "n-2", time.Minute)).ThenNothing()
	})
	t.Run("it was right: its submission changes nothing", func(t *testing.T) {
		x := given(t, rep, fitted("r-1", "n-1", time.Minute)).When(sub).Then(registered(sub))
		x.When(match("r-1", time.Hour)).ThenNothing()
	})
	t.Run("it was wrong: the submission confirms the right one", func(t *testing.T) {
		x := given(t, rep, fitted("r-1", "n-2", time.Minute)).When(sub).Then(registeredLate(sub, "r-1"))
		x = x.When(match("r-1", time.Hour)).Then(matched(rep, "n-1", receipt.ByID, time.Hour))
		x.When(match("r-1", time.Hour)).ThenNothing()
	})
	t.Run("not of a receipt that a submission may explain", func(t *testing.T) {
		given(t, sub, rep).When(whereReused(fitted("r-1", "n-2", time.Minute))).Then(ambiguous("r-1", 2, time.Minute))
		given(t, sub, rep, match("r-1", 3*second)).When(fitted("r-1", "n-2", time.Minute)).ThenNothing()
	})
}

func TestWhyAReceiptIsMatchedToNothing(t *testing.T) {
	sub, rep := submission("n-1", "ada", 0), report("r-1", "~bert", second)
	for want, x := range map[receipt.Reason]example{
		receipt.NoSubmission: given(t, rep),
		receipt.Matched:      given(t, sub, rep, match("r-1", second)),
		receipt.Ambiguous:    given(t, sub, submission("n-2", "carla", 0), rep),
	} {
		if _, got := x.State().About(match("r-1", second)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if to, got := given(t, rep, fitted("r-1", "n-2", second)).State().About(match("r-1", second)); got != receipt.Matched || to.Notification != "n-2" {
		t.Errorf("fitted: %q", got)
	}
	if to, got := given(t, rep).State().About(fitted("r-1", "n-2", second)); got != receipt.Matched || to.Notification != "n-2" {
		t.Errorf("to be fitted: %q", got)
	}
	if to, got := given(t, rep, sub).State().About(match("r-1", second)); got != receipt.Matched || to.Notification != "n-1" || to.Tenant != "acme" {
		t.Errorf("to be matched: %q", got)
	}
	if _, got := given(t).State().About(match("r-1", second)); got != receipt.NoSubmission {
		t.Errorf("not recorded: %q", got)
	}
}
