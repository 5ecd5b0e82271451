// Package domaintest tests deciders by example: given these events, when this command
// comes, then these events are decided, or none, or this rule is broken.
//
//	domaintest.For(t, notification.Decider).
//		Given(requested, enriched, scheduled).
//		When(notification.Claim{…}).
//		Then(notification.NotificationDispatched{…})
//
// What it prints shows of a personal value only whose it is and whether it is the
// same as another one.
package domaintest

import (
	"errors"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/domain/event"
	"recapito/domain/personal"
)

// For begins an example of a decider.
func For[S, C, E any](t testing.TB, d event.Decider[S, C, E]) Example[S, C, E] {
	return Example[S, C, E]{t: t, decider: d}
}

// Example is a decider and what has happened so far.
type Example[S, C, E any] struct {
	t       testing.TB
	decider event.Decider[S, C, E]
	history []E
}

// Given adds events to what has happened.
func (x Example[S, C, E]) Given(events ...E) Example[S, C, E] {
	x.history = append(slices.Clip(x.history), events...)
	return x
}

// After adds what the commands decide, one after the other, to what has happened. A
// command that breaks a rule ends the test.
func (x Example[S, C, E]) After(commands ...C) Example[S, C, E] {
	x.t.Helper()
	for _, c := range commands {
		events, err := x.decider.Decide(x.State(), c)
		if err != nil {
			x.t.Fatalf("%T, which leads to what is given: %v", c, err)
		}
		x = x.Given(events...)
	}
	return x
}

// State folds what has happened.
func (x Example[S, C, E]) State() S {
	return x.decider.Fold(x.decider.Initial(), x.history...)
}

// When decides a command.
func (x Example[S, C, E]) When(c C) Decision[S, C, E] {
	events, err := x.decider.Decide(x.State(), c)
	return Decision[S, C, E]{example: x, command: c, events: events, err: err}
}

// Decision is what a decider made of a command.
type Decision[S, C, E any] struct {
	example Example[S, C, E]
	command C
	events  []E
	err     error
}

// Then expects exactly these events, and returns the example as it goes on after them.
func (d Decision[S, C, E]) Then(want ...E) Example[S, C, E] {
	t := d.example.t
	t.Helper()
	if d.err != nil {
		t.Fatalf("%T is refused: %v", d.command, d.err)
	}
	if diff := Diff(want, d.events); diff != "" {
		t.Fatalf("%T decides otherwise (-want +got):\n%s", d.command, diff)
	}
	return d.example.Given(d.events...)
}

// ThenNothing expects that the command decides nothing.
func (d Decision[S, C, E]) ThenNothing() Example[S, C, E] {
	d.example.t.Helper()
	return d.Then()
}

// ThenError expects the command to break a rule.
func (d Decision[S, C, E]) ThenError(rule error) {
	t := d.example.t
	t.Helper()
	switch {
	case d.err == nil:
		t.Fatalf("%T decides %d events; it must be refused: %v", d.command, len(d.events), rule)
	case !errors.Is(d.err, rule):
		t.Fatalf("%T is refused by another rule: got %q, want %q", d.command, d.err, rule)
	case len(d.events) > 0:
		t.Fatalf("%T is refused, and decides %d events all the same", d.command, len(d.events))
	}
}

// Diff compares two values as cmp.Diff does, empty lists being equal to none, and
// keeps personal values out of its answer.
func Diff(want, got any, opts ...cmp.Option) string {
	return cmp.Diff(want, got, append(opts, cmpopts.EquateEmpty(), concealed)...)
}

// concealed is compared and printed in place of a personal value: cmp looks behind a
// mask that hides a difference.
var concealed = cmp.Transformer("concealed", func(v personal.Value) conceal {
	clear, _ := v.Clear()
	return conceal{Shows: v.String(), Ref: v.Ref(), Fingerprint: maphash.String(seed, clear)}
})

var seed = maphash.MakeSeed() // another one in each process, so that nothing can be guessed back

type conceal struct {
	Shows       string
	Ref         personal.Ref
	Fingerprint uint64
}
