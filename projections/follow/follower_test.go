package follow

import (
	"slices"
	"testing"
	"time"
)

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
