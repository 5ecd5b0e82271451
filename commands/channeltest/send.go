package channeltest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands"
	"recapito/domain/event"
)

func testParts(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	for _, parts := range []int{1, p.MaxParts} {
		got, err := p.Channel.Parts(p.Message(1, parts).Text)
		if err != nil || got != parts {
			t.Errorf("a text of %d parts makes %d, %v", parts, got, err)
		}
	}
	if p.TooLong == "" {
		return
	}
	_, err := p.Channel.Parts(p.TooLong)
	var rule *event.Rule
	if !errors.As(err, &rule) || rule.Code != "text_too_long" {
		t.Errorf("a text too long: %v", err)
	}
	m := p.Message(1, 1)
	m.Text = p.TooLong
	out := p.Channel.Send(within(t, patience), m, always, nil)
	if len(out.Parts) != 1 || out.Parts[0].Result != commands.PartRefused || out.Parts[0].Code == "" || out.Parts[0].Transient {
		t.Errorf("sent all the same: %+v", out)
	}
	if n := len(p.Arrived()); n != 0 {
		t.Errorf("%d parts arrived", n)
	}
}

func testAccepted(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	m := p.Message(1, 1)
	before := time.Now()
	out := p.Channel.Send(within(t, patience), m, always, func(commands.Outcome) { t.Error("late was called") })
	if diff := cmp.Diff(same(commands.PartAccepted, 1), results(out)); diff != "" {
		t.Fatal(diff)
	}
	part := out.Parts[0]
	if part.ProviderID == "" || part.Code != "" || part.At.Before(before.Add(-time.Second)) || part.At.After(time.Now().Add(time.Second)) {
		t.Errorf("outcome %+v", part)
	}
	if diff := cmp.Diff([]Arrival{{m.Reference, 1}}, p.Arrived()); diff != "" {
		t.Error(diff)
	}
}

func testPartsInOrder(t *testing.T, open Open) {
	p := openParts(t, open)
	m := p.Message(1, p.MaxParts)
	out := p.Channel.Send(within(t, patience), m, always, nil)
	if diff := cmp.Diff(same(commands.PartAccepted, p.MaxParts), results(out)); diff != "" {
		t.Fatal(diff)
	}
	ids := map[string]bool{}
	var want []Arrival
	for i, part := range out.Parts {
		ids[part.ProviderID] = true
		want = append(want, Arrival{m.Reference, i + 1})
	}
	if len(ids) != p.MaxParts {
		t.Errorf("%d parts have %d ids", p.MaxParts, len(ids))
	}
	if diff := cmp.Diff(want, p.Arrived()); diff != "" {
		t.Error(diff)
	}
}

// openParts opens a peer whose messages have parts, or skips.
func openParts(t *testing.T, open Open) Peer {
	t.Helper()
	p, _ := openPeer(t, open)
	if p.MaxParts < 3 {
		t.Skip("no parts here")
	}
	return p
}

func testFenceShut(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	out := p.Channel.Send(within(t, patience), p.Message(1, 1), func() bool { return false }, nil)
	if diff := cmp.Diff(same(commands.PartNotSent, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	// What comes after would arrive after it.
	p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	if got := p.Arrived(); len(got) != 1 || got[0].Reference != p.Message(2, 1).Reference {
		t.Errorf("arrived: %v", got)
	}
}

func testFenceShutsBetweenParts(t *testing.T, open Open) {
	p := openParts(t, open)
	asked := 0
	out := p.Channel.Send(within(t, patience), p.Message(1, 3), func() bool { asked++; return asked < 3 }, nil)
	want := []commands.PartResult{commands.PartAccepted, commands.PartAccepted, commands.PartNotSent}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Error(diff)
	}
	if asked != 3 {
		t.Errorf("the fence was asked %d times for 3 parts", asked)
	}
	if n := len(p.Arrived()); n != 2 {
		t.Errorf("%d parts arrived", n)
	}
}

func testContextEnded(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := p.Channel.Send(ctx, p.Message(1, 1), always, nil)
	if len(out.Parts) != 1 || out.Parts[0].Result == commands.PartAccepted || out.Parts[0].Result == commands.PartRefused {
		t.Errorf("outcome %+v", out)
	}
}

func testRefused(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	for i, b := range []Behaviour{{Refuse: true}, {RefuseForNow: true}} {
		p.Behave(b)
		out := p.Channel.Send(within(t, patience), p.Message(i, 1), always, func(commands.Outcome) { t.Error("late was called") })
		if diff := cmp.Diff(same(commands.PartRefused, 1), results(out)); diff != "" {
			t.Fatal(diff)
		}
		part := out.Parts[0]
		if part.Code == "" || part.Transient != b.RefuseForNow || part.ProviderID != "" {
			t.Errorf("outcome %+v", part)
		}
	}
	if n := len(p.Arrived()); n != 2 {
		t.Errorf("%d arrivals of 2 messages: a channel does not retry", n)
	}
}

func testRefusedStopsParts(t *testing.T, open Open) {
	p := openParts(t, open)
	p.Behave(Behaviour{RefuseForNow: true})
	out := p.Channel.Send(within(t, patience), p.Message(1, 3), always, nil)
	want := []commands.PartResult{commands.PartRefused, commands.PartNotSent, commands.PartNotSent}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Error(diff)
	}
	if n := len(p.Arrived()); n != 1 {
		t.Errorf("%d parts arrived", n)
	}
}

