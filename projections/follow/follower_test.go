package follow

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// An outage of an hour is a line a minute, and what is new is said at once.
func TestWhatIsTheSameIsSaidEachMinute(t *testing.T) {
	var said complaint
	down, other := errors.New("down"), errors.New("other")
	lines, now := 0, time.Now()
	for range 720 {
		if said.due(down, now) {
			lines++
		}
		now = now.Add(5 * time.Second)
	}
	if lines != 60 {
		t.Errorf("%d lines in an hour", lines)
	}
	if !said.due(other, now) || said.due(other, now) || !said.due(down, now) {
		t.Error("what is new is not said")
	}
}

// A ClickHouse that is slow is waited for, and one that is fast not for long.
func TestPatienceGrowsWhileNothingComes(t *testing.T) {
	var p patience
	waits := []time.Duration{p.get()}
	for range 4 {
		p.failed()
		waits = append(waits, p.get())
	}
	if want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 2 * time.Minute}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if p.took(time.Minute); p.get() != mostPatience {
		t.Errorf("after a slow batch it waits %v", p.get())
	}
	if p.took(time.Second); p.get() != minPatience {
		t.Errorf("after a fast batch it waits %v", p.get())
	}
}
