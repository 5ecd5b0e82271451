package channeltest

import (
	stdcmp "cmp"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands/channel"
	"recapito/domain/event"
	"recapito/domain/notification"
)

func testParts(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	for _, units := range []int{1, p.MaxUnits} {
		got, err := p.Channel.Units(p.Message(1, units).Content)
		if err != nil || got != units {
			t.Errorf("a text of %d units makes %d, %v", units, got, err)
		}
	}
	if p.TooLong.Type == "" {
		return
	}
	_, err := p.Channel.Units(p.TooLong)
	var rule *event.Rule
	if want := stdcmp.Or(p.TooLongCode, "text_too_long"); !errors.As(err, &rule) || rule.Code != want {
		t.Errorf("a document over the limit: %v", err)
	}
	m := p.Message(1, 1)
	m.Content = p.TooLong
	out := p.Channel.Send(within(t, patience), m, always, nil)
	if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitRefused || out.Units[0].Code == "" || out.Units[0].Transient {
		t.Errorf("sent all the same: %+v", out)
	}
	if n := len(p.Arrived()); n != 0 {
		t.Errorf("%d units arrived", n)
	}
}

func testAccepted(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	m := p.Message(1, 1)
	before := time.Now()
	out := p.Channel.Send(within(t, patience), m, always, func(channel.Outcome) { t.Error("late was called") })
	if diff := cmp.Diff(same(notification.UnitAccepted, 1), results(out)); diff != "" {
		t.Fatal(diff)
	}
	unit := out.Units[0]
	if unit.ProviderID == "" || unit.Code != "" || unit.At.Before(before.Add(-time.Second)) || unit.At.After(time.Now().Add(time.Second)) {
		t.Errorf("outcome %+v", unit)
	}
	if diff := cmp.Diff([]Arrival{{m.Reference, 1}}, p.Arrived()); diff != "" {
		t.Error(diff)
	}
}

func testPartsInOrder(t *testing.T, open Open) {
	p := openUnits(t, open)
	m := p.Message(1, p.MaxUnits)
	out := p.Channel.Send(within(t, patience), m, always, nil)
	if diff := cmp.Diff(same(notification.UnitAccepted, p.MaxUnits), results(out)); diff != "" {
		t.Fatal(diff)
	}
	ids := map[string]bool{}
	var want []Arrival
	for i, unit := range out.Units {
		ids[unit.ProviderID] = true
		want = append(want, Arrival{m.Reference, i + 1})
	}
	if len(ids) != p.MaxUnits {
		t.Errorf("%d units have %d ids", p.MaxUnits, len(ids))
	}
	if diff := cmp.Diff(want, p.Arrived()); diff != "" {
		t.Error(diff)
	}
}

// openUnits opens a peer whose messages have units, or skips.
func openUnits(t *testing.T, open Open) Peer {
	t.Helper()
	p, _ := openPeer(t, open)
	if p.MaxUnits < 3 {
		t.Skip("no units here")
	}
	return p
}

func testFenceShut(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	out := p.Channel.Send(within(t, patience), p.Message(1, 1), func() bool { return false }, nil)
	if diff := cmp.Diff(same(notification.UnitNotSent, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	// What comes after would arrive after it.
	p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	if got := p.Arrived(); len(got) != 1 || got[0].Reference != p.Message(2, 1).Reference {
		t.Errorf("arrived: %v", got)
	}
}

func testFenceShutsBetweenParts(t *testing.T, open Open) {
	p := openUnits(t, open)
	asked := 0
	out := p.Channel.Send(within(t, patience), p.Message(1, 3), func() bool { asked++; return asked < 3 }, nil)
	want := []notification.Fate{notification.UnitAccepted, notification.UnitAccepted, notification.UnitNotSent}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Error(diff)
	}
	if asked != 3 {
		t.Errorf("the fence was asked %d times for 3 units", asked)
	}
	if n := len(p.Arrived()); n != 2 {
		t.Errorf("%d units arrived", n)
	}
}

func testContextEnded(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := p.Channel.Send(ctx, p.Message(1, 1), always, nil)
	if len(out.Units) != 1 || out.Units[0].Fate == notification.UnitAccepted || out.Units[0].Fate == notification.UnitRefused {
		t.Errorf("outcome %+v", out)
	}
}

func testRefused(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	for i, b := range []Behaviour{{Refuse: true}, {RefuseForNow: true}} {
		p.Behave(b)
		out := p.Channel.Send(within(t, patience), p.Message(i, 1), always, func(channel.Outcome) { t.Error("late was called") })
		if diff := cmp.Diff(same(notification.UnitRefused, 1), results(out)); diff != "" {
			t.Fatal(diff)
		}
		unit := out.Units[0]
		if unit.Code == "" || unit.Transient != b.RefuseForNow || unit.ProviderID != "" {
			t.Errorf("outcome %+v", unit)
		}
	}
	if n := len(p.Arrived()); n != 2 {
		t.Errorf("%d arrivals of 2 messages: a channel does not retry", n)
	}
}

func testRefusedStopsParts(t *testing.T, open Open) {
	p := openUnits(t, open)
	p.Behave(Behaviour{RefuseForNow: true})
	out := p.Channel.Send(within(t, patience), p.Message(1, 3), always, nil)
	want := []notification.Fate{notification.UnitRefused, notification.UnitNotSent, notification.UnitNotSent}
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Error(diff)
	}
	if n := len(p.Arrived()); n != 1 {
		t.Errorf("%d units arrived", n)
	}
}