func testSilent(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	p.Behave(Behaviour{Silent: true})
	begun := time.Now()
	out := p.Channel.Send(within(t, 200*time.Millisecond), p.Message(1, 1), always, func(commands.Outcome) { t.Error("late was called") })
	if diff := cmp.Diff(same(commands.PartUnknown, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("Send of 200ms took %v", d)
	}
	p.Behave(Behaviour{})
	out = p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	if diff := cmp.Diff(same(commands.PartAccepted, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	if n := len(p.Arrived()); n != 2 {
		t.Errorf("%d arrivals of 2 messages", n)
	}
}

func testLate(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	if !p.Late {
		t.Skip("no late answers here")
	}
	p.Behave(Behaviour{Latency: 300 * time.Millisecond})
	late := make(chan commands.Outcome, 2)
	out := p.Channel.Send(within(t, 50*time.Millisecond), p.Message(1, 1), always, func(o commands.Outcome) { late <- o })
	if diff := cmp.Diff(same(commands.PartUnknown, 1), results(out)); diff != "" {
		t.Fatal(diff)
	}
	select {
	case got := <-late:
		if diff := cmp.Diff(same(commands.PartAccepted, 1), results(got)); diff != "" {
			t.Error(diff)
		}
		if got.Parts[0].ProviderID == "" || got.Parts[0].At.Before(out.Parts[0].At) {
			t.Errorf("late outcome %+v", got.Parts[0])
		}
	case <-time.After(patience):
		t.Fatal("the late answer was not told")
	}
}

func testLatePartsOnce(t *testing.T, open Open) {
	p := openParts(t, open)
	if !p.Late {
		t.Skip("no late answers here")
	}
	p.Behave(Behaviour{Latency: 300 * time.Millisecond})
	late := make(chan commands.Outcome, 4)
	// The first part's answer is in time, the others' are not.
	out := p.Channel.Send(within(t, 450*time.Millisecond), p.Message(1, 3), always, func(o commands.Outcome) { late <- o })
	unknown := 0
	for _, part := range out.Parts {
		if part.Result == commands.PartUnknown {
			unknown++
		}
	}
	if unknown == 0 {
		t.Fatalf("outcome %v: nothing is unknown", results(out))
	}
	select {
	case got := <-late:
		for i, part := range got.Parts {
			if out.Parts[i].Result == commands.PartNotSent {
				continue
			}
			if part.Result != commands.PartAccepted {
				t.Errorf("late outcome %v", results(got))
			}
		}
	case <-time.After(patience):
		t.Fatal("the late answers were not told")
	}
	p.Behave(Behaviour{})
	p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	if n := len(late); n != 0 {
		t.Errorf("late was called %d times more", n)
	}
}

func testSessionCut(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	if p.Cut == nil {
		t.Skip("no sessions here")
	}
	p.Behave(Behaviour{Silent: true})
	var returned atomic.Bool
	got := make(chan commands.Outcome, 1)
	begun := time.Now()
	go func() {
		out := p.Channel.Send(within(t, patience), p.Message(1, 1), always, func(commands.Outcome) { t.Error("late was called") })
		returned.Store(true)
		got <- out
	}()
	eventually(t, "the message arrives", func() bool { return len(p.Arrived()) == 1 })
	if returned.Load() {
		t.Fatal("Send returned without an answer")
	}
	p.Cut()
	out := <-got
	if diff := cmp.Diff(same(commands.PartUnknown, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	if d := time.Since(begun); d > patience/2 {
		t.Errorf("a lost session was told after %v", d)
	}
	p.Behave(Behaviour{})
	// A session that is lost but not yet known to be may still take one down with it.
	n := 1
	eventually(t, "the channel comes back", func() bool {
		n++
		out := p.Channel.Send(within(t, time.Second), p.Message(n, 1), always, nil)
		return len(out.Parts) == 1 && out.Parts[0].Result == commands.PartAccepted
	})
	count := map[string]int{}
	for _, a := range p.Arrived() {
		if count[a.Reference]++; count[a.Reference] > 1 {
			t.Errorf("%s arrived twice", a.Reference)
		}
	}
}
