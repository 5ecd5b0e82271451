package smpp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands/retry"
)

// TestCapacityNarrowsWhenThrottled: each throttling halves what may be in hand, down to
// one message of any length, and what the provider takes widens it again to the window.
func TestCapacityNarrowsWhenThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &capacity{window: 16, pauses: retry.Policy{First: time.Second, Most: time.Second}.Waits(nil)}
		c.bound()
		var held []func()
		drop := func() {
			for _, release := range held {
				release()
			}
			held = nil
		}
		room := func(parts int) int { // messages that get in at once
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				release, err := c.acquire(ctx, parts)
				cancel()
				if err != nil {
					return len(held)
				}
				held = append(held, release)
			}
		}
		if got := room(1); got != 16 {
			t.Fatalf("room for %d, want the window", got)
		}
		for _, want := range []int{8, 4, 2, 1, 1} {
			c.throttled()
			c.throttled() // of the same burst
			drop()
			time.Sleep(2 * time.Second) // the pause
			if got := room(1); got != want {
				t.Fatalf("room for %d after a throttling, want %d", got, want)
			}
		}
		drop()
		if got := room(10); got != 1 {
			t.Fatalf("room for %d long messages, want one", got)
		}
		drop()
		for range 16 * 16 {
			c.accepted()
		}
		if got := room(1); got != 16 {
			t.Errorf("room for %d after all was taken, want the window", got)
		}
		drop()
		c.close()
	})
}
