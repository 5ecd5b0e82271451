package event_test

import (
	"errors"
	"fmt"
	"testing"

	"recapito/domain/event"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter      event.Filter
		stream, typ string
		passes      bool
	}{
		{event.Filter{}, "notification-1", "A", true},
		{event.Filter{StreamPrefixes: []string{"receipt-", "notification-"}}, "notification-1", "A", true},
		{event.Filter{StreamPrefixes: []string{"receipt-"}}, "notification-1", "A", false},
		{event.Filter{StreamPrefixes: []string{"notification-"}}, "notification", "A", false},
		{event.Filter{Types: []string{"A", "B"}}, "x", "B", true},
		{event.Filter{Types: []string{"A"}}, "x", "AB", false},
		{event.Filter{StreamPrefixes: []string{"x"}, Types: []string{"A"}}, "x-1", "A", true},
		{event.Filter{StreamPrefixes: []string{"x"}, Types: []string{"A"}}, "y-1", "A", false},
		{event.Filter{StreamPrefixes: []string{"x"}, Types: []string{"A"}}, "x-1", "B", false},
	} {
		if got := c.filter.Passes(c.stream, c.typ); got != c.passes {
			t.Errorf("%+v lets %s, %s pass: %v", c.filter, c.stream, c.typ, got)
		}
		if c.filter.IsEmpty() != (len(c.filter.StreamPrefixes)+len(c.filter.Types) == 0) {
			t.Errorf("%+v: IsEmpty is wrong", c.filter)
		}
	}
}

func TestExpected(t *testing.T) {
	for _, c := range []struct {
		expected                 event.Expected
		any, none, exists, exact bool
		text                     string
	}{
		{event.Any(), true, false, false, false, "any"},
		{event.NoStream(), false, true, false, false, "no stream"},
		{event.StreamExists(), false, false, true, false, "stream exists"},
		{event.Exact(0), false, false, false, true, "revision 0"},
		{event.Exact(7), false, false, false, true, "revision 7"},
	} {
		e := c.expected
		revision, exact := e.Exactly()
		if e.IsAny() != c.any || e.IsNoStream() != c.none || e.IsStreamExists() != c.exists || exact != c.exact || e.String() != c.text {
			t.Errorf("%v is taken apart wrongly", e)
		}
		if exact && event.Exact(revision) != e {
			t.Errorf("%v: revision %d", e, revision)
		}
	}
}

func TestWrongVersionTellsWhatItFound(t *testing.T) {
	clash := &event.WrongVersion{Stream: "tenant-acme", Expected: event.Exact(3), Actual: 5}
	wrapped := fmt.Errorf("appending: %w", clash)
	var found *event.WrongVersion
	if !errors.Is(wrapped, event.ErrWrongVersion) || !errors.As(wrapped, &found) || found.Actual != 5 || errors.Is(wrapped, event.ErrUnavailable) {
		t.Error(wrapped)
	}
	if got := clash.Error(); got != "wrong expected version: tenant-acme is at revision 5, not revision 3" {
		t.Error(got)
	}
	none := &event.WrongVersion{Stream: "tenant-acme", Expected: event.StreamExists(), NoStream: true}
	if got := none.Error(); got != "wrong expected version: tenant-acme is at no stream, not stream exists" {
		t.Error(got)
	}
}

func TestRulesAreComparedByCode(t *testing.T) {
	rule := &event.Rule{Code: "in_flight", Message: "an attempt is being sent"}
	wrapped := fmt.Errorf("cancelling: %w", &event.Rule{Code: "in_flight", Message: "said otherwise"})
	if !errors.Is(wrapped, rule) || errors.Is(wrapped, &event.Rule{Code: "final"}) || errors.Is(errors.New("in_flight"), rule) {
		t.Error("rules are not told apart by their code")
	}
	if rule.Error() != "an attempt is being sent" {
		t.Error(rule.Error())
	}
}

func TestFold(t *testing.T) {
	d := event.Decider[string, struct{}, string]{
		Initial: func() string { return "" }, Evolve: func(s, e string) string { return s + e },
	}
	if got := d.Fold(d.Initial(), "a", "b", "c"); got != "abc" {
		t.Error(got)
	}
}
