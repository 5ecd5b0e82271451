package projections

import (
	"errors"
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