// testBusy: what was refused as busy is sent when the worker asks again.
func testBusy(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	p.Behave(Behaviour{Busy: true})
	m := p.Message(1, p.MaxUnits)
	out := p.Channel.Send(within(t, patience), m, always, nil)
	want := append(same(notification.UnitRefused, 1), same(notification.UnitNotSent, p.MaxUnits-1)...)
	if diff := cmp.Diff(want, results(out)); diff != "" {
		t.Fatal(diff)
	}
	if unit := out.Units[0]; !unit.Busy || !unit.Transient || unit.Code == "" {
		t.Errorf("outcome %+v", unit)
	}
	p.Behave(Behaviour{})
	for i := range p.MaxUnits {
		m.Units = append(m.Units, i+1)
	}
	out = p.Channel.Send(within(t, patience), m, always, nil)
	if diff := cmp.Diff(same(notification.UnitAccepted, p.MaxUnits), results(out)); diff != "" {
		t.Fatal(diff)
	}
	if n := len(p.Arrived()); n != 1+p.MaxUnits {
		t.Errorf("%d arrivals of %d units, one of them twice", n, p.MaxUnits)
	}
}

func testUnitsAskedFor(t *testing.T, open Open) {
	p := openUnits(t, open)
	m := p.Message(1, 3)
	for _, units := range [][]int{{2}, {1, 3}} {
		m.Units = units
		out := p.Channel.Send(within(t, patience), m, always, nil)
		if diff := cmp.Diff(same(notification.UnitAccepted, len(units)), results(out)); diff != "" {
			t.Fatal(diff)
		}
	}
	if diff := cmp.Diff([]Arrival{{m.Reference, 2}, {m.Reference, 1}, {m.Reference, 3}}, p.Arrived()); diff != "" {
		t.Error(diff)
	}
}

// sendUntilArrived sends the first message and ends the waiting for its answer once it
// has arrived, however slow the machine is.
func sendUntilArrived(t *testing.T, p Peer, late func(channel.Outcome)) channel.Outcome {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t, patience))
	defer cancel()
	got := make(chan channel.Outcome, 1)
	go func() { got <- p.Channel.Send(ctx, p.Message(1, 1), always, late) }()
	eventually(t, "the message arrives", func() bool { return len(p.Arrived()) == 1 })
	cancel()
	return <-got
}

func testSilent(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	p.Behave(Behaviour{Silent: true})
	begun := time.Now()
	out := sendUntilArrived(t, p, func(channel.Outcome) { t.Error("late was called") })
	if diff := cmp.Diff(same(notification.UnitLost, 1), results(out)); diff != "" {
		t.Error(diff)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("Send took %v", d)
	}
	p.Behave(Behaviour{})
	out = p.Channel.Send(within(t, patience), p.Message(2, 1), always, nil)
	if diff := cmp.Diff(same(notification.UnitAccepted, 1), results(out)); diff != "" {
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
	late := make(chan channel.Outcome, 2)
	out := sendUntilArrived(t, p, func(o channel.Outcome) { late <- o })
	if diff := cmp.Diff(same(notification.UnitLost, 1), results(out)); diff != "" {
		t.Fatal(diff)
	}
	select {
	case got := <-late:
		if diff := cmp.Diff(same(notification.UnitAccepted, 1), results(got)); diff != "" {
			t.Error(diff)
		}
		if got.Units[0].ProviderID == "" || got.Units[0].At.Before(out.Units[0].At) {
			t.Errorf("late outcome %+v", got.Units[0])
		}
	case <-time.After(patience):
		t.Fatal("the late answer was not told")
	}
}

func testLatePartsOnce(t *testing.T, open Open) {
	p := openUnits(t, open)
	if !p.Late {
		t.Skip("no late answers here")
	}
	p.Behave(Behaviour{Latency: 300 * time.Millisecond})
	late := make(chan channel.Outcome, 4)
	// The first unit's answer is in time, the others' are not.
	out := p.Channel.Send(within(t, 450*time.Millisecond), p.Message(1, 3), always, func(o channel.Outcome) { late <- o })
	unknown := 0
	for _, unit := range out.Units {
		if unit.Fate == notification.UnitLost {
			unknown++
		}
	}
	if unknown == 0 {
		t.Fatalf("outcome %v: nothing is unknown", results(out))
	}
	select {
	case got := <-late:
		for i, unit := range got.Units {
			if out.Units[i].Fate == notification.UnitNotSent {
				continue
			}
			if unit.Fate != notification.UnitAccepted {
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
	got := make(chan channel.Outcome, 1)
	begun := time.Now()
	go func() {
		out := p.Channel.Send(within(t, patience), p.Message(1, 1), always, func(channel.Outcome) { t.Error("late was called") })
		returned.Store(true)
		got <- out
	}()
	eventually(t, "the message arrives", func() bool { return len(p.Arrived()) == 1 })
	if returned.Load() {
		t.Fatal("Send returned without an answer")
	}
	p.Cut()
	out := <-got
	if diff := cmp.Diff(same(notification.UnitLost, 1), results(out)); diff != "" {
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
		return len(out.Units) == 1 && out.Units[0].Fate == notification.UnitAccepted
	})
	count := map[string]int{}
	for _, a := range p.Arrived() {
		if count[a.Reference]++; count[a.Reference] > 1 {
			t.Errorf("%s arrived twice", a.Reference)
		}
	}
}
