package receipts

import (
	"testing"
	"time"

	"recapito/commands/channel"
)

// TestDoneAt: of what a provider tells to the minute, the moment taken is neither
// before a send of the same minute nor after the receipt's arrival.
func TestDoneAt(t *testing.T) {
	minute := time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return minute.Add(d) }
	for _, c := range []struct {
		name     string
		told     time.Time
		within   time.Duration
		received time.Time
		want     time.Time
	}{
		{"received in that minute", minute, time.Minute, at(20 * time.Second), at(20 * time.Second)},
		{"received later", minute, time.Minute, at(time.Hour), at(time.Minute - time.Millisecond)},
		{"to the second", minute, time.Second, at(time.Hour), at(time.Second - time.Millisecond)},
		{"exact", minute, 0, at(time.Hour), minute},
		{"the provider's clock is ahead", minute, time.Minute, at(-time.Second), minute},
		{"not told", time.Time{}, 0, minute, time.Time{}},
	} {
		p := channel.ProviderReceipt{OccurredAt: c.told, OccurredWithin: c.within, ReceivedAt: c.received}
		if got := doneAt(p); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
