package domaintest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"recapito/domain/domaintest"
	"recapito/domain/event"
	"recapito/domain/personal"
)

// A door with a name on it: the smallest decider that can decide, do nothing and refuse.

type opened struct{ By personal.Value }

type open struct{ by personal.Value }

var errOpen = &event.Rule{Code: "open", Message: "the door is open"}

var door = event.Decider[int, open, opened]{
	Initial: func() int { return 0 },
	Evolve:  func(n int, _ opened) int { return n + 1 },
	Decide: func(n int, c open) ([]opened, error) {
		switch {
		case n == 0:
			return []opened{{By: c.by}}, nil
		case n == 1:
			return nil, nil
		}
		return nil, errOpen
	},
}

// recorder takes the place of a test that is to fail.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure answers what a test says as it fails, "" if it passes.
func failure(test func(t testing.TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(r)
	}()
	<-done
	return r.said
}

var (
	anna = personal.New(personal.Ref{Person: "p-1", Key: "k-1"}, "Anna Secretovna")
	bert = personal.New(personal.Ref{Person: "p-2", Key: "k-2"}, "Bert Hiddenmann")
)

func TestExamplesThatHold(t *testing.T) {
	x := domaintest.For(t, door).When(open{anna}).Then(opened{anna})
	if x.State() != 1 {
		t.Error("the example does not go on after what was decided")
	}
	x.When(open{bert}).ThenNothing()
	x.Given(opened{bert}).When(open{bert}).ThenError(errOpen)
	domaintest.For(t, door).After(open{anna}, open{bert}).When(open{bert}).ThenNothing()
}

func TestExamplesThatDoNotHold(t *testing.T) {
	for name, test := range map[string]func(t testing.TB){
		"another event": func(t testing.TB) { domaintest.For(t, door).When(open{anna}).Then(opened{bert}) },
		"nothing":       func(t testing.TB) { domaintest.For(t, door).When(open{anna}).ThenNothing() },
		"an error":      func(t testing.TB) { domaintest.For(t, door).When(open{anna}).ThenError(errOpen) },
		"no error":      func(t testing.TB) { domaintest.For(t, door).Given(opened{}, opened{}).When(open{anna}).Then() },
		"another rule": func(t testing.TB) {
			domaintest.For(t, door).Given(opened{}, opened{}).When(open{anna}).ThenError(&event.Rule{Code: "x"})
		},
		"an impossible given": func(t testing.TB) { domaintest.For(t, door).Given(opened{}, opened{}).After(open{anna}) },
	} {
		said := failure(test)
		if said == "" {
			t.Errorf("%s: the example passes", name)
		}
		for _, secret := range []string{"Anna", "Secret", "Bert", "Hidden"} {
			if strings.Contains(said, secret) {
				t.Errorf("%s: the failure shows a personal value", name)
			}
		}
	}
}

func TestValuesOfOnePersonThatDifferAreToldApart(t *testing.T) {
	other := personal.New(anna.Ref(), "Anna Maria")
	diff := domaintest.Diff([]personal.Value{anna}, []personal.Value{other})
	if diff == "" || strings.Contains(diff, "Anna") {
		t.Error("a difference is missed, or shown in clear")
	}
	if diff := domaintest.Diff(anna, personal.New(anna.Ref(), "Anna Secretovna")); diff != "" {
		t.Error(diff)
	}
	if domaintest.Diff(anna, personal.Erased(anna.Ref())) == "" {
		t.Error("an erased value is taken for a clear one")
	}
}
